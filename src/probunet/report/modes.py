"""The calibration figure of Cityscapes: how often samples land in each mode, and switch each class.

As in Kohl et al. 2018, section 4 and the appendix on Cityscapes: a calibrated model's samples have
each of the 32 modes as often as the flips give it.
"""

import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from probunet.cityscapes import FLIPS, MODE_PROBABILITIES, PROBABILITIES
from probunet.report.labels import number, predictor
from probunet.report.plots import STYLE, Look, data_uri, looks
from probunet.report.runs import RunFolder
from probunet.report.style import GREY
from probunet.report.tables import Cell, Row, Table

COLUMNS = ("mode_share", "first_pixels", "second_pixels", "present")
ACROSS = 4  # panels side by side
LIMITS = (1e-3, 1.0)  # of frequencies; rarer modes stand at the lower edge


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
    modes_plot: str
    across: int  # panels side by side in that plot
    switches: Table
    switches_plot: str


def calibration(runs: list[RunFolder], models: list[tuple[str, float]]) -> Calibration | None:
    """Return the frequencies of modes and switches, or None where no run's scores have them.

    Of the model's samples at the greatest n, over all folds and seeds. Modes are counted on images
    that hold all five classes, where all 32 differ; where there is no such image, on all.

    Parameters
    ----------
    runs
        One data set's.
    models
        Models and betas, in the order in which they are shown.
    """
    by_pair = {pair: _images(runs, pair) for pair in models}
    with_images = {pair: images for pair, images in by_pair.items() if len(images)}
    if not with_images:
        return None
    complete = any(images["present"].map(all).any() for images in with_images.values())
    found = [_frequencies(pair, images, complete) for pair, images in with_images.items()]
    of = looks(models)
    dataset = runs[0].run.dataset
    return Calibration(
        complete=complete,
        images=max(one.images for one in found),
        modes=_modes_table(found, dataset),
        modes_plot=_modes_plot(found, of, dataset),
        across=_across(found),
        switches=_switches_table(found, dataset),
        switches_plot=_switches_plot(found, of, dataset),
    )


def _images(runs: list[RunFolder], pair: tuple[str, float]) -> pd.DataFrame:
    """Return the model's rows at its greatest n, of all of its runs that have the columns."""
    tables = []
    for run in runs:
        scores = run.scores
        if (run.run.model, run.run.beta) != pair or scores is None:
            continue
        if set(COLUMNS) <= set(scores):
            model = scores[scores["predictor"] == "model"].dropna(subset="mode_share")
            tables.append(model.loc[model["n"] == model["n"].max(), ["n", *COLUMNS]])
    return pd.concat(tables) if tables else pd.DataFrame(columns=["n", *COLUMNS])


def _frequencies(pair: tuple[str, float], images: pd.DataFrame, complete: bool) -> Frequencies:
    chosen = images[images["present"].map(all)] if complete else images
    shares = np.array(chosen["mode_share"].tolist(), dtype=float).reshape(
        -1, len(MODE_PROBABILITIES)
    )
    usable = np.isfinite(shares).all(axis=1)  # an image without any of the classes has none
    modes = shares[usable].mean(axis=0) if usable.any() else np.full(shares.shape[1], np.nan)
    first = np.array(images["first_pixels"].tolist(), dtype=float).sum(axis=0)
    second = np.array(images["second_pixels"].tolist(), dtype=float).sum(axis=0)
    either = first + second
    return Frequencies(
        *pair,
        images=int(usable.sum()),
        samples=int(chosen["n"][usable].sum()),
        modes=modes,
        never=int((modes == 0).sum()),
        switched=np.divide(second, either, out=np.full(len(FLIPS), np.nan), where=either > 0),
    )


def _modes_table(found: list[Frequencies], dataset: str) -> Table:
    rows = []
    for one in found:
        gaps = np.abs(one.modes - MODE_PROBABILITIES)
        cells = [
            Cell(str(one.images)),
            Cell(number(gaps.sum() / 2)),
            Cell(number(gaps.max())),
            Cell(str(one.never)),
        ]
        rows.append(Row(predictor(one.model, one.beta, dataset), cells, False))
    return Table(["images", "total variation", "largest gap", "modes never drawn"], rows)


def _switches_table(found: list[Frequencies], dataset: str) -> Table:
    truth = [
        Cell(f"{p} = {number(value)}")
        for p, value in zip(FLIPS.values(), PROBABILITIES, strict=True)
    ]
    rows = [Row("The flips themselves", truth, True)]
    for one in found:
        cells = [Cell(number(value)) for value in one.switched]
        rows.append(Row(predictor(one.model, one.beta, dataset), cells, False))
    return Table(list(FLIPS), rows)


def _across(found: list[Frequencies]) -> int:
    return min(ACROSS, len(found))


@mpl.rc_context(STYLE)
def _modes_plot(found: list[Frequencies], of: dict[tuple[str, float], Look], dataset: str) -> str:
    across = _across(found)
    down = math.ceil(len(found) / across)
    figure = Figure(figsize=(2.7 * across, 2.7 * down + 0.2), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, one in zip(panels, found, strict=False):
        _draw_modes(axes, one, of[one.model, one.beta])
        name = predictor(one.model, one.beta, dataset)
        axes.set_title(_two_lines(name), loc="left", fontsize=9)
    for axes in panels[len(found) :]:
        axes.remove()
    figure.supxlabel("probability of the mode", fontsize=10)
    figure.supylabel("frequency among samples", fontsize=10)
    return data_uri(figure)


def _draw_modes(axes: Axes, one: Frequencies, look: Look) -> None:
    low, high = LIMITS
    line = np.geomspace(low, high, 60)
    if one.samples:  # where the frequencies of an exact model lie 95 times in 100
        spread = 1.96 * np.sqrt(line * (1 - line) / one.samples)
        axes.fill_between(
            line, np.maximum(line - spread, low), line + spread, color="#e6e6e6", linewidth=0
        )
    axes.plot(line, line, color=GREY, linewidth=0.8)
    drawn = one.modes > low
    axes.plot(MODE_PROBABILITIES[drawn], one.modes[drawn], "o", color=look.colour, markersize=4.5)
    if not drawn.all():  # nothing, drawn without clipping, would put the layout out
        axes.plot(
            MODE_PROBABILITIES[~drawn],
            np.full((~drawn).sum(), low),
            "v",
            color=look.colour,
            markersize=5,
            fillstyle="none",
            clip_on=False,
        )
    axes.set(xscale="log", yscale="log", xlim=(0.003, 0.2), ylim=LIMITS)
    axes.set_xticks([0.005, 0.02, 0.1], ["0.005", "0.02", "0.1"])
    axes.set_yticks([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"])
    axes.minorticks_off()


def _two_lines(name: str) -> str:
    """Return a long name with its β, or its second half, in a second line."""
    if len(name) <= 26:
        return name
    head, comma, beta = name.partition(", ")
    if len(head) <= 32 and beta:
        return f"{head}{comma}\n{beta}"
    words = name.split(" ")
    half = min(range(1, len(words)), key=lambda k: abs(2 * len(" ".join(words[:k])) - len(name)))
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


@mpl.rc_context(STYLE)
def _switches_plot(
    found: list[Frequencies], of: dict[tuple[str, float], Look], dataset: str
) -> str:
    figure = Figure(figsize=(6.4, 3.4 + 0.11 * len(found)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(FLIPS))
    axes.hlines(PROBABILITIES, places - 0.42, places + 0.42, color="black", linewidth=1.6)
    handles = [Line2D([], [], color="black", linewidth=1.6, label="The flips themselves")]
    for k, one in enumerate(found):
        look = of[one.model, one.beta]
        beside = (k + 0.5) / len(found) * 0.8 - 0.4
        handles += axes.plot(
            places + beside,
            one.switched,
            look.marker,
            color=look.colour,
            fillstyle="full" if look.line == "-" else "none",
            markersize=6,
            label=predictor(one.model, one.beta, dataset),
        )
    axes.set_xticks(places, [f"{name}\n{p}" for name, p in FLIPS.items()])
    axes.grid(visible=False, axis="x")
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of second names")
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return data_uri(figure)
