"""The latent space: a segmentation is seen large under the pointer, and by the arrow keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from .opened import NARROW, WIDE, Opened, opened

pytestmark = pytest.mark.browser


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def seen(browser: Browser, demo: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    with opened(browser, demo, request.param) as report:
        assert report.page.locator("figure.latent").count() >= 2
        yield report
        report.assert_calm()


def test_the_pointer_enlarges_what_it_is_over(seen: Opened) -> None:
    for figure in seen.page.locator("figure.latent").all():
        stage = figure.locator(".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert box is not None
        enlarged = figure.locator(".enlarged")
        expect(enlarged).to_be_hidden()
        told = []
        for across in (0.2, 0.8):
            stage.hover(position={"x": across * box["width"], "y": 0.5 * box["height"]})
            expect(enlarged).to_be_visible()
            told.append(figure.locator("output").inner_text())
            assert_larger(enlarged.locator(":scope > svg"), stage, int(cells(figure)))
        assert told[0] != told[1]
        seen.page.mouse.move(0, 0)
        expect(enlarged).to_be_hidden()


def test_arrow_keys_walk_over_the_grid(seen: Opened) -> None:
    figure = seen.page.locator("figure.latent").first
    stage, told = figure.locator(".stage"), figure.locator("output")
    seen.page.keyboard.press("Tab")  # the focus is one of the keyboard's
    stage.focus()
    middle = told.inner_text()
    assert middle.count("0\u00a0\u03c3") == 2
    stage.press("ArrowRight")
    right = told.inner_text()
    assert "+" in right.partition(",")[0]
    stage.press("ArrowUp")
    assert "+" in told.inner_text().partition(",")[2]
    for _ in range(50):
        stage.press("ArrowLeft")  # not beyond the edge
    assert "\u2212" in told.inner_text().partition(",")[0]
    expect(figure.locator(".enlarged")).to_be_visible()
    stage.press("Escape")
    expect(figure.locator(".enlarged")).to_be_hidden()


def cells(figure: Locator) -> str:
    return str(figure.get_attribute("data-cells"))


def assert_larger(large: Locator, stage: Locator, cells: int) -> None:
    """The drawing is at least twice as wide as a cell of the grid."""
    big, whole = large.bounding_box(), stage.bounding_box()
    assert big is not None
    assert whole is not None
    assert big["width"] > 2 * whole["width"] / cells
