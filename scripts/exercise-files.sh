#!/usr/bin/env bash
# A million random operations on files on each driver, held against the standard library on a twin of the
# tree: answers, errors, and what is left in the end. Prints how often each kind was made.
# Status 0 if there was no difference; else the message says by which seed it comes again.
#
#   scripts/exercise-files.sh [OPERATIONS] [SEED]     (default: 1000000 for each driver, a new seed)
#
# Three minutes of processor time in a build without optimisation, and as long as the disk takes to
# sync a few files in a thousand operations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for number in "$@"; do
    if (($# > 2)) || ! [[ $number =~ ^[0-9]{1,18}$ ]]; then
        echo "scripts/exercise-files.sh [OPERATIONS] [SEED], both numbers" >&2
        exit 2
    fi
done
export EXERCISE_OPERATIONS=${1:-1000000} EXERCISE_SEED=${2:-$RANDOM$RANDOM}
echo "$EXERCISE_OPERATIONS operations on each driver, from seed $EXERCISE_SEED"
exec cargo test --quiet --package corering --test exerciser -- --nocapture
