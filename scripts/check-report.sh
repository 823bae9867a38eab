#!/usr/bin/env bash
# Opens the report of a study in a headless Chromium, on a wide and on a narrow screen, in light and
# in dark, and fails when a chart is missing, text is cut or a script fails.
#
# usage: scripts/check-report.sh DIR [SCREENSHOTS]
#
# DIR holds report.html and study.json. Pictures of the whole page go to the folder SCREENSHOTS.
# Needs the Debian packages chromium, chromium-driver and python3. Status: 0 the report is well;
# 1 it is not; 2 bad usage; 3 a program is missing or does not start.
set -euo pipefail

if (($# < 1 || $# > 2)); then
    echo "usage: scripts/check-report.sh DIR [SCREENSHOTS]" >&2
    exit 2
fi
for program in chromium chromedriver python3; do
    command -v "$program" >/dev/null && continue
    echo "$program is missing: apt-get install chromium chromium-driver python3" >&2
    exit 3
done
exec python3 "$(dirname "${BASH_SOURCE[0]}")/check_report.py" "$@"
