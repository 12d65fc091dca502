"""Calibration of modes: how often samples lie in each mode, and switch each class.

As in Kohl et al. 2018, section 4 and the appendix on Cityscapes: a calibrated model's samples have
each of the 32 modes as often as its probability says.
"""

from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.flips import FLIPS, MODE_PROBABILITIES, MODES
from probunet.pictures.numbers import number
from probunet.report.charts import HEIGHT, WIDTH, Chart, Names, finished, layer
from probunet.report.labels import predictor
from probunet.report.runs import RunFolder
from probunet.report.style import GREY, looks
from probunet.report.tables import Cell, Row, Table

COLUMNS = ("mode_share", "first_pixels", "second_pixels", "present")
ACROSS = 4  # panels side by side
PANEL = 180  # width and height of each, pixels
LIMITS = (1e-3, 1.0)  # of frequencies; rarer modes are at the lower edge
PROBABLE = (0.003, 0.2)  # limits of the modes' probabilities


@dataclass(frozen=True)
class Frequencies:
    """What one model and beta draws, over its test images."""

    model: str
    beta: float
    images: int  # behind `modes`
    samples: int  # behind `modes`, of all these images
    modes: NDArray[np.float64]  # (32,), mean share of the samples that are nearest to each
    never: int  # modes that no sample was nearest to
    switched: NDArray[np.float64]  # (5,), share of second names; NaN: neither was drawn


@dataclass(frozen=True)
class Calibration:
    """Frequencies as figures and tables."""

    complete: bool  # whether the modes' images hold all five classes
    images: int  # behind the modes' frequencies, at most
    modes: Table
    modes_chart: Chart
    switches: Table
    switches_chart: Chart


def calibration(runs: list[RunFolder], models: list[tuple[str, float]]) -> Calibration | None:
    """Return the frequencies of modes and switches, or None if no run's scores have them.

    Of the model's samples at the greatest n, over all folds and seeds. Modes are counted on images
    that hold all five classes, where all 32 differ; if there is no such image, on all.

    Parameters
    ----------
    runs
        One data set's.
    models
        Models and betas, in the order in which they are shown.
    """
    by_pair = {pair: _images(runs, pair) for pair in models}
    by_pair = {pair: images for pair, images in by_pair.items() if len(images)}
    if not by_pair:
        return None
    complete = any(images["present"].map(all).any() for images in by_pair.values())
    found = [_frequencies(*pair, images, complete) for pair, images in by_pair.items()]
    names = Names(sorted(by_pair), runs[0].run.dataset)
    return Calibration(
        complete=complete,
        images=max(one.images for one in found),
        modes=_modes_table(found, names),
        modes_chart=_modes_chart(found, names, complete),
        switches=_switches_table(found, names),
        switches_chart=_switches_chart(found, names),
    )


def _images(runs: list[RunFolder], pair: tuple[str, float]) -> pd.DataFrame:
    """Return the model's rows at its greatest n, of all of its runs that have the columns."""
    of_pair = [run.scores for run in runs if (run.run.model, run.run.beta) == pair]
    models = [
        scores[scores["predictor"] == "model"].dropna(subset="mode_share")
        for scores in of_pair
        if scores is not None and set(COLUMNS) <= set(scores)
    ]
    greatest = [one.loc[one["n"] == one["n"].max(), ["n", *COLUMNS]] for one in models]
    return pd.concat(greatest) if greatest else pd.DataFrame(columns=["n", *COLUMNS])


def _frequencies(model: str, beta: float, images: pd.DataFrame, complete: bool) -> Frequencies:
    chosen = images[images["present"].map(all)] if complete else images
    shares = np.array(chosen["mode_share"].tolist(), float).reshape(-1, len(MODE_PROBABILITIES))
    usable = np.isfinite(shares).all(axis=1)  # an image without any of the classes has none
    modes = shares[usable].mean(axis=0) if usable.any() else np.full(shares.shape[1], np.nan)
    first = np.array(images["first_pixels"].tolist(), float).sum(axis=0)
    second = np.array(images["second_pixels"].tolist(), float).sum(axis=0)
    either = first + second
    return Frequencies(
        model,
        beta,
        images=int(usable.sum()),
        samples=int(chosen["n"][usable].sum()),
        modes=modes,
        never=int((modes == 0).sum()),
        switched=np.divide(second, either, out=np.full(len(FLIPS), np.nan), where=either > 0),
    )


def _modes_table(found: list[Frequencies], names: Names) -> Table:
    rows = []
    for one in found:
        gaps = np.abs(one.modes - MODE_PROBABILITIES)
        texts = [str(one.images), number(gaps.sum() / 2), number(gaps.max()), str(one.never)]
        label = predictor(one.model, one.beta, names.dataset)
        rows.append(Row(label, [Cell(text) for text in texts], False))
    return Table(["images", "total variation", "largest gap", "modes never drawn"], rows)


def _switches_table(found: list[Frequencies], names: Names) -> Table:
    flips = [Cell(f"{p} = {number(float(p))}") for p in FLIPS.values()]
    rows = [Row("The flips themselves", flips, True)]
    for one in found:
        cells = [Cell(number(value)) for value in one.switched]
        rows.append(Row(predictor(one.model, one.beta, names.dataset), cells, False))
    return Table(list(FLIPS), rows)


def _modes_chart(found: list[Frequencies], names: Names, complete: bool) -> Chart:
    panels = [_modes_panel(one, names, f"modes-{k}") for k, one in enumerate(found)]
    across = min(ACROSS, len(found))
    of = "that hold all five classes" if complete else "(none holds all five classes)"
    return Chart(
        name="modes",
        title="Frequency of each mode",
        spec=finished(alt.concat(*panels, columns=across, spacing=18), []),
        alt="Dots, one panel per model: the frequency of each of the 32 modes among samples "
        "against its probability; the table below sums them up.",
        caption=f"How often samples lie nearest to each of the 32 modes, against the mode's "
        f"probability, on test images {of}: {max(one.images for one in found)}. On the line: as "
        "often as the flips do. Grey: where 95 of 100 frequencies of an exact model would lie. "
        "Open triangles at the lower edge: hardly ever or never. A sample that calls a class by "
        "neither name is as near to both, and counts for both by their probabilities: only the "
        "scores and pictures show whether it names the class at all.",
    )


def _modes_panel(one: Frequencies, names: Names, name: str) -> Any:
    """Return one model's frequencies over the range of an exact model's."""
    low, high = LIMITS
    x = alt.X(
        "probability:Q",
        title="probability of the mode",
        scale=alt.Scale(type="log", nice=False, clamp=True, domain=list(PROBABLE)),
        axis=alt.Axis(values=[0.005, 0.02, 0.1], format="~g", grid=False),
    )
    y = alt.Y(
        "frequency:Q",
        title="frequency among samples",
        scale=alt.Scale(type="log", nice=False, clamp=True, domain=[low, high]),
        axis=alt.Axis(values=[0.001, 0.01, 0.1, 1], format="~g"),
    )
    # where the frequencies of an exact model lie 95 times in 100
    line = np.geomspace(*PROBABLE, 40)
    spread = 1.96 * np.sqrt(line * (1 - line) / max(one.samples, 1))
    exact = [
        {"probability": p, "frequency": p, "low": max(p - s, low), "high": p + s}
        for p, s in zip(line.tolist(), spread.tolist(), strict=True)
    ]
    layers = [layer(f"{name}-exact", exact).mark_line(color=GREY, strokeWidth=0.9).encode(x, y)]
    if one.samples:
        within = layer(f"{name}-range", exact).mark_area(color="#e6e6e6")
        layers.insert(0, within.encode(x, alt.Y("low:Q"), alt.Y2("high:Q")))
    rows = [
        names.row(one.model, one.beta) | {"mode": _mode(k), "probability": p, "frequency": f}
        for k, (p, f) in enumerate(
            zip(MODE_PROBABILITIES.tolist(), one.modes.tolist(), strict=True)
        )
        if np.isfinite(f)
    ]
    tooltip = [
        "predictor:N",
        alt.Tooltip("mode:N", title="second names"),
        alt.Tooltip("probability:Q", format=".4f"),
        alt.Tooltip("frequency:Q", format=".4f"),
    ]
    colour = looks([(one.model, one.beta)])[one.model, one.beta].colour
    drawn = [row for row in rows if row["frequency"] > low]
    rare = [row for row in rows if row["frequency"] <= low]
    if drawn:
        marks = layer(f"{name}-drawn", drawn).mark_circle(color=colour, size=34, opacity=1)
        layers.append(marks.encode(x, y, tooltip=tooltip))
    if rare:
        marks = layer(f"{name}-rare", rare)
        marks = marks.mark_point(shape="triangle-down", color=colour, size=40, opacity=1)
        layers.append(marks.encode(x, y, tooltip=tooltip))
    title = predictor(one.model, one.beta, names.dataset)
    return alt.layer(*layers).properties(title=two_lines(title), width=PANEL, height=PANEL)


def _mode(k: int) -> str:
    """Return the classes that have their second name in a mode."""
    return ", ".join(np.array(list(FLIPS))[MODES[k]]) or "none"


def two_lines(name: str) -> list[str]:
    """Return a long name in two lines: the second one is its β, or its second half."""
    if len(name) <= 26:
        return [name]
    head, comma, beta = name.partition(", ")
    if len(head) <= 32 and beta:
        return [f"{head}{comma}".rstrip(), beta]
    words = name.split(" ")
    half = min(range(1, len(words)), key=lambda k: abs(2 * len(" ".join(words[:k])) - len(name)))
    return [" ".join(words[:half]), " ".join(words[half:])]


def _switches_chart(found: list[Frequencies], names: Names) -> Chart:
    """Return the share of second names per class, models beside each other."""
    classes = list(FLIPS)
    flips = [
        {"class": name, "from": k - 0.42, "to": k + 0.42, "share": float(p), "probability": str(p)}
        for k, (name, p) in enumerate(FLIPS.items())
    ]
    rows = [
        names.row(one.model, one.beta)
        | {"class": name, "place": k + (i + 0.5) / len(found) * 0.8 - 0.4, "share": float(share)}
        for i, one in enumerate(found)
        for k, (name, share) in enumerate(zip(classes, one.switched, strict=True))
        if np.isfinite(share)
    ]
    axis = alt.Axis(
        values=list(range(len(classes))), labelExpr=f"{classes}[datum.value]", grid=False
    )
    across = alt.Scale(domain=[-0.5, len(classes) - 0.5], nice=False)
    x = alt.X("place:Q", title=None, axis=axis, scale=across)
    y = alt.Y("share:Q", title="share of second names", scale=alt.Scale(domain=[0, 1]))
    truth = layer("flips", flips).mark_rule(color="black", strokeWidth=2)
    x_from = alt.X("from:Q", title=None, axis=axis, scale=across)
    layers = [truth.encode(x_from, y, alt.X2("to:Q"), tooltip=["class:N", "probability:N"])]
    if rows:
        marks = layer("switches", rows).mark_point(filled=True, size=65)
        tooltip = ["predictor:N", "class:N", alt.Tooltip("share:Q", format=".3f")]
        look = {"opacity": names.opacity(1), "tooltip": tooltip}
        layers.append(marks.encode(x, y, names.colour, names.shape, **look))
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return Chart(
        name="switches",
        title="Share of second names",
        spec=finished(chart, names.params("switches") if rows else []),
        alt="Dots of the share of second names per class and model; the values are those of the "
        "table below.",
        caption="Share of pixels with the second name among those with either name, of the pixels "
        "that are labelled with the class, over all test images. Models are in the order of the "
        "table. Black lines: the probabilities of the flips.",
    )
