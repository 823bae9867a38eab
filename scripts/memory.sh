#!/usr/bin/env bash
# Resident memory of an echo server for each of 10,000 connections that idle after one exchange.
# Status 1 when corering needs more than 1 KiB.
#
#   scripts/memory.sh [uring|epoll|tokio|raw-uring|raw-epoll ..]     (default: uring epoll)
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
    bound=()
    [[ $name == uring || $name == epoll ]] && bound=(--bytes-max 1024)
    start_server "$name"
    printf '%-10s ' "$name"
    "$target/release/echo_load" memory --addr "$address" --pid "$server" \
        --connections "$connections" "${bound[@]}" || status=1
    end_server
done
exit "$status"
