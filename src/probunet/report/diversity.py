"""Sample diversity against grader diversity: do samples differ where graders do?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from probunet.pictures.numbers import number
from probunet.report.charts import ALL_POINTS, Chart, Names, finished, layer
from probunet.report.labels import predictor
from probunet.report.modes import ACROSS, two_lines
from probunet.report.modes import PANEL as SIDE
from probunet.report.runs import RunFolder
from probunet.report.style import GREY, looks
from probunet.report.tables import Cell, Row, Table

MOST_POINTS = 300  # in a panel
COLUMNS = ["n", "diversity", "grader_diversity"]


@dataclass(frozen=True)
class Diversity:
    """The diversities of images as a figure and a table."""

    chart: Chart
    table: Table


def diversity(runs: list[RunFolder], models: Sequence[tuple[str, float]]) -> Diversity | None:
    """Return the diversity of samples and graders of each test image; None without scores.

    Of the model's samples at the greatest n, over all folds and seeds.

    Parameters
    ----------
    runs
        One data set's.
    models
        Models and betas, in the order in which they are shown.
    """
    found = {pair: _images(runs, pair) for pair in models}
    found = {pair: images for pair, images in found.items() if len(images)}
    if not found:
        return None
    names = Names(sorted(found), runs[0].run.dataset)
    most = max(min(MOST_POINTS, ALL_POINTS // len(found)), 20)
    panels = [
        _panel(pair, _spread(images, most), names, f"diversity-{k}")
        for k, (pair, images) in enumerate(found.items())
    ]
    count = max(map(len, found.values()))
    drawn = "all test images" if count <= most else f"{most} of {count} test images of each model"
    chart = Chart(
        name="diversity",
        title="Diversity of samples and ground truth",
        spec=finished(alt.concat(*panels, columns=min(ACROSS, len(found)), spacing=18), []),
        alt="Dots, one panel per model: the diversity of the samples of an image against that of "
        "its ground truth; the table below sums them up.",
        caption="Mean distance between two samples of an image against that between two of the "
        "ground truth, each with itself included. On the line: as diverse as n draws from the "
        f"ground truth, (n - 1)/n of its diversity. Drawn: {drawn}.",
    )
    return Diversity(chart, _table(found, names))


def _images(runs: list[RunFolder], pair: tuple[str, float]) -> pd.DataFrame:
    """Return the columns of the images of all runs of a model and beta that have both."""
    of_pair = [run.scores for run in runs if (run.run.model, run.run.beta) == pair]
    known = [
        one[COLUMNS].dropna() for one in of_pair if one is not None and set(COLUMNS) <= set(one)
    ]
    return pd.concat(known) if known else pd.DataFrame(columns=COLUMNS)


def _spread(images: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many images, evenly spread over all."""
    chosen = np.unique(np.linspace(0, len(images) - 1, most).round().astype(int))
    return images.iloc[chosen]


def _panel(pair: tuple[str, float], images: pd.DataFrame, names: Names, name: str) -> Any:
    unit = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(values=[0, 0.5, 1], grid=False)
    x = alt.X("graders:Q", title="in the ground truth", scale=unit, axis=axis)
    y = alt.Y("samples:Q", title="between samples", scale=unit, axis=axis)
    slope = float((1 - 1 / images["n"]).mean())
    exact = [{"graders": value, "samples": slope * value} for value in (0, 1)]
    rows = [
        {"graders": round(graders, 4), "samples": round(samples, 4)}
        for samples, graders in zip(images["diversity"], images["grader_diversity"], strict=True)
    ]
    colour = looks([pair])[pair].colour
    dots = layer(name, rows).mark_circle(color=colour, size=22, opacity=0.5)
    tooltip = [
        alt.Tooltip("graders:Q", title="ground truth", format=".3f"),
        alt.Tooltip("samples:Q", format=".3f"),
    ]
    line = layer(f"{name}-exact", exact).mark_line(color=GREY, strokeWidth=0.9).encode(x, y)
    title = two_lines(predictor(*pair, names.dataset))
    chart = alt.layer(line, dots.encode(x, y, tooltip=tooltip))
    return chart.properties(title=title, width=SIDE, height=SIDE)


def _table(found: dict[tuple[str, float], pd.DataFrame], names: Names) -> Table:
    """Return the mean diversities, and their correlation over images, of each model."""
    rows = []
    for pair, images in found.items():
        samples, expected = images["diversity"], images["grader_diversity"] * (1 - 1 / images["n"])
        varies = samples.nunique() > 1 and expected.nunique() > 1
        correlation = float(np.corrcoef(samples, expected)[0, 1]) if varies else math.nan
        values = [float(samples.mean()), float(expected.mean()), correlation]
        cells = [Cell(str(len(images))), *(Cell(number(value)) for value in values)]
        rows.append(Row(predictor(*pair, names.dataset), cells, False))
    return Table(["images", "samples", "(n - 1)/n of the ground truth", "correlation"], rows)
