"""Opens the report of a study in Chromium through its WebDriver, and looks for what is wrong.

Called by check-report.sh, which says what it needs. What is looked for on the page stands in
check_report.js; how many charts there have to be follows from study.json.
"""

import base64
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

WIDTHS = [1280, 400]
SCHEMES = ["light", "dark"]
SECTIONS = ["verdict", "wins", "losses", "ties", "cost", "latency", "method", "machine", "repeat"]
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Browser:
    """A session of Chromium that nobody else uses, in a profile of its own."""

    def __init__(self, profile):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.session = None
        output = []
        for line in self.driver.stdout:
            output.append(line)
            if port := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise EnvironmentError("chromedriver does not start:\n" + "".join(output))
        self.url = f"http://127.0.0.1:{port[1]}"
        chromium = {"args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": chromium, "goog:loggingPrefs": {"browser": "ALL"}}
        reply = self.call("/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = reply["sessionId"]
        self.url += f"/session/{self.session}"

    def call(self, path, body, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        # No proxy is between here and a program on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise EnvironmentError(f"the browser answered: {error.read().decode()}") from error

    def command(self, name, parameters):
        return self.call("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def show(self, width, scheme):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", {"features": [feature]})

    def picture(self, width, height):
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        wanted = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        return base64.b64decode(self.command("Page.captureScreenshot", wanted)["data"])

    def end(self):
        if self.session is not None:
            self.call("", None, "DELETE")
        self.driver.terminate()
        self.driver.wait()


def charts_expected(study):
    """The least number of charts of each section, as the data has it."""
    metrics = lambda findings: len({finding["comparison"]["metric"] for finding in findings})
    is_valid = lambda one: one["invalid"] is None
    curves = [cell for cell in study["cells"] if any(map(is_valid, cell["curve"]))]
    has_valid_run = lambda cell: any(is_valid(run) and run["slices"] for run in cell["runs"])
    workloads = {cell["workload"] for cell in study["cells"] if has_valid_run(cell)}
    return {
        "wins": metrics(study["wins"]),
        "losses": metrics(study["losses"]),
        "cost": len(workloads),
        "latency": 3 * len(curves),
    }


def check(browser, directory, screenshots):
    expected = charts_expected(json.loads((directory / "study.json").read_text()))
    script = (pathlib.Path(__file__).parent / "check_report.js").read_text()
    complaints, charts = [], 0
    browser.call("/url", {"url": (directory / "report.html").as_uri()})
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(width, scheme)
            if screenshots:
                height = browser.call("/execute/sync", {
                    "script": "return document.documentElement.scrollHeight", "args": []
                })
                picture = browser.picture(width, height)
                (screenshots / f"{width}-{scheme}.png").write_bytes(picture)
            found = browser.call("/execute/sync", {"script": script, "args": []})
            here, sections = found["complaints"], dict(found["sections"])
            if list(sections) != SECTIONS:
                here.append(f"the sections are {list(sections)} instead of {SECTIONS}")
            for section, least in expected.items():
                number = sections.get(section, 0)
                if number < least:
                    here.append(f"{number} charts in the section {section}, {least} at least")
            complaints += [f"{width} wide, {scheme}: {complaint}" for complaint in here]
            charts = sum(sections.values())
            reset = "document.querySelectorAll('details').forEach((one) => { one.open = false; })"
            browser.call("/execute/sync", {"script": reset, "args": []})
    complaints += [entry["message"] for entry in browser.call("/se/log", {"type": "browser"})]
    return complaints, charts


def main():
    directory = pathlib.Path(sys.argv[1]).resolve()
    screenshots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if screenshots:
        screenshots.mkdir(parents=True, exist_ok=True)
    for name in ["report.html", "study.json"]:
        if not (directory / name).is_file():
            print(f"{directory} has no {name}; give the folder of a study", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            browser = Browser(profile)
        except EnvironmentError as error:
            print(error, file=sys.stderr)
            return 3
        try:
            complaints, charts = check(browser, directory, screenshots)
        finally:
            browser.end()
    for complaint in complaints[:40]:
        print(complaint, file=sys.stderr)
    if len(complaints) > 40:
        print(f"and {len(complaints) - 40} more", file=sys.stderr)
    sizes = " and ".join(map(str, WIDTHS))
    print(f"{charts} charts, {sizes} wide, {' and '.join(SCHEMES)}: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
