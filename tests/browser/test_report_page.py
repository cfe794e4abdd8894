"""The page of a report in a real browser: rendered offline, whole, and without a single request to anywhere."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.reports.report import write_report
from controller.reports.sample import write_sample

pytestmark = pytest.mark.needs("chromium")

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # the browser's own errands find nobody
    "--hide-scrollbars",
)
HEADINGS = (
    "Verdict",
    "Arrivals",
    "Latency against the objective",
    "Instances",
    "Settings and decisions",
    "Predicted against observed",
    "Cost",
    "How this was measured",
    "Words",
)


@pytest.fixture
def browse(tmp_path):
    """Open a page and return (its DOM after rendering, what it asked the network for)."""

    def open_page(page: Path, *flags: str) -> tuple[str, list[str]]:
        log = tmp_path / "net.json"
        command = ["chromium", *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", *flags]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)
        events = json.loads(log.read_text())["events"]
        asked = [event["params"] for event in events if "url" in event.get("params", {})]
        # Requests of a page have an initiator; the browser's own errands have none.
        return done.stdout, [each["url"] for each in asked if each.get("initiator", "not an origin") != "not an origin"]

    return open_page


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "demo-1"
    write_sample(folder)
    return write_report(folder)[1]


def test_the_page_is_rendered_whole_and_asks_the_network_for_nothing(browse, page):
    dom, asked = browse(page, "--dump-dom")

    assert "tidegate kept" in dom
    assert [dom.index(f">{heading}</h2>") for heading in HEADINGS] == sorted(
        dom.index(f">{heading}</h2>") for heading in HEADINGS
    )
    assert dom.count("<svg") == 10
    assert asked == []


def test_a_page_that_did_ask_would_be_noticed(browse, tmp_path):
    page = tmp_path / "asks.html"
    page.write_text('<img src="http://example.invalid/pixel.png">')

    assert browse(page, "--dump-dom")[1] == ["http://example.invalid/pixel.png"]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(browse, page, tmp_path, width):
    probe = tmp_path / f"probe-{width}.html"
    # The policy of the page forbids scripts, so a copy without it measures.
    measure = "document.title = `${document.documentElement.scrollWidth} ${innerWidth}`"
    content = page.read_text(encoding="utf-8").replace("Content-Security-Policy", "x-none")
    probe.write_text(content.replace("</body>", f"<script>{measure}</script></body>"), encoding="utf-8")

    dom, _ = browse(probe, f"--window-size={width},900", "--dump-dom")

    scrolled, seen = map(int, dom.split("<title>")[1].split("</title>")[0].split())
    assert scrolled <= seen


def test_the_page_prints(browse, page, tmp_path):
    paper = tmp_path / "report.pdf"

    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={paper}")

    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 20_000
