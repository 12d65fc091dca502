"""How fast the report opens, and that a picture is there without anything being done."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .opened import opened

pytestmark = pytest.mark.browser
SECONDS = 2.0  # from opening to the first picture
# when the explorer's status line first tells of an image, whose picture is drawn in the same turn,
# the page keeps the time since it was opened
WATCH = """
document.addEventListener("DOMContentLoaded", () => {
  const status = document.querySelector("#explorer-status");
  const seen = () => {
    if (status.textContent) performance.mark("first picture");
    return status.textContent;
  };
  if (!seen()) new MutationObserver((_, watch) => seen() && watch.disconnect())
    .observe(status, { childList: true, characterData: true, subtree: true });
});
"""
DRAWN = """() => {
  const canvas = document.querySelector("#explorer-picture");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(data).size > 10;
}"""


def test_the_first_picture_is_there_within_two_seconds(browser: Browser, demo: Path) -> None:
    seconds = [first_picture(browser, demo) for _ in range(3)]
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"the machine is busy; best of three: {min(seconds):.2f} s")
    assert min(seconds) < SECONDS


def first_picture(browser: Browser, file: Path) -> float:
    """Return the seconds from navigation to the first picture."""
    with opened(browser, file, before=WATCH) as seen:
        seen.page.wait_for_function(
            "() => performance.getEntriesByName('first picture').length > 0"
        )
        assert seen.page.evaluate(DRAWN)
        milliseconds: float = seen.page.evaluate(
            "() => performance.getEntriesByName('first picture')[0].startTime"
        )
        return milliseconds / 1000
