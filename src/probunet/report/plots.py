"""The plots of GED and of training."""

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from probunet.report.labels import degenerate, deterministic, predictor
from probunet.report.runs import RunFolder
from probunet.report.style import GREY
from probunet.report.tables import groups

MOST_POINTS = 200  # per training curve
ALL_POINTS = 10_000  # of the curves of one plot together, which keeps the report small
FEW = 4  # models and betas: of more, single runs and intervals would hide each other
# Okabe and Ito's colours, told apart with any colour vision; wine instead of their yellow, which
# is hard to see on white. The marker tells a model apart once more.
MODELS = {
    "probabilistic_unet": ("#0072B2", "o"),
    "unet": ("#000000", "s"),
    "dropout_unet": ("#E69F00", "^"),
    "unet_ensemble": ("#D55E00", "D"),
    "m_heads": ("#009E73", "v"),
    "image2image_vae": ("#CC79A7", "P"),
    "stochastic_segmentation_network": ("#56B4E9", "X"),
    "hierarchical_probabilistic_unet": ("#882255", "p"),
}
OTHERS = (("#6A51A3", "<"), ("#8C6D31", ">"), ("#637939", "h"))  # for models of one's own
LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")  # by beta, from the least
STYLE: Any = {
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


@dataclass(frozen=True)
class Look:
    """How a model and beta is drawn."""

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"]


Looks = dict[tuple[str, float], Look]  # by model and beta


def looks(pairs: Iterable[tuple[str, float]]) -> Looks:
    """Return how models and betas are drawn, and each one's deterministic rows with it."""
    known = sorted({pair for pair in pairs if degenerate(pair[0]) is None})
    betas = {model: [beta for other, beta in known if other == model] for model, _ in known}
    own = [model for model in betas if model not in MODELS]
    chosen = {}
    for model, beta in known:
        colour, marker = MODELS.get(model) or OTHERS[own.index(model) % len(OTHERS)]
        line = LINES[betas[model].index(beta) % len(LINES)]
        chosen[model, beta] = chosen[deterministic(model), beta] = Look(colour, marker, line)
    return chosen


def data_uri(figure: Figure) -> str:
    """Return a figure as SVG that is the same whenever it is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


CURVES = {"loss": "Loss", "kl": "KL divergence", "validation_ged": "Validation GED"}


@mpl.rc_context(STYLE)
def ged_against_n(scores: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return GED against n as a data URI: means over folds.

    With single runs as thin lines and intervals as bands, where there are not more than `FEW`
    models and betas. The deterministic rows, which do not depend on n, stand as open markers in a
    column of their own.

    Parameters
    ----------
    scores, summary
        `scores.csv` and `summary.csv`, the rows of one data set.
    """
    ns = sorted(summary["n"].unique())
    of = looks(summary[["model", "beta"]].itertuples(index=False, name=None))
    models = [key for key, _ in groups(summary, "model", "beta") if degenerate(key[0]) is None]
    single = max(ns) * 2  # on the logarithmic axis, the place after the greatest n
    figure = Figure(figsize=(6.4, 4.4 + 0.11 * len(models)), layout="constrained")
    axes = figure.subplots()
    for (model, beta), mean in groups(summary, "model", "beta"):
        label = predictor(model, beta, str(mean["dataset"].iloc[0]))
        kind = degenerate(model)
        if kind == "deterministic":
            _draw_single(axes, mean, single, of, (model, beta))
        elif kind is not None:
            line = {"empty": "-.", "graders": ":"}[kind]
            axes.plot(mean["n"], mean["ged"], line, color=GREY, linewidth=1.8, label=label)
        else:
            runs = scores[(scores["model"] == model) & (scores["beta"] == beta)]
            if len(models) <= FEW:
                _draw_spread(axes, mean, runs, of[model, beta])
            _draw_model(axes, mean, of[model, beta], label)
    deterministic = any(degenerate(model) == "deterministic" for model in summary["model"])
    places = {float(n): str(n) for n in ns} | ({single: "single\nguess"} if deterministic else {})
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(places), list(places.values()))
    axes.minorticks_off()
    axes.set_xlabel("samples per image, n")
    axes.set_ylabel("GED (lower is better)")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    figure.legend(loc="outside lower left", ncols=2)
    return data_uri(figure)


def _draw_spread(axes: Axes, mean: pd.DataFrame, runs: pd.DataFrame, look: Look) -> None:
    for _, fold in groups(runs, "fold", "seed"):
        axes.plot(fold["n"], fold["ged"], look.line, color=look.colour, linewidth=0.7, alpha=0.5)
    axes.fill_between(
        mean["n"], mean["ged_low"], mean["ged_high"], color=look.colour, alpha=0.12, linewidth=0
    )


def _draw_model(axes: Axes, mean: pd.DataFrame, look: Look, label: str) -> None:
    axes.plot(
        mean["n"],
        mean["ged"],
        look.line,
        marker=look.marker,
        color=look.colour,
        linewidth=2,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=label,
    )


def _draw_single(
    axes: Axes, mean: pd.DataFrame, place: float, of: Looks, pair: tuple[str, float]
) -> None:
    if pair in of:
        look = of[pair]
        axes.plot(
            place, mean["ged"].iloc[-1], look.marker, color=look.colour, fillstyle="none", zorder=3
        )


@mpl.rc_context(STYLE)
def training_curves(runs: list[RunFolder]) -> str | None:
    """Return loss, KL and validation GED over steps as a data URI; None if nothing was logged.

    One line per training, an ensemble's members each; long logs are averaged to fewer points.
    """
    logged = [name for name in CURVES if any(_curves(run, name) for run in runs)]
    if not logged:
        return None
    trained = sorted({(run.run.model, run.run.beta) for run in runs if run.training})
    of = looks(trained)
    figure = Figure(figsize=(3.6 * len(logged), 3.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(logged), squeeze=False)[0], logged, strict=True):
        _draw_curves(axes, name, runs, of)
    handles = [
        Line2D(
            [],
            [],
            color=of[pair].colour,
            linestyle=of[pair].line,
            label=predictor(*pair, runs[0].run.dataset),
        )
        for pair in trained
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), len(logged)))
    return data_uri(figure)


def _draw_curves(axes: Axes, name: str, runs: list[RunFolder], of: Looks) -> None:
    curves = [(run, curve) for run in runs for curve in _curves(run, name)]
    most = max(ALL_POINTS // len(curves), 20)
    curves.sort(key=lambda pair: -len(pair[0].training))  # an ensemble's many lines lie below
    for run, curve in curves:
        look = of[run.run.model, run.run.beta]
        parts = math.ceil(len(curve) / min(MOST_POINTS, most))
        short = curve.groupby(np.arange(len(curve)) // parts).mean()
        steps = pd.Series(curve.index).groupby(np.arange(len(curve)) // parts).mean()
        # a dot at each value of a short curve; the many of an ensemble would hide the lines
        marker = "." if len(curve) < 20 and len(run.training) == 1 else ""
        axes.plot(steps, short, look.line, marker=marker, color=look.colour, linewidth=1, alpha=0.8)
    if name != "validation_ged" and all((curve > 0).all() for _, curve in curves):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(CURVES[name], loc="left", fontsize=10)
    axes.set_xlabel("step")


def _curves(run: RunFolder, name: str) -> list[pd.Series]:
    """Return a run's curves of this name; models without a KL log zeros, which are none."""
    return [log[name] for log in run.training if name in log and log[name].any()]
