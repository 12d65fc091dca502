"""Reliability diagrams: how often graders mark what a share of the samples marks."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from probunet.metrics.calibration import Reliability, total
from probunet.report.charts import PANEL, Chart, Names, Rows, layer, of_panels
from probunet.report.runs import RunFolder
from probunet.report.style import GREY

PANELS = {"pixels": "Pixels", "presence": "Is anything marked at all?"}


def reliability_chart(runs: list[RunFolder], models: Sequence[tuple[str, float]]) -> Chart | None:
    """Return a panel for pixels and one for whole images; None without bins.

    Of the model's samples at the greatest n, over all folds and seeds.

    Parameters
    ----------
    runs
        One data set's.
    models
        Models and betas that were run.
    """
    found = {
        panel: {pair: bins for pair in models if (bins := _bins(runs, pair, panel)) is not None}
        for panel in PANELS
    }
    drawn = [panel for panel in PANELS if found[panel]]
    if not drawn:
        return None
    names = Names(sorted({pair for panel in drawn for pair in found[panel]}), runs[0].run.dataset)
    panels = [_panel(panel, found[panel], names) for panel in drawn]
    chart = alt.concat(*panels, columns=len(panels), spacing=28)
    return Chart(
        name="reliability",
        title="Reliability",
        spec=of_panels(chart, names, f"{drawn[0]}-lines"),
        alt="Lines of the probability that something is marked, in the ground truth against the "
        "samples, one per model; their distance from the diagonal is the ECE of the tables.",
        caption="Ten bins of the share of samples that mark a pixel, or, on the right, anything in "
        "an image: their mean against the share in which the ground truth marks it, over the test "
        "images of all folds. On the diagonal: as often as it should be. Bins hold different "
        "numbers of pixels; the pointer shows them.",
    )


def _bins(runs: list[RunFolder], pair: tuple[str, float], panel: str) -> Reliability | None:
    """Return the bins of a model and beta over its runs."""
    of_pair = [getattr(run, panel) for run in runs if (run.run.model, run.run.beta) == pair]
    known = [bins for bins in of_pair if bins is not None and bins.pixels.any()]
    return total(known) if known else None


def _panel(name: str, found: dict[tuple[str, float], Reliability], names: Names) -> Any:
    unit = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("predicted:Q", title="share of samples", scale=unit, axis=alt.Axis(grid=False))
    y = alt.Y("marked:Q", title="share of the ground truth", scale=unit)
    exact = [{"predicted": value, "marked": value} for value in (0, 1)]
    rows = [names.row(*pair) | row for pair, bins in found.items() for row in _rows(bins)]
    look = {"opacity": names.opacity(0.9)}
    tooltip = [
        "predictor:N",
        alt.Tooltip("predicted:Q", title="samples", format=".3f"),
        alt.Tooltip("marked:Q", title="ground truth", format=".3f"),
        alt.Tooltip("count:Q", title=f"{name}, counted for each truth", format=","),
    ]
    layers = [
        layer(f"{name}-exact", exact).mark_line(color=GREY, strokeWidth=0.9).encode(x, y),
        layer(f"{name}-lines", rows)
        .mark_line(strokeWidth=1.6)
        .encode(x, y, names.colour, names.dash, **look),
        layer(f"{name}-points", rows)
        .mark_point(filled=True, size=40)
        .encode(x, y, names.colour, names.shape, tooltip=tooltip, **look),
    ]
    return alt.layer(*layers).properties(title=PANELS[name], width=PANEL, height=PANEL)


def _rows(bins: Reliability) -> Rows:
    """Return the bins that are not empty."""
    return [
        {
            "predicted": round(float(predicted / count), 5),
            "marked": round(float(marked / count), 5),
            "count": int(count),
        }
        for count, predicted, marked in zip(
            bins.pixels, bins.predicted, np.asarray(bins.marked), strict=True
        )
        if count
    ]
