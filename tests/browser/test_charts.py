"""Charts: drawn in the file, alive when they come into view, and told by their points."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from .opened import NARROW, WIDE, Opened, opened
from .whole import see_all, wait_until_drawn

pytestmark = pytest.mark.browser


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def seen(browser: Browser, demo: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    with opened(browser, demo, request.param) as report:
        yield report
        report.assert_calm()


def test_every_chart_comes_alive(seen: Opened) -> None:
    charts = seen.page.locator("figure.chart")
    assert charts.count() >= 4
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".drawn")).to_have_class("drawn live")
        assert chart.locator("svg path").count() > 3
        box = chart.locator("svg").first.bounding_box()
        assert box is not None
        assert box["width"] > 150
        assert box["height"] > 100


def test_a_chart_out_of_view_waits(seen: Opened) -> None:
    last = seen.page.locator("figure.chart").last
    expect(last.locator(".drawn")).to_have_class("drawn")
    assert last.locator("svg path").count() > 3


def test_a_point_tells_its_values(seen: Opened) -> None:
    chart = alive(seen.page, 0)
    means = values_of(chart, "markers")
    points = chart.locator("g.mark-symbol.role-mark.markers_marks path, g.markers_marks path")
    assert points.count() == len(means)
    points.last.hover()
    tooltip = seen.page.locator("#vg-tooltip-element")
    expect(tooltip).to_be_visible()
    told = tooltip.inner_text()
    assert any(f"{one['ged']:.3f}"[:5] in told or str(one["ged"])[:5] in told for one in means)


def test_a_name_in_the_legend_dims_the_others(seen: Opened) -> None:
    for k in range(seen.page.locator("figure.chart").count()):
        chart = alive(seen.page, k)
        names = chart.locator("g.role-legend-label text, g.role-legend-symbol path")
        if chart.locator("g.role-legend-label text").count() < 3:
            continue
        before = opacities(chart)
        names.first.click(force=True)
        wait_until_drawn(seen.page)
        assert opacities(chart) != before
        return
    pytest.fail("no chart has a legend with several names")


def test_of_many_models_a_chosen_one_shows_its_runs_and_interval(seen: Opened) -> None:
    chart = alive(seen.page, chart_with(seen.page, "hover-intervals"))
    assert (visible(chart, "intervals"), visible(chart, "runs")) == (0, 0)
    chart.locator("g.role-legend-label text").first.click(force=True)
    wait_until_drawn(seen.page)
    folds = {row["fold"] for row in values_of(chart, "hover-runs")}
    assert (visible(chart, "intervals"), visible(chart, "runs")) == (1, len(folds))


def test_without_the_library_the_drawn_chart_stays(browser: Browser, demo: Path) -> None:
    broken = """document.addEventListener("DOMContentLoaded", () => {
      document.getElementById("vega").textContent = "";
    });"""
    with opened(browser, demo, before=broken) as report:
        see_all(report.page)
        for chart in report.page.locator("figure.chart").all():
            assert chart.locator("svg path").count() > 3
        assert report.page.locator(".live").count() == 0
        report.assert_calm()


def alive(page: Page, k: int) -> Locator:
    """Return the k-th chart, when it answers to the pointer."""
    chart = page.locator("figure.chart").nth(k)
    chart.scroll_into_view_if_needed()
    expect(chart.locator(".drawn")).to_have_class("drawn live")
    return chart


def chart_with(page: Page, layer: str) -> int:
    """Return the place of the first chart that has a layer of this name."""
    texts = page.locator("figure.chart > script").all_text_contents()
    return next(k for k, text in enumerate(texts) if f'"{layer}"' in text)


def visible(chart: Locator, layer: str) -> int:
    """Return how many marks of a layer that waits for a choice can be seen."""
    marks = chart.locator(f"g[class*=hover_{layer}_marks] path")
    found: int = marks.evaluate_all(
        "all => all.filter((one) => Number(one.getAttribute('opacity') ?? 1) > 0).length"
    )
    return found


def values_of(chart: Locator, name: str) -> list[dict[str, Any]]:
    """Return the rows behind the layer of this name."""
    spec = json.loads(str(chart.locator("script").text_content()))
    layers = [layer for layer in spec["layer"] if layer.get("name") == name]
    assert len(layers) == 1
    data = layers[0]["data"]
    rows: list[dict[str, Any]] = data.get("values") or spec["datasets"][data["name"]]
    return rows


def opacities(chart: Locator) -> list[str]:
    found: list[str] = chart.locator("g.role-mark path").evaluate_all(
        "all => all.map((one) => `${one.getAttribute('opacity')} "
        "${one.getAttribute('stroke-opacity')}`)"
    )
    return found
