"""Every report as a page: alone, calm, accessible and readable, on a laptop and on a phone."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from .opened import NARROW, WIDE, opened
from .reports import REPORTS
from .whole import open_all, see_all

pytestmark = pytest.mark.browser
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# elements that are wider than the page and not within one that scrolls
WIDER = """() => [...document.querySelectorAll("body *")].filter((element) => {
  if (!element.checkVisibility() || element.getBoundingClientRect().right <= innerWidth + 1)
    return false;
  for (let e = element.parentElement; e; e = e.parentElement)
    if (getComputedStyle(e).overflowX !== "visible" || e instanceof SVGElement) return false;
  return true;
}).map((element) => element.outerHTML.slice(0, 120))"""

sizes = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


@sizes
def test_nothing_leaves_the_page_and_nothing_goes_wrong(
    browser: Browser, report: Path, size: tuple[int, int]
) -> None:
    with opened(browser, report, size) as seen:
        open_all(seen.page)
        see_all(seen.page)
        seen.assert_calm()


@sizes
def test_it_is_accessible(browser: Browser, report: Path, size: tuple[int, int]) -> None:
    with opened(browser, report, size) as seen:
        open_all(seen.page)
        see_all(seen.page)
        found = Axe().run(
            seen.page,
            options={
                "runOnly": {"type": "tag", "values": WCAG},
                "resultTypes": ["violations", "passes"],
            },
        )
        assert found.violations_count == 0, found.generate_report()
        assert "color-contrast" in {rule["id"] for rule in found.response["passes"]}


@sizes
def test_it_is_no_wider_than_the_window(
    browser: Browser, report: Path, size: tuple[int, int]
) -> None:
    with opened(browser, report, size) as seen:
        open_all(seen.page)
        see_all(seen.page)
        assert seen.page.evaluate(WIDER) == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_its_headings_make_an_outline(browser: Browser, report: Path) -> None:
    with opened(browser, report) as seen:
        levels = [
            int(name[1])
            for name in seen.page.eval_on_selector_all(
                "h1, h2, h3, h4, h5, h6", "all => all.map((h) => h.tagName)"
            )
        ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_links_within_the_page_lead_somewhere(browser: Browser, report: Path) -> None:
    with opened(browser, report) as seen:
        lost = seen.page.eval_on_selector_all(
            "a[href^='#']",
            """all => all.map((a) => decodeURIComponent(a.hash.slice(1)))
                .filter((id) => !document.getElementById(id))""",
        )
        ids = seen.page.eval_on_selector_all("[id]", "all => all.map((e) => e.id)")
    assert lost == []
    assert sorted(ids) == sorted(set(ids))


def test_a_script_that_got_into_the_page_does_not_run(
    browser: Browser, report_of: Callable[[str], Path], tmp_path: Path
) -> None:
    page = report_of(next(iter(REPORTS))).read_text(encoding="utf-8")
    strange = (
        "<script>document.title = 'ran'</script>"
        "<img src=nowhere onerror=\"document.title = 'ran'\">"
        "<a id=strange href=\"javascript:document.title = 'ran'\">here</a>"
    )
    (tmp_path / "report.html").write_text(page.replace("<main>", f"<main>{strange}", 1))
    with opened(browser, tmp_path / "report.html", WIDE) as seen:
        seen.page.click("#strange")
        seen.page.wait_for_timeout(200)
        assert seen.page.title() != "ran"
