"""The operator page in a real browser, beside a control process on a bus: what moves on the line moves on the page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from tests.test_end_to_end import PATIENCE_S, Scene

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
SIZE = {"width": 1280, "height": 800}
PAGES = ("overview", "profile", "zones", "tuning", "alarms", "rolls", "audit", "recipes", "ahead")


@pytest.fixture
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def until(seen: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline_s, f"nobody saw: {what}"


def address(scene: Scene) -> str:
    """Where the page says that it is."""
    log = scene.folder / "page.log"
    until(lambda: log.is_file() and "http://" in log.read_text(), "the page's address")
    return log.read_text().split("http://")[1].split()[0]


FITS = "document.documentElement.scrollHeight <= 800 && document.documentElement.scrollWidth <= 1280"


def inked(page: playwright.Page, section: str) -> int:
    """How many colours a picture has; none before it is there."""
    return page.evaluate(
        """(section) => {
            const canvas = document.querySelector(`#${section} canvas`);
            if (!canvas || !canvas.width || !canvas.height) return 0;
            const pen = canvas.getContext("2d");
            const data = new Uint32Array(pen.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
            return new Set(data).size;
        }""",
        section,
    )


def turned_over(page: playwright.Page) -> None:
    """Every page in turn, by key and by touch, has something of this line on it and fits its screen."""
    page.locator("#language").click()
    page.locator("#language").focus()
    for number, name in enumerate(PAGES, 1):
        page.keyboard.press(str(number))
        until(page.locator(f"#page-{name}").is_visible, name)
        assert page.locator(".page:visible").count() == 1
        assert page.evaluate(FITS), name
    page.keyboard.press("7")
    until(lambda: page.locator("#page-audit tbody tr").count() > 0, "the record of the start")
    page.locator("#page-audit .verify").click()
    until(lambda: "The chain is whole" in page.locator("#page-audit output").inner_text(), "the verdict on the chain")
    page.keyboard.press("ArrowLeft")
    until(lambda: page.locator("#page-rolls tbody tr").count() == 1, "the only roll")
    page.locator("nav a[href='#tuning']").click()
    until(lambda: "µm" in page.locator("#belief").inner_text(), "what is believed, from the snapshot")
    page.locator("nav a[href='#zones']").click()
    until(lambda: page.locator("#table tr[data-zone]").count() == 16, "every zone")
    page.locator("#table tr[data-zone='6']").click()
    until(lambda: page.locator("#zone h2").inner_text().startswith("zone 7: "), "the zone that was touched")
    page.locator("nav a[href='#profile']").click()
    until(lambda: page.locator("#virtual").inner_text().startswith("Believed at the die"), "virtual areal density")
    assert inked(page, "cd") > 3 and inked(page, "cdlips") > 3
    foreseen(page)


def foreseen(page: playwright.Page) -> None:
    """What comes has its picture and its intervals; a question is answered with what it assumes, or refused by name."""
    page.keyboard.press("9")
    until(lambda: inked(page, "foreseen") > 3, "a forecast")
    assert "Any metre out of tolerance" in page.locator("#foreseen .soon").inner_text()
    page.locator("#what-if input[name=speed]").fill("900")
    page.locator("#what-if button").click()
    until(lambda: "must lie between" in page.locator("#what-if .problem").inner_text(), "the bounds of speed")
    page.locator("#what-if input[name=speed]").fill("20")
    page.keyboard.press("Enter")
    until(lambda: "20.0 m/min" in page.locator("#what-if dl").inner_text(), "what another speed would bring")
    assert page.locator("#what-if li").count() >= 3 and page.locator("#what-if .problem").is_hidden()
    page.keyboard.press("Escape")
    page.locator("nav a[href='#alarms']").click()
    until(lambda: page.locator("#diagnoses .rows > *").count() == 1, "what diagnosis names, or that it names nothing")
    assert page.locator("#diagnoses .problem").is_hidden()


def test_what_moves_on_the_line_moves_on_the_page_and_who_is_gone_is_missed(scene: Scene, browser) -> None:
    journal = scene.folder / "line.sqlite"
    scene.plant("--scenario", "first-shift")
    daemon = scene.daemon("line")
    scene.until_auto()
    until(journal.is_file, "a journal")
    scene.children.start("page", "serve", str(journal), "--port", "0")
    page, mistakes = browser.new_page(viewport=SIZE), []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", lambda said: mistakes.append(said.text) if said.type == "error" else None)
    page.goto(f"http://{address(scene)}")
    until(lambda: page.locator("#mode").inner_text() == "AUTO", "the line in AUTO")
    assert page.locator("h1").inner_text() == "pilot-16"
    assert page.locator("#stale").is_hidden()
    for section in ("map", "profile", "lips", "trend"):
        until(lambda drawn=section: inked(page, drawn) > 3, f"something drawn: {section}")
    before = page.locator("#sigma").inner_text()
    until(lambda: page.locator("#sigma").inner_text() != before, "another profile")
    page.locator("#profile canvas").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#language").click()
    assert page.locator("#profile h2").inner_text().startswith("横向")
    mode = page.locator("#mode").inner_text()
    assert mode.startswith(("自动", "保持")), "on a busy machine nodes latch now and then"
    turned_over(page)
    scene.children.stop(daemon)
    until(page.locator("#stale").is_visible, "that nobody is there")
    assert page.evaluate("document.body.classList.contains('stale')")
    assert [told.split("status of ")[-1] for told in mistakes] == ["400 (Bad Request)"], "the speed refused, no more"
    assert page.evaluate(FITS)
