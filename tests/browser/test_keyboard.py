"""A page without a mouse: Tab reaches all that can be used, and shows where it is."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .opened import NARROW, WIDE, opened
from .whole import open_all, see_all

pytestmark = pytest.mark.browser

# numbers what Tab is to reach, and keeps how it looks without the focus
NUMBER = """() => {
  const looks = (element) => {
    const { outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor } =
      getComputedStyle(element);
    return [outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor].join();
  };
  const usable = [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex]",
  )].filter((e) => !e.disabled && e.tabIndex >= 0 && e.checkVisibility());
  usable.forEach((element, k) => { element.dataset.stop = k; });
  window.before = usable.map(looks);
  window.looks = looks;
  return usable.map((element) => element.outerHTML.slice(0, 160));
}"""
# the focused element: its number, whether the focus changes its looks, whether any of it is seen
FOCUS = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const stop = Number(element.dataset.stop ?? -1);
  const box = element.getBoundingClientRect();
  const seen = [0.02, 0.25, 0.5, 0.75, 0.98].flatMap((x) => [0.05, 0.5, 0.95].map((y) =>
    element.contains(
      document.elementFromPoint(box.left + x * box.width, box.top + y * box.height),
    )));
  return {
    stop,
    html: element.outerHTML.slice(0, 160),
    marked: window.looks(element) !== window.before[stop],
    seen: seen.some(Boolean),
  };
}"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_tab_reaches_all_that_can_be_used(
    browser: Browser, report: Path, size: tuple[int, int]
) -> None:
    with opened(browser, report, size) as seen:
        open_all(seen.page)
        see_all(seen.page)
        usable = seen.page.evaluate(NUMBER)
        stops = walk(seen.page, len(usable))
        reached = [stop["stop"] for stop in stops]
        assert [usable[k] for k in range(len(usable)) if k not in reached] == []
        assert reached == sorted(reached), "the order of the page"
        assert [stop["html"] for stop in stops if not stop["marked"]] == []
        assert [stop["html"] for stop in stops if not stop["seen"]] == []
        seen.assert_calm()


def walk(page: Page, most: int) -> list[dict[str, Any]]:
    """Press Tab until the focus leaves the page; return where it was."""
    stops = []
    for _ in range(most + 1):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if stop is None or (stops and stop["stop"] == stops[0]["stop"]):
            break
        stops.append(stop)
    return stops


def test_shift_tab_leads_back(browser: Browser, demo: Path) -> None:
    with opened(browser, demo) as seen:
        seen.page.evaluate(NUMBER)
        for _ in range(5):
            seen.page.keyboard.press("Tab")
        there = seen.page.evaluate(FOCUS)["stop"]
        seen.page.keyboard.press("Tab")
        seen.page.keyboard.press("Shift+Tab")
        assert seen.page.evaluate(FOCUS)["stop"] == there


def test_enter_opens_what_is_folded_away(browser: Browser, demo: Path) -> None:
    with opened(browser, demo) as seen:
        summary = seen.page.locator("details > summary").first
        for key in ("Enter", "Space"):
            summary.focus()
            seen.page.keyboard.press(key)
            assert seen.page.locator("details").first.evaluate("one => one.open") is (
                key == "Enter"
            )
