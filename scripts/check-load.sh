#!/usr/bin/env bash
# Checks `corering-bench load` against others: its throughput and CPU time per request against wrk on
# the same nginx, what it says of a server that stops for 200 ms each second, and its quantiles
# against HdrHistogram's own.
#
#   scripts/check-load.sh [quantiles|wrk|stall ..]     (default: all)
#
# PAIRS (6) and SECONDS_EACH (3) say how long the comparison with wrk takes. Times are compared in
# interleaved pairs, since a busy machine moves both. While others keep all CPUs busy, throughput is
# that of whoever needs less CPU time; `chrt -r 1 scripts/check-load.sh wrk stall`, after a build,
# keeps the others away. Status 1 when a bound is broken, 3 when a program is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
bench=$target/release/corering-bench
pairs=${PAIRS:-6}
seconds=${SECONDS_EACH:-3}
scratch=$(mktemp -d)
source "$root/scripts/nginx.sh"
# Server and client each have a CPU of their own, where there are two.
on_first=() on_last=()
if (($(nproc) > 1)); then
    on_first=(taskset -c 0) on_last=(taskset -c "$(($(nproc) - 1))")
fi
server=
status=0

end_server() {
    [[ -n $server ]] || return 0
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}

trap 'end_server; rm -rf "$scratch"' EXIT

need() {
    command -v "$1" >/dev/null && return
    echo "$1 is missing: apt-get install $2" >&2
    exit 3
}

# check NAME VALUE LOWEST HIGHEST: prints whether the value is within the bounds.
check() {
    if awk -v value="$2" -v low="$3" -v high="$4" 'BEGIN { exit !(value >= low && value <= high) }'
    then
        printf '%-46s %12s   ok (%s to %s)\n' "$@"
    else
        printf '%-46s %12s   NOT within %s to %s\n' "$@"
        status=1
    fi
}

median() {
    sort -g | awk '{ all[NR] = $1 } END { print (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2 }'
}

# number FILE NAME: a number of a result in JSON, whose names are unique.
number() {
    sed -n "s/^ *\"$2\": *\([0-9.e+-]*\),*$/\1/p" "$1" | head -n 1
}

# Both run without warm-up, and the shell counts the CPU time of both, from start to end.
TIMEFORMAT='%U %S'

run_wrk() {
    { time "${on_first[@]}" wrk -t1 -c64 "-d${seconds}s" "http://127.0.0.1:$port/" >"$scratch/wrk"; } 2>"$scratch/time"
    requests=$(awk '/ requests in / { print $1 }' "$scratch/wrk")
    rate=$(awk '/^Requests\/sec/ { print $2 }' "$scratch/wrk")
    if grep -E 'Socket errors|Non-2xx' "$scratch/wrk"; then exit 1; fi
    p99=-
}

run_load() {
    local result=0
    { time "${on_first[@]}" "$bench" load "http://127.0.0.1:$port/" --connections 64 --duration "${seconds}s" \
        --warm-up 0s --json "$scratch/json" >"$scratch/table" 2>"$scratch/errors" || result=$?
    } 2>"$scratch/time"
    # Time stolen by a host or by neighbours is the business of the pairs.
    if ((result > 1)); then cat "$scratch/errors" >&2; exit "$result"; fi
    requests=$(number "$scratch/json" requests)
    rate=$(number "$scratch/json" requests_per_second)
    verdict=$(sed -n 's/^ *"verdict": "\(.*\)",$/\1/p' "$scratch/json" | head -n 1)
    case $verdict in
        valid | 'invalid: client saturated' | 'invalid: time stolen') ;;
        *) cat "$scratch/table"; exit 1 ;;
    esac
}

# one NAME: runs it, and sets `rate` and `cpu`, in microseconds per request.
one() {
    "run_$1"
    cpu=$(awk -v requests="$requests" '{ print ($1 + $2) * 1e6 / requests }' "$scratch/time")
    printf '  %-5s %12.0f requests/s %8.2f us CPU per request%s\n' "$1" "$rate" "$cpu" \
        "$([[ $1 == load ]] && echo "   $verdict")"
    echo "$rate" >>"$scratch/$1.rate"
    echo "$cpu" >>"$scratch/$1.cpu"
}

ratio() {
    paste "$scratch/load.$1" "$scratch/wrk.$1" | awk '{ print $1 / $2 }' | median
}

check_wrk() {
    need wrk wrk
    need nginx nginx-light
    mkdir "$scratch/page"
    head -c 612 /dev/zero | tr '\0' x >"$scratch/page/index.html"
    start_nginx "$scratch/page" "keepalive_requests 1000000000;" "${on_last[@]}"
    echo "64 connections, 1 thread, nginx with 1 worker, $pairs pairs of $seconds s"
    run_load
    for pair in $(seq "$pairs"); do
        if ((pair % 2)); then one load && one wrk; else one wrk && one load; fi
    done
    end_server
    check "throughput against wrk, median of pairs" "$(ratio rate)" 0.9 1.1
    check "client CPU per request against wrk" "$(ratio cpu)" 0 1.3
}

check_stall() {
    "${on_last[@]}" "$bench" serve --workload faulty --mode stall --stall 200ms \
        --every 1s --driver epoll >"$scratch/address" &
    server=$!
    until address=$(sed -n 's/^listening on //p' "$scratch/address") && [[ -n $address ]]; do
        kill -0 "$server" || exit 3
        sleep 0.05
    done
    echo "an echo server that stops for 200 ms of each second"
    # Late starts on a busy machine are told by the table, and are no question here.
    "${on_first[@]}" "$bench" load "$address" --rate 1000 --duration 10s \
        --json "$scratch/open" 2>/dev/null || true
    "${on_first[@]}" "$bench" load "$address" --connections 1 --duration 10s \
        --json "$scratch/closed" 2>/dev/null || true
    end_server
    check "p99 in ns, open loop, 1000 requests/s" "$(number "$scratch/open" p99)" 100000000 1e18
    check "p99 in ns, closed loop, 1 connection" "$(number "$scratch/closed" p99)" 1 9999999
}

check_quantiles() {
    cargo test --quiet --manifest-path "$root/Cargo.toml" -p corering-bench --lib load::files
}

(($#)) || set -- quantiles wrk stall
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p corering-bench --bin corering-bench
for part in "$@"; do
    case $part in
        quantiles | wrk | stall) "check_$part" ;;
        *) echo "usage: scripts/check-load.sh [quantiles|wrk|stall ..]" >&2; exit 2 ;;
    esac
done
exit "$status"
