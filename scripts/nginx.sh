# Starts nginx for the scripts that compare with it. Sourced, not run; needs `scratch`, a folder that
# whoever sources it removes. What nginx writes stays in there, and it runs as the user who starts it.

# start_nginx ROOT LINES [COMMAND..]: serves the files of ROOT with one worker. LINES are more lines of
# its `http` block; the command, if any, runs it. Sets `server`, the id of its master process, and `port`.
start_nginx() {
    local folder=$1 lines=$2
    shift 2
    # A port may be taken between two looks, so that several are tried.
    for _ in 1 2 3 4 5; do
        port=$((RANDOM % 20000 + 10000))
        cat >"$scratch/nginx.conf" <<CONFIGURATION
worker_processes 1;
daemon off;
pid $scratch/nginx.pid;
error_log $scratch/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    $lines
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    server { listen 127.0.0.1:$port; root $folder; }
}
CONFIGURATION
        # A worker that may not read the files because it has given up root serves errors.
        ((EUID)) || sed -i '1i user root;' "$scratch/nginx.conf"
        "$@" nginx -p "$scratch" -e "$scratch/nginx.log" -c "$scratch/nginx.conf" &
        server=$!
        for _ in $(seq 100); do
            kill -0 "$server" 2>/dev/null || break
            if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && nginx_listens; then return; fi
            sleep 0.05
        done
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    done
    cat "$scratch/nginx.log" >&2
    echo "nginx did not start" >&2
    exit 3
}

# nginx_listens: whether the server that answers is this one, which has a worker then, and not another
# whose port nginx still tries to get.
nginx_listens() {
    [[ -n $(<"/proc/$server/task/$server/children") ]]
}
