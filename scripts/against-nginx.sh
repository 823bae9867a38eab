#!/usr/bin/env bash
# The example `static_server` against nginx: what one request of a cached file costs in CPU time, how
# many are answered a second, and how long the slowest hundredth waits.
#
#   scripts/against-nginx.sh [--pairs COUNT] [--seconds SECONDS] [--sizes KIB,..] [--driver DRIVER]
#
# The defaults are 24 rounds of 1 second, 1,16,64,1024 KiB, and both drivers: six minutes. In each
# round, each server runs once at each size, in an order that is drawn anew: a busy machine moves all
# of them, so what counts is the ratio within a round. `chrt -r 1 scripts/against-nginx.sh`, after a
# build, keeps others away from the two CPUs.
#
# nginx has one worker and static_server one shard, on the same CPU; wrk has another, and asks by 64
# connections that stay open. CPU time is that of the worker, and that of all threads of static_server,
# user and system. A run counts only if each request was answered by 200 and all bytes of the file.
#
# Bounds are checked, by the upper end of the interval that holds the median ratio in 95 of 100
# resamples: status 1 when one is broken, 2 when the arguments make no sense, 3 when a program is
# missing, or a second CPU.
set -euo pipefail

usage() {
    echo "$1: scripts/against-nginx.sh [--pairs COUNT] [--seconds SECONDS] [--sizes KIB,..] [--driver uring|epoll]" >&2
    exit 2
}

pairs=24 seconds=1 sizes=(1 16 64 1024) drivers=(uring epoll)
while (($#)); do
    case $1 in
        --pairs | --seconds)
            [[ ${2-} =~ ^[1-9][0-9]{0,4}$ ]] || usage "$1 takes a number from 1 to 99999"
            declare "${1#--}=$2"
            ;;
        --sizes)
            [[ ${2-} =~ ^[1-9][0-9]{0,5}(,[1-9][0-9]{0,5})*$ ]] || usage "--sizes takes numbers of KiB"
            IFS=, read -ra sizes <<<"$2"
            ;;
        --driver)
            [[ ${2-} =~ ^(uring|epoll)$ ]] || usage "--driver takes uring or epoll"
            drivers=("$2")
            ;;
        *) usage "\`$1\` is no option" ;;
    esac
    shift 2
done

source "$(dirname "${BASH_SOURCE[0]}")/programs.sh"
had_nginx=$(command -v nginx || true)
install_programs nginx=nginx-light wrk=wrk curl=curl taskset=util-linux
if ((${#missing[@]})); then
    echo "${missing[*]} is missing: apt-get install ${packages[*]}" >&2
    exit 3
fi
# Debian starts each server that it installs.
[[ -n $had_nginx ]] || systemctl disable --quiet --now nginx 2>/dev/null || true

source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
source "$(dirname "${BASH_SOURCE[0]}")/nginx.sh"
jobs=() client=
end_processes() {
    # A server may not have come as far as the list.
    jobs+=(${server:+"$server"} ${client:+"$client"})
    for job in "${jobs[@]}"; do kill -TERM "$job" 2>/dev/null || true; done
    for job in "${jobs[@]}"; do wait "$job" 2>/dev/null || true; done
}
trap 'end_processes; rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The first two CPUs that this may run on.
IFS=, read -ra spans <<<"$(taskset -pc $$ | sed 's/.*: //')"
cpus=()
for span in "${spans[@]}"; do
    mapfile -t -O "${#cpus[@]}" cpus < <(seq "${span%-*}" "${span#*-}")
done
if ((${#cpus[@]} < 2)); then
    echo "server and client need a CPU each, and this may run on ${#cpus[@]} only" >&2
    exit 3
fi
on_first=(taskset -c "${cpus[0]}") on_second=(taskset -c "${cpus[1]}")

cargo build --quiet --release --manifest-path "$root/Cargo.toml" \
    -p corering-examples --bin static_server -p corering-bench --bin estimate

mkdir "$scratch/files" "$scratch/results"
for size in "${sizes[@]}"; do head -c $((size * 1024)) /dev/urandom >"$scratch/files/$size"; done

# By name of a server: its address, and the process whose CPU time counts.
declare -A addresses processes
start_nginx "$scratch/files" "sendfile on; tcp_nopush on; keepalive_requests 1000000;
    open_file_cache max=1000; open_file_cache_valid 1s;" "${on_first[@]}"
jobs+=("$server")
addresses[nginx]=127.0.0.1:$port
worker=$(<"/proc/$server/task/$server/children")
processes[nginx]=${worker// /}
for driver in "${drivers[@]}"; do
    start_server "static-$driver" "${on_first[@]}"
    jobs+=("$server")
    addresses[$driver]=$address
    processes[$driver]=$server
done
server=

# Bytes of an answer, head and file, by name and size.
declare -A answers
for name in nginx "${drivers[@]}"; do
    for size in "${sizes[@]}"; do
        head_bytes=$(curl --silent --show-error --fail --max-time 10 --output "$scratch/answer" \
            --write-out '%{size_header}' "http://${addresses[$name]}/$size")
        if ! cmp "$scratch/answer" "$scratch/files/$size"; then
            echo "$name serves other bytes than those of the file" >&2
            exit 1
        fi
        answers[$name-$size]=$((head_bytes + size * 1024))
    done
done

# wrk's own summary counts answers by 200 to 399, and says nothing exactly.
cat >"$scratch/done.lua" <<'LUA'
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("result %d %d %d %d %.0f\n", summary.requests, summary.bytes, summary.duration,
        errors.connect + errors.read + errors.write + errors.status, latency:percentile(99)))
end
LUA

# cpu_ticks NAME: sets `ticks`, the CPU time that the server has had.
cpu_ticks() {
    local stat fields
    stat=$(<"/proc/${processes[$1]}/stat")
    # The name of the program, in parentheses, may hold spaces.
    read -ra fields <<<"${stat##*) }"
    ticks=$((fields[11] + fields[12]))
}
ticks_a_second=$(getconf CLK_TCK)

# one NAME SIZE: adds a line to the results: microseconds of CPU time per request, requests a second,
# and microseconds that 99 of 100 requests are answered in.
one() {
    local name=$1 size=$2 before ticks requests bytes duration errors p99
    cpu_ticks "$name"
    before=$ticks
    # A signal ends `wait`, so that the client goes when this script does.
    "${on_second[@]}" wrk -t1 -c64 "-d${seconds}s" --latency -s "$scratch/done.lua" \
        "http://${addresses[$name]}/$size" >"$scratch/wrk" &
    client=$!
    wait "$client"
    client=
    cpu_ticks "$name"
    read -r requests bytes duration errors p99 < <(sed -n 's/^result //p' "$scratch/wrk")
    # The last requests were answered in part when wrk ended.
    if ((errors || requests == 0 || bytes < requests * answers[$name-$size] ||
        bytes > (requests + 64) * answers[$name-$size])); then
        cat "$scratch/wrk" >&2
        echo "$name, $size KiB: not all requests were answered by 200 and the file" >&2
        exit 1
    fi
    awk -v ticks=$((ticks - before)) -v each="$ticks_a_second" -v requests="$requests" \
        -v duration="$duration" -v p99="$p99" 'BEGIN {
            print ticks / each * 1e6 / requests, requests / duration * 1e6, p99
        }' >>"$scratch/results/$name-$size"
}

echo "$pairs rounds of $seconds s, 64 connections; ${drivers[*]} and $(nginx -v 2>&1) on CPU ${cpus[0]}, wrk on CPU ${cpus[1]}" >&2
for _ in $(seq "$pairs"); do
    for size in "${sizes[@]}"; do
        mapfile -t order < <(shuf -e nginx "${drivers[@]}")
        for name in "${order[@]}"; do one "$name" "$size"; done
    done
done

# column NAME SIZE COLUMN: of the results, by rounds.
column() {
    awk -v column="$3" '{ print $column }' "$scratch/results/$1-$2"
}

# over_nginx DRIVER SIZE COLUMN: the median ratio, and the ends of its interval.
over_nginx() {
    paste <(column "$1" "$2" "$3") <(column nginx "$2" "$3") | awk '{ print $1 / $2 }' |
        "$target/release/estimate"
}

# middle NAME SIZE COLUMN
middle() {
    column "$@" | "$target/release/estimate" | awk '{ print $1 }'
}

# bar DRIVER SIZE: what the upper end of the ratio of CPU time may be.
bar() {
    if [[ $1-$2 == uring-1 ]]; then echo 0.70; else echo 1.03; fi
}

status=0
printf '%-16s %-28s %-22s %-26s %s\n' "" "CPU per request over nginx" "us, nginx and ours" \
    "requests/s over nginx" "p99 in ms, nginx and ours"
for size in "${sizes[@]}"; do
    for driver in "${drivers[@]}"; do
        read -r cpu low high < <(over_nginx "$driver" "$size" 1)
        read -r rate rate_low rate_high < <(over_nginx "$driver" "$size" 2)
        printf '%5d KiB %-6s %5.2f [%4.2f, %4.2f], bar %-8s %7.1f %8.1f       %5.2f [%4.2f, %4.2f]        %8.2f %8.2f\n' \
            "$size" "$driver" "$cpu" "$low" "$high" "$(bar "$driver" "$size")" \
            "$(middle nginx "$size" 1)" "$(middle "$driver" "$size" 1)" "$rate" "$rate_low" "$rate_high" \
            "$(middle nginx "$size" 3 | awk '{ print $1 / 1e3 }')" \
            "$(middle "$driver" "$size" 3 | awk '{ print $1 / 1e3 }')"
        if awk -v high="$high" -v bar="$(bar "$driver" "$size")" 'BEGIN { exit high <= bar }'; then
            echo "$size KiB on $driver: CPU per request is up to $high times nginx's, above the bar of $(bar "$driver" "$size")" \
                >>"$scratch/broken"
            status=1
        fi
    done
done
[[ ! -e $scratch/broken ]] || cat "$scratch/broken" >&2
exit "$status"
