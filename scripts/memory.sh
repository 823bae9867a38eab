#!/usr/bin/env bash
# Resident memory of an echo server for each of 10,000 connections that idle after one exchange.
# Status 1 when corering needs more than 1 KiB.
#
#   scripts/memory.sh [SERVER ..]     (default: uring epoll)
#
# A server is uring, epoll, tokio, raw-uring or raw-epoll, or hyper-uring, hyper-epoll or hyper-tokio,
# whose connections have asked for a page: most of what those need is hyper's, and has no bound here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
connections=10000
status=0
limit=$(ulimit -Hn)
if [[ $limit != unlimited ]] && ((limit < connections + 100)); then
    connections=$((limit - 100))
    echo "$connections connections, since the hard limit of descriptors is $limit" >&2
fi
build_servers
(($#)) || set -- uring epoll
for name in "$@"; do
    how=()
    [[ $name == uring || $name == epoll ]] && how=(--bytes-max 1024)
    [[ $name == hyper-* ]] && how=(--http)
    start_server "$name"
    printf '%-12s ' "$name"
    "$target/release/echo_load" memory --addr "$address" --pid "$server" \
        --connections "$connections" "${how[@]}" || status=1
    end_server
done
exit "$status"
