#!/usr/bin/env bash
# System calls per echoed request when 64 requests are waiting as the server wakes: the server is
# stopped while the client sends, then goes on. Counts do not move with the weather, so the bounds
# are checked: status 1 when one is broken.
#
#   scripts/counts.sh [uring|epoll|tokio|raw-uring|raw-epoll ..]     (default: uring epoll)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
if ! strace -c -o /dev/null true; then
    echo "strace is missing, or may not trace here: nothing is counted" >&2
    exit 3
fi
connections=64
rounds=500
status=0
build_servers

# check NAME REQUESTS: reads the summary of strace, prints the calls per request that are worth a
# line, and fails when a bound of NAME is broken.
check() {
    awk -v name="$1" -v requests="$2" '
        function bound(call) {
            if (name == "uring") return call == "io_uring_enter" ? 0.1 : 0.01
            if (name != "epoll") return 1e9
            if (call == "epoll_ctl") return 0.01
            if (call == "recvfrom" || call == "read" || call == "recvmsg") return 1.1
            return 1e9
        }
        $4 ~ /^[0-9]+$/ && $NF != "total" {
            each = $4 / requests
            broken = each > bound($NF)
            bad = bad || broken
            if (each >= 0.001 || broken)
                printf "%-10s %-18s %8d calls %9.4f per request%s\n", name, $NF, $4, each,
                    broken ? "  ABOVE " bound($NF) : ""
            rows++
        }
        END {
            if (rows == 0) { print "strace counted nothing" > "/dev/stderr"; exit 1 }
            exit bad
        }' "$scratch/strace"
}

(($#)) || set -- uring epoll
for name in "$@"; do
    start_server "$name" strace -c -f -o "$scratch/strace"
    requests=$("$target/release/echo_load" rounds --addr "$address" \
        --connections "$connections" --rounds "$rounds" --stop-pid "$server")
    end_server
    check "$name" "$requests" || status=1
done
exit "$status"
