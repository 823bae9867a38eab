#!/usr/bin/env bash
# What one echoed request, or one page, costs the server's process, in figures that do not move with
# the weather: instructions outside the kernel, allocations, and system calls.
#
#   scripts/counts.sh [--costs COUNT] [SERVER ..]      (default: all)
#
# A server is uring, epoll, tokio, raw-uring or raw-epoll, or one of the first three in another way:
#
#   uring-unix, epoll-unix     are on a Unix socket
#   uring-notification         receives by notification
#   uring-owned, epoll-owned   receive by read(buf), into a buffer of 16 KiB of each connection's own
#   uring-lent, epoll-lent     receive by recv(), as the example does
#   uring-limited, epoll-limited, tokio-limited
#                              have a timeout of 30 s around each receive
#   hyper-tokio, hyper-uring, hyper-epoll
#                              answer GET by a page of 13 bytes, by hyper, with a timeout for heads;
#                              after the first, the others may not need more than it, and on a ring
#                              a tenth more instructions
#
#   static-uring-1k, static-epoll-1k, static-uring-64k, static-epoll-64k
#                              are the example `static_server`, which is asked for one file of that size;
#                              system calls alone are counted
#
# `tasks` is no server: a thousand tasks that end at once are spawned and awaited, and the same in a
# task group. Its two rows are per task; the group may need 1.2 times the instructions of the other.
#
# All of these but static_server and those on a Unix socket are `corering-bench serve`, which counts its
# requests and bytes: compare them with what they were and with each other, not with uring and epoll,
# which are the example. What a limit costs is the difference of limited and lent.
#
# 64 connections have one message of 64 bytes each on the way when the server wakes: it is stopped
# while it waits, and goes on when the client has sent all of them. So a round is the same work each
# time. The stop itself ends the wait: that is one call of the wait for 64 requests.
#
# Instructions are callgrind's. It is told to write a profile before and after the rounds that count,
# while the server waits, so the second one is theirs and nothing else's. valgrind 3.19 runs io_uring:
# it passes the calls on, and callgrind need not know what the kernel writes. But it blocks all
# signals while a program is in io_uring_enter(2): a server that waits there is told by vgdb, which
# gets through to it by ptrace, and is ended by SIGKILL.
#
# Allocations are the calls of malloc, calloc, realloc and their aligned kind in the same profile,
# so the server needs no allocator that counts, and is what a user would run.
#
# System calls are strace's, as the difference of a long and a short run.
#
# --costs says also which functions, and which source files, have most of the instructions.
#
# Bounds are checked: status 1 when one is broken, 2 when the arguments make no sense, 3 when
# tracing is impossible here.
set -euo pipefail

known=(uring uring-unix uring-notification uring-owned uring-lent uring-limited)
known+=(epoll epoll-unix epoll-owned epoll-lent epoll-limited)
known+=(tokio tokio-limited raw-uring raw-epoll hyper-tokio hyper-uring hyper-epoll)
known+=(static-uring-1k static-epoll-1k static-uring-64k static-epoll-64k tasks)

# usage TEXT: how this is run, for somebody who ran it otherwise.
usage() {
    echo "$1: scripts/counts.sh [--costs COUNT] [SERVER ..], of ${known[*]}" >&2
    exit 2
}

costs=0
if [[ ${1-} == --costs ]]; then
    [[ ${2-} =~ ^[1-9][0-9]*$ ]] || usage "--costs takes a number of lines"
    costs=$2
    shift 2
fi
(($#)) || set -- "${known[@]}"
for name in "$@"; do
    [[ " ${known[*]} " == *" $name "* ]] || usage "\`$name\` is no server"
done

source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
if ! strace -c -o "$scratch/probe" true 2>"$scratch/errors"; then
    cat "$scratch/errors" >&2
    echo "strace is missing, or may not trace here: nothing is counted" >&2
    exit 3
fi
if ! valgrind --quiet --tool=none true 2>"$scratch/errors"; then
    cat "$scratch/errors" >&2
    echo "valgrind is missing, or cannot run here: nothing is counted" >&2
    exit 3
fi
connections=64
warm_up_rounds=20
rounds=500
status=0
build_servers
# What static_server serves.
mkdir "$scratch/files"
for size in 1k 64k; do head -c "$size" /dev/urandom >"$scratch/files/$size"; done
# One that was changed just now is checked each time.
touch -d '1 hour ago' "$scratch/files"/*

# run_rounds NAME ROUNDS [OPTION..]: prints how many requests the server has answered.
run_rounds() {
    local name=$1 rounds=$2
    shift 2
    [[ $name != hyper-* ]] || set -- --http "$@"
    [[ $name != static-* ]] || set -- "--http=/${name##*-}" "$@"
    # Its status 3 would say that nothing can be counted here.
    timeout 60 "$target/release/echo_load" rounds --addr "$address" --stop-pid "$server" \
        --connections "$connections" --rounds "$rounds" "$@" || exit 1
}

# profile NAME: sets `profile`, the file with what `requests` requests cost.
profile() {
    rm -f "$scratch"/profile*
    start_server "$1" valgrind --quiet --tool=callgrind --callgrind-out-file="$scratch/profile" \
        --compress-strings=no --compress-pos=no
    requests=$(run_rounds "$1" "$rounds" --warm-up-rounds "$warm_up_rounds" \
        --around "timeout 20 vgdb --pid=$server dump")
    end_server KILL
    profile=$scratch/profile.2
    if [[ ! -s $profile || -e $scratch/profile.3 ]]; then
        echo "valgrind wrote other profiles of $1 than the two that were asked for" >&2
        exit 1
    fi
}

# spent WHAT: totals, functions or files of the profile.
spent() {
    awk -v root="$root" -v requests="$requests" -v what="$1" -f "$root/scripts/profile.awk" \
        "$profile"
}

# trace NAME: leaves two summaries of strace, and sets `traced`, the requests between them.
trace() {
    local short long
    start_server "$1" strace -c -f -o "$scratch/strace.short"
    short=$(run_rounds "$1" "$warm_up_rounds")
    end_server KILL
    start_server "$1" strace -c -f -o "$scratch/strace.long"
    long=$(run_rounds "$1" "$((warm_up_rounds + rounds))")
    end_server KILL
    traced=$((long - short))
}

# report NAME INSTRUCTIONS ALLOCATIONS: a line of the table. Fails when a bound of NAME is broken.
report() {
    awk -v name="$1" -v instructions="$2" -v allocations="$3" -v requests="$traced" \
        -v instructions_max="$instructions_max" -v allocations_max="$allocations_max" \
        -f "$root/scripts/calls.awk" "$scratch/strace.short" "$scratch/strace.long"
}

# count_tasks: two lines of the table. Fails when a group needs too much.
#
# What counts is the difference of a long and a short run. Neither makes a call for a task.
count_tasks() {
    local kind rounds long short plain broken=0
    for kind in plain group; do
        for rounds in 10 60; do
            valgrind --quiet --tool=callgrind --callgrind-out-file="$scratch/$kind.$rounds" \
                --compress-strings=no --compress-pos=no "$target/release/spawn_tasks" "$kind" "$rounds"
        done
        # A thousand tasks to a round.
        requests=50000
        profile=$scratch/$kind.10
        short=$(spent totals)
        profile=$scratch/$kind.60
        long=$(spent totals)
        ((!costs)) || requests=60000 keep_costs "tasks-$kind"
        awk -v name="tasks-$kind" -v long="$long" -v short="$short" -v plain="${plain-}" '
            BEGIN {
                split(long, most)
                split(short, least)
                instructions = most[1] - least[1]
                printf "%-18s %12.1f %11.4f\n", name, instructions, most[2] - least[2]
                if (plain == "" || instructions <= 1.2 * plain) exit 0
                printf "%s: %.1f instructions per task, above 1.2 times %.1f\n", name, instructions, plain > "/dev/stderr"
                exit 1
            }' >"$scratch/row" || broken=1
        cat "$scratch/row"
        read -r _ plain _ <"$scratch/row"
    done
    return "$broken"
}

# keep_costs NAME: which functions and files have most of the profile.
keep_costs() {
    local what
    for what in functions files; do
        spent "$what" | sort -rn | awk -v count="$costs" 'NR <= count' >"$scratch/$1.$what"
    done
    with_costs+=("$1")
}
with_costs=()

printf '%-18s %12s %11s  %8s %8s %8s %8s %8s %8s\n' "" instructions allocations \
    enter wait control receive send others
# What hyper needs on tokio, once that is known.
instructions_max='' allocations_max=''
for name in "$@"; do
    if [[ $name == tasks ]]; then
        count_tasks || status=1
        continue
    fi
    instructions='' allocations=''
    # The pool of threads looks at a file system once, and valgrind lets none of them run while a shard
    # waits in io_uring_enter(2).
    if [[ $name != static-* ]]; then
        profile "$name"
        read -r instructions allocations < <(spent totals)
    fi
    trace "$name"
    report "$name" "$instructions" "$allocations" || status=1
    [[ $name != hyper-tokio ]] || instructions_max=$instructions allocations_max=$allocations
    ((!costs)) || [[ $name == static-* ]] || keep_costs "$name"
done
echo "per request, or task; enter, wait, control: io_uring_enter, epoll_wait, epoll_ctl"
((costs)) && for name in "${with_costs[@]}"; do
    printf '\n%s: instructions per request, or task, by function and by source file (inlining seen through)\n' "$name"
    cat "$scratch/$name.functions"
    echo
    cat "$scratch/$name.files"
done
exit "$status"
