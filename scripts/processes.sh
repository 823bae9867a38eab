#!/usr/bin/env bash
# What a parent passes through a child, on both drivers: 5 GB through `cat`, read as it comes and so in
# bounded memory, and 100 MB both ways by `communicate`, also where a pipe is full that nobody reads yet.
# Each byte is checked. Prints the times.
#
#   scripts/processes.sh [DRIVER ..]     (default: uring epoll)
#
# MEGABYTES is how much goes through `cat`, 5000 if it is not set. Status 1 when a byte is wrong, more than
# 32 MiB were in memory at any time, or a child and its parent wait for each other; 3 when a driver is
# refused here.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p corering-bench --bin child_pipes
status=0
(($#)) || set -- uring epoll
for driver in "$@"; do
    run=("$target/release/child_pipes" --driver "$driver")
    "${run[@]}" stream --megabytes "${MEGABYTES:-5000}" --resident-max-mib 32 || status=$?
    "${run[@]}" communicate --megabytes 100 || status=$?
done
exit "$status"
