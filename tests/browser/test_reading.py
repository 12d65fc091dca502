"""The report without scripts, on paper, and inside another page; and the command to copy."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from .opened import opened
from .whole import see_all

pytestmark = pytest.mark.browser


def test_without_scripts_tables_and_charts_are_there(browser: Browser, report: Path) -> None:
    with opened(browser, report, scripts=False) as seen:
        tables = seen.page.locator("table").filter(visible=True)
        assert tables.count() >= 2
        charts = seen.page.locator("figure.chart")
        for chart in charts.all():
            expect(chart.locator("svg").first).to_be_visible()
        assert charts.count() >= 1
        expect(seen.page.locator("#explorer")).to_be_hidden()
        if seen.page.locator("#explorer").count():
            expect(seen.page.locator("noscript .missing")).to_be_visible()
        assert seen.page.locator("table button").count() == 0
        seen.assert_calm()


def test_on_paper_nothing_is_cut(browser: Browser, report: Path) -> None:
    with opened(browser, report) as seen:
        see_all(seen.page)
        seen.page.emulate_media(media="print")
        expect(seen.page.locator("nav")).to_be_hidden()
        expect(seen.page.locator("h1")).to_be_visible()
        assert seen.page.locator("table").filter(visible=True).count() >= 2
        assert len(seen.page.pdf(format="A4")) > 20_000
        seen.assert_calm()


def test_the_command_is_copied(browser: Browser, demo: Path) -> None:
    with opened(browser, demo) as seen:
        command = seen.page.locator("#command").inner_text()
        assert command.splitlines()[-1].startswith("snakemake ")
        button = seen.page.locator("[data-copies=command]")
        for key in ("Enter", "Space"):
            button.press(key)
            expect(seen.page.locator(".command [role=status]").first).not_to_be_empty()
            assert seen.page.evaluate("navigator.clipboard.readText()") == command
        seen.assert_calm()


def test_the_command_is_copied_without_a_clipboard(browser: Browser, demo: Path) -> None:
    gone = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    with opened(browser, demo, before=gone) as seen:
        command = seen.page.locator("#command").inner_text()
        seen.page.locator("[data-copies=command]").press("Enter")
        expect(seen.page.locator(".command [role=status]").first).not_to_be_empty()
        assert seen.page.evaluate("String(getSelection())").strip() == command.strip()
        seen.assert_calm()


def test_it_works_inside_another_page(browser: Browser, demo: Path, tmp_path: Path) -> None:
    """As Snakemake's own report shows it: in a frame that has no address of its own."""
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!doctype html><meta charset=utf-8><title>Outer</title>"
        '<iframe title="report" style="width: 1200px; height: 700px"></iframe><script>'
        f"const text = {as_script(demo.read_text(encoding='utf-8'))};"
        "const page = new Blob([text], { type: 'text/html' });"
        "document.querySelector('iframe').src = URL.createObjectURL(page);</script>",
        encoding="utf-8",
    )
    with opened(browser, outer) as seen:
        frame = seen.page.frame_locator("iframe")
        expect(frame.locator("#explorer-status")).to_contain_text("Image 1 of")
        frame.locator("#explorer-next").click()
        expect(frame.locator("#explorer-status")).to_contain_text("Image 2 of")
        frame.locator("thead button").first.click()
        expect(frame.locator("th[aria-sort]")).to_have_count(1)
        seen.assert_calm()


def as_script(text: str) -> str:
    """Return a text as JavaScript within a page."""
    import json

    return json.dumps(text).replace("</", "<\\/").replace("<!--", "<\\!--")
