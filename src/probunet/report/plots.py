"""The plots, as SVG that is the same whenever it is drawn."""

import base64
import io
import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from probunet.report.labels import degenerate, deterministic, predictor
from probunet.report.runs import RunFolder
from probunet.report.tables import groups

# Okabe and Ito's colours, told apart with any colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D")  # for each further round of the colours
GREY = "#555555"
MOST_POINTS = 200  # per training curve
CURVES = {"loss": "Loss", "kl": "KL divergence", "validation_ged": "Validation GED"}
Colours = dict[tuple[str, float], tuple[str, str]]  # colour and marker by model and beta
_STYLE: Any = {
    "svg.hashsalt": "probunet",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@mpl.rc_context(_STYLE)
def ged_against_n(scores: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return GED against n as a data URI: folds thin, their mean thick, its interval a band.

    Parameters
    ----------
    scores, summary
        `scores.csv` and `summary.csv`, the rows of one data set.
    """
    ns = sorted(summary["n"].unique())
    colour = _colours(summary)
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.subplots()
    for (model, beta), mean in groups(summary, "model", "beta"):
        line, marker = colour.get((model, beta), (GREY, ""))
        kind = degenerate(model)
        if kind is not None:
            style = {"deterministic": "--", "empty": "-.", "graders": ":"}[kind]
            axes.plot(mean["n"], mean["ged"], style, color=line, label=predictor(model, beta))
            continue
        runs = scores[(scores["model"] == model) & (scores["beta"] == beta)]
        for _, fold in groups(runs, "fold", "seed"):
            axes.plot(fold["n"], fold["ged"], color=line, linewidth=0.7, alpha=0.5)
        axes.fill_between(
            mean["n"], mean["ged_low"], mean["ged_high"], color=line, alpha=0.15, linewidth=0
        )
        axes.plot(
            mean["n"],
            mean["ged"],
            f"{marker}-",
            color=line,
            linewidth=2.2,
            markersize=5,
            label=predictor(model, beta),
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ns, [str(n) for n in ns])
    axes.minorticks_off()
    axes.set_xlabel("samples per image, n")
    axes.set_ylabel("GED (lower is better)")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    figure.legend(loc="outside lower left", ncols=2)
    return _data_uri(figure)


@mpl.rc_context(_STYLE)
def training_curves(runs: list[RunFolder]) -> str | None:
    """Return loss, KL and validation GED over steps as a data URI; None if nothing was logged.

    One line per run; long logs are averaged to `MOST_POINTS` points.
    """
    logged = [name for name in CURVES if any(_has(run, name) for run in runs)]
    if not logged:
        return None
    trained = sorted({(run.run.model, run.run.beta) for run in runs})
    colour = _colours(pd.DataFrame(trained, columns=["model", "beta"]))
    figure = Figure(figsize=(3.6 * len(logged), 3.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(logged), squeeze=False)[0], logged, strict=True):
        _draw_curve(axes, name, runs, colour)
    handles = [Line2D([], [], color=colour[pair][0], label=predictor(*pair)) for pair in trained]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 3))
    return _data_uri(figure)


def _draw_curve(axes: Axes, name: str, runs: list[RunFolder], colour: Colours) -> None:
    curves = [
        ((run.run.model, run.run.beta), run.training[name]) for run in runs if _has(run, name)
    ]
    for pair, curve in curves:
        parts = math.ceil(len(curve) / MOST_POINTS)
        short = curve.groupby(np.arange(len(curve)) // parts).mean()
        steps = pd.Series(curve.index).groupby(np.arange(len(curve)) // parts).mean()
        marker = "." if len(curve) < 20 else ""
        axes.plot(steps, short, marker=marker, color=colour[pair][0], linewidth=1, alpha=0.8)
    if name != "validation_ged" and all((curve > 0).all() for _, curve in curves):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(CURVES[name], loc="left", fontsize=10)
    axes.set_xlabel("step")


def _has(run: RunFolder, name: str) -> bool:
    """Return whether a run has this curve; models without a KL log zeros."""
    return name in run.training and bool(run.training[name].any())


def _colours(table: pd.DataFrame) -> Colours:
    """Return a colour and a marker for each model and beta, its deterministic rows included."""
    pairs = table[["model", "beta"]].drop_duplicates().itertuples(index=False, name=None)
    known = sorted(pair for pair in pairs if degenerate(pair[0]) is None)
    rounds = len(COLOURS)
    chosen = {
        pair: (COLOURS[i % rounds], MARKERS[i // rounds % len(MARKERS)])
        for i, pair in enumerate(known)
    }
    return chosen | {(deterministic(model), beta): c for (model, beta), c in chosen.items()}


def _data_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
