"""The page in a real browser: it renders, it is inert, it fits, and hostile names stay text."""

import shutil

import pytest
from playwright.sync_api import sync_playwright
from synthetic import make_records

from modelstitch.errors import StudyError
from modelstitch.report.page import page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<script>alert(1)</script>"
IMAGE = '"><img src=http://127.0.0.1:9/x onerror=alert(2)>'


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is not installed: expected 'chromium' on PATH; run 'apt-get install -y chromium'.")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield started
        started.close()


class Seen:
    """A page opened at one width, with everything it tried to do."""

    def __init__(self, browser, html, width, folder):
        self.trouble = []
        file = folder / "report.html"
        file.write_text(html, encoding="utf-8")
        self.tab = browser.new_page(viewport={"width": width, "height": 900})
        self.tab.on("console", lambda m: self.trouble.append(f"console: {m.text}"))
        self.tab.on("pageerror", lambda e: self.trouble.append(f"error: {e}"))
        self.tab.on("dialog", lambda d: (self.trouble.append(f"dialog: {d.message}"), d.dismiss()))
        own = file.as_uri()
        self.tab.on("request", lambda r: r.url in (own, "data:,") or self.trouble.append(f"request: {r.url}"))
        self.tab.goto(own)
        self.tab.wait_for_load_state("networkidle")


@pytest.fixture(scope="module")
def shown():
    return page(make_records(), title="Three networks", command="modelstitch demo")


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1280])
def test_it_renders_and_fits(browser, shown, tmp_path, width):
    seen = Seen(browser, shown, width, tmp_path)
    tab = seen.tab
    assert seen.trouble == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = tab.evaluate("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().toJSON())")
    assert len(boxes) == 6 + 2
    assert all(box["width"] > 250 and box["height"] > 150 and box["right"] <= width for box in boxes)
    text = tab.inner_text("body")
    for piece in (
        "seed0 → seed1",
        "stage2.0",
        "[−0.2, 1.6]",
        "class-noise",
        "normalised",
        "2.10.0",
        "modelstitch demo",
    ):
        assert piece in text
    assert "may not be evidence: its interval meets that of an untrained bottom" in text
    assert tab.locator("table").count() == 1 + 6 + 2
    tab.close()


@pytest.mark.slow
def test_matrices_and_ladders_are_shown_and_are_tables_too(browser, tmp_path):
    records = make_records(("a", "b"), families=("identity", "orthogonal", "affine"), full_matrix=True)
    seen = Seen(browser, page(records, title="M", spec={"name": "declared here"}), 400, tmp_path)
    assert seen.trouble == []
    assert seen.tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert seen.tab.locator("svg").count() == 2 * 3 + 2
    assert seen.tab.locator("details table").count() == 2 * 3
    assert "declared here" in seen.tab.text_content("pre")
    seen.tab.close()


@pytest.mark.slow
def test_hostile_names_stay_text(browser, tmp_path):
    layers = [f"{HOSTILE}{i}{IMAGE}{'x' * 80}" for i in range(3)]
    records = make_records((HOSTILE, IMAGE), layers=layers, full_matrix=True)
    for record in records:
        record["notes"] = [HOSTILE, "half \ud800 a pair"]
        record["provenance"]["platform"] = IMAGE
    html = page(records, title=HOSTILE + "</title>", spec={"name": IMAGE}, command=HOSTILE)
    assert "<script" not in html
    assert "<img" not in html
    for width in (400, 1280):
        seen = Seen(browser, html, width, tmp_path)
        assert seen.trouble == []
        assert seen.tab.title() == HOSTILE + "</title>"
        assert seen.tab.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 0
        assert seen.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert HOSTILE in seen.tab.inner_text("body")
        seen.tab.close()


@pytest.mark.slow
def test_the_browser_test_would_notice(browser, tmp_path):
    """Were names not escaped, or the policy missing, the checks above would fail."""
    html = page(make_records(("a", "b")), title="TITLE", spec=None)
    bad = html.replace("TITLE", "<script>alert(1)</script><img src='http://127.0.0.1:9/x'>")
    assert any("script" in t for t in Seen(browser, bad, 400, tmp_path).trouble)
    worse = bad.replace("default-src 'none'", "default-src * 'unsafe-inline'").replace("img-src data:", "img-src *")
    trouble = Seen(browser, worse, 400, tmp_path).trouble
    assert any(t.startswith("dialog: 1") for t in trouble)
    assert any(t.startswith("request: http://127.0.0.1:9/x") for t in trouble)


@pytest.mark.slow
def test_the_policy_forbids_what_the_page_does_not_do():
    html = page(make_records(("a", "b")), title="t")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    outside = html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in outside.replace("http-equiv", "")


@pytest.mark.slow
def test_the_same_records_give_the_same_page():
    assert page(make_records(("a", "b")), title="t") == page(make_records(("a", "b")), title="t")


@pytest.mark.parametrize("records", [[], make_records(controls=("random",))])
def test_nothing_to_report_is_said(records):
    with pytest.raises(
        StudyError, match=f"expected at least one finished cell of a pair .*found {len(records)} records"
    ):
        page(records, title="t")


def test_partial_studies_still_make_a_page():
    html = page(make_records(("a", "b"), controls=("pair",), interval=False, layers=("only",)), title="t")
    assert "There is no random control" in html
    assert "judged by values alone" in html


@pytest.mark.slow
def test_a_setting_that_failed_everywhere_leads_no_page():
    records = make_records(("a", "b"), families=("orthogonal", "affine"))
    for record in records:
        if record["config"]["family"] == "affine" and record["config"]["control"] == "pair":
            record |= {"metrics": [], "notes": ["failed: the stitch gives NaN"]}
    text = page(records, title="t")
    assert "the penalty is at most" in text
    assert "Penalty by family" not in text
    for record in records:
        if record["config"]["control"] == "pair":
            record["metrics"] = []
    with pytest.raises(StudyError, match="There is nothing to report"):
        page(records, title="t")
