#!/usr/bin/env bash
# What a value to another shard that is awake and back, and a closure there and its answer, cost in
# system calls: those of the rounds, and no other. strace counts, as the difference of a long and a
# short run of the test that exchanges them.
#
#   scripts/awake-shards.sh
#
# Status 1: a call that is no visit to the kernel was made more than once in a hundred trips. 3: tracing
# is impossible here.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
if ! strace -c -o "$scratch/probe" true 2>"$scratch/errors"; then
    cat "$scratch/errors" >&2
    echo "strace is missing, or may not trace here: nothing is counted" >&2
    exit 3
fi
binary=$(cargo test --quiet -p corering --test awake_shards --no-run --message-format=json |
    sed -n 's/.*"name":"awake_shards".*"executable":"\([^"]*\)".*/\1/p')
short=100 long=5100
status=0
for driver in uring epoll; do
    for trips in "$short" "$long"; do
        CORERING_TEST_DRIVERS=$driver AWAKE_TRIPS=$trips timeout 120 \
            strace -c -f -o "$scratch/$trips" \
            "$binary" awake_shards_exchange_values_without_doorbell --exact >"$scratch/output"
        grep -q ' 1 passed' "$scratch/output"
    done
    awk -v driver="$driver" -v trips=$((long - short)) '
        FNR == 1 { run++ }
        $4 ~ /^[0-9]+$/ && $NF != "total" { calls[$NF] += run == 1 ? -$4 : $4 }
        END {
            for (call in calls) {
                each = calls[call] / trips
                if (each == 0) continue
                printf "%s: %.4f %s per trip\n", driver, each, call
                is_visit = call ~ /^(io_uring_enter|epoll_p?wait2?)$/
                if (!is_visit && each > 0.01) broken = 1
            }
            exit broken
        }' "$scratch/$short" "$scratch/$long" || status=1
done
exit "$status"
