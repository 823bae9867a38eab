#!/usr/bin/env bash
# Holds the WebSocket of axum_app against the Autobahn test suite, on both drivers, and fails if a case
# fails. The cases about compression (12 and 13) are left out: tungstenite offers none.
#
#   PYTHON2=python2.7 scripts/websocket-suite.sh [FOLDER]
#
# The suite needs Python 2.7 with pip; its packages are installed from PyPI into FOLDER, which is
# target/autobahn if it is not given. The reports are there, too.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
python2=${PYTHON2:-python2.7}
mkdir -p "${1:-target/autobahn}"
folder=$(realpath "${1:-target/autobahn}")

if ! "$python2" -m pip --version >/dev/null 2>&1; then
    echo "scripts/websocket-suite.sh: $python2 with pip is needed; say by PYTHON2 where it is" >&2
    exit 1
fi
if [[ ! -d $folder/packages/autobahntestsuite ]]; then
    "$python2" -m pip --disable-pip-version-check install --quiet --target "$folder/packages" \
        autobahntestsuite==0.8.2
fi
cargo build --quiet -p corering-examples --bin axum_app
program=${CARGO_TARGET_DIR:-target}/debug/axum_app
server=
trap '[[ -z $server ]] || kill "$server"' EXIT

# run_suite DRIVER: the number of cases by how they ended.
run_suite() {
    local driver=$1 address
    coproc server_of { exec "$program" --driver "$driver" --addr 127.0.0.1:0 --folder "$folder"; }
    server=$server_of_PID
    read -r _ _ address <&"${server_of[0]}"
    cat >"$folder/$driver.json" <<JSON
{
    "outdir": "$folder/report-$driver",
    "servers": [{"agent": "$driver", "url": "ws://$address/ws"}],
    "cases": ["*"],
    "exclude-cases": ["12.*", "13.*"]
}
JSON
    "$python2" - "$folder" "$driver" >"$folder/$driver.log" 2>&1 <<'PYTHON'
import site, sys
folder, driver = sys.argv[1:]
site.addsitedir(folder + "/packages")
sys.path.insert(0, folder + "/packages")
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", folder + "/" + driver + ".json"]
from autobahntestsuite.wstest import run
run()
PYTHON
    kill -TERM "$server"
    wait "$server"
    server=
    "$python2" - "$folder" "$driver" <<'PYTHON'
import collections, json, sys
folder, driver = sys.argv[1:]
cases = json.load(open(folder + "/report-" + driver + "/index.json"))[driver]
ends = collections.Counter(case["behavior"] for case in cases.values())
print("%s: %d cases: %s" % (driver, len(cases), ", ".join("%s %d" % end for end in sorted(ends.items()))))
passed = {"OK", "NON-STRICT", "INFORMATIONAL"}
failed = [n for n, case in cases.items() if {case["behavior"], case["behaviorClose"]} - passed]
if failed or len(cases) < 300:
    sys.exit("%s: failed: %s; see report-%s/index.html" % (driver, " ".join(sorted(failed)), driver))
PYTHON
}

for driver in uring epoll; do
    run_suite "$driver"
done
