# Starts echo servers for the scripts that count what they cost. Sourced, not run.
#
# `uring` and `epoll` are the example `echo` on that driver, `uring-unix` and `epoll-unix` the same on
# a Unix socket. `uring-notification`, and those that end in `-lent`, `-owned` or `-limited`, are
# `corering-bench serve` with an option; those that begin with `hyper-` serve a page by hyper, and those
# that begin with `static-` are the example `static_server`, which serves `$scratch/files`. Every other
# name is a server of it, to compare with.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
scratch=$(mktemp -d)
server=
job=

build_servers() {
    cargo build --quiet --release --manifest-path "$root/Cargo.toml" \
        -p corering-examples --bin echo --bin static_server -p corering-bench --bin corering-bench --bin echo_load --bin spawn_tasks
}

# end_server [SIGNAL]: ends the server, by SIGTERM if nothing else is said.
end_server() {
    [[ -n $server ]] || return 0
    kill -"${1:-TERM}" "$server" 2>/dev/null || true
    # One that is stopped takes no signal but SIGKILL.
    kill -CONT "$server" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
    server=
}

trap 'end_server KILL; rm -rf "$scratch"' EXIT

# start_server NAME [TRACER..]: sets `server`, its process id, and `address`. The tracer, if any,
# gets the server's own command line as its last arguments, and becomes the server (valgrind) or
# runs it as its only child (strace).
start_server() {
    local name=$1 command how
    shift
    case $name in
        uring | epoll) command=("$target/release/echo" --addr 127.0.0.1:0 --driver "$name" --shards 1) ;;
        uring-unix | epoll-unix)
            rm -f "$scratch/socket"
            command=("$target/release/echo" --unix "$scratch/socket" --driver "${name%-unix}" --shards 1)
            ;;
        uring-notification)
            command=("$target/release/corering-bench" serve --driver uring --receive notification)
            ;;
        *-owned)
            command=("$target/release/corering-bench" serve --driver "${name%-owned}" --read owned)
            ;;
        *-lent)
            command=("$target/release/corering-bench" serve --driver "${name%-lent}" --read lent)
            ;;
        *-limited)
            command=("$target/release/corering-bench" serve --driver "${name%-limited}" --limit 30s)
            ;;
        hyper-*)
            command=("$target/release/corering-bench" serve --driver "${name#hyper-}" --workload hyper)
            command+=(--size 13)
            ;;
        static-*)
            command=("$target/release/static_server" --root "$scratch/files" --addr 127.0.0.1:0 --shards 1)
            how=${name#static-}
            command+=(--driver "${how%%-*}")
            ;;
        *) command=("$target/release/corering-bench" serve --driver "$name") ;;
    esac
    : >"$scratch/output"
    "$@" "${command[@]}" >"$scratch/output" 2>"$scratch/errors" &
    job=$!
    server=$job
    until address=$(sed -n 's/^listening on //p' "$scratch/output") && [[ -n $address ]]; do
        if ! kill -0 "$job" 2>/dev/null; then
            cat "$scratch/errors" >&2
            echo "the server $name ended before it listened" >&2
            exit 1
        fi
        sleep 0.05
    done
    # The example prints the path; who connects has to be told that it is one.
    [[ $name != *-unix ]] || address=unix:$address
    if (($#)); then
        server=$(<"/proc/$job/task/$job/children")
        server=${server// /}
        server=${server:-$job}
    fi
}
