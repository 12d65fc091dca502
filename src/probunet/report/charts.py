"""The report's charts of GED and of training, as Vega-Lite: one description, drawn everywhere.

A browser draws a chart that reacts to the pointer; without one, vl-convert draws the same chart as
SVG for the page, and as SVG and PDF for a paper.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from probunet.pictures.numbers import number
from probunet.report.labels import NBSP, beta_label, degenerate, deterministic, predictor
from probunet.report.runs import RunFolder
from probunet.report.style import CONFIG, GREY, looks, several_betas
from probunet.report.tables import groups

FEW = 4  # models and betas: with more, single runs and intervals are shown of chosen ones only
CURVES = {"loss": "Loss", "kl": "KL divergence", "validation_ged": "Validation GED"}
MOST_POINTS = 100  # per training curve
ALL_POINTS = 2_000  # of all curves in a panel, which keeps the report small
WIDTH, HEIGHT = 560, 340  # of a chart of one panel, pixels
PANEL = 250  # width and height of one of several, pixels
HOVER = "hover"  # begins the names of layers for the pointer alone
GED = "GED (lower is better)"
TEXT = {"predictor", "interval", "sd", "run", "what"}  # columns that are no numbers
SHARED_DASHES = {"empty": [7, 2, 1.5, 2], "graders": [1.5, 2.5]}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Chart:
    """A figure of the report, drawn by a browser, or by `svg` and `pdf`.

    `name` is that of its files and unique within a data set; `alt` describes it to those who do
    not see it, `caption` explains how to read it.
    """

    name: str
    title: str
    spec: Mapping[str, Any]  # Vega-Lite
    alt: str
    caption: str

    def svg(self, prefix: str = "") -> str:
        """Return the chart as an `<svg>` element; all its ids begin with `prefix`.

        Several charts can be in one page if their prefixes differ.
        """
        from probunet.report import vega

        drawn = vega.svg_of(_without_hover(self.spec))
        return re.sub(r'(\bid="|url\(#)', rf"\g<1>{prefix}", drawn)

    def pdf(self) -> bytes:
        """Return the chart as a page of PDF, 3/4 of a point per pixel, its fonts embedded."""
        from probunet.report import vega

        scaled = re.sub(r"^<svg[^>]*", _in_points, self.svg())
        return _sorted_resources(vega.pdf_of(scaled))


def ged_chart(scores: pd.DataFrame, summary: pd.DataFrame) -> Chart:
    """Return GED against n: means over folds.

    Thin lines are single runs, bands are intervals: with more than `FEW` models and betas, which
    would hide each other, only of those chosen in the legend. The deterministic rows, which do not
    depend on n, are open markers in a column of their own.

    Parameters
    ----------
    scores, summary
        `scores.csv` and `summary.csv`, the rows of one data set, in the order of the legend.
    """
    pairs = [
        (str(model), float(beta))
        for model, beta in summary[["model", "beta"]].drop_duplicates().itertuples(index=False)
        if degenerate(str(model)) is None
    ]
    names = Names(pairs, str(summary["dataset"].iloc[0]))
    means, guesses, shared = _means(names, summary)
    few = len(pairs) <= FEW
    x = _samples_axis(sorted({row["n"] for row in means + shared}), single=bool(guesses))
    y = alt.Y("ged:Q", title=GED, scale=alt.Scale(zero=True))
    opacity = names.opacity(1)
    layers: list[Any] = [_shared_lines(shared, x, y)] if shared else []
    if means:
        layers += _spread(names, means, _single_runs(names, scores), x, y, always=few)
        tooltip = _tooltip("predictor", "n", "ged", "sd", "interval", "folds")
        layers += [
            layer("means", means)
            .mark_line(strokeWidth=2.2)
            .encode(x, y, names.colour, names.dash, opacity=opacity),
            layer("markers", means)
            .mark_point(filled=True, size=75, stroke="white", strokeWidth=0.6)
            .encode(x, y, names.colour, names.shape, opacity=opacity, tooltip=tooltip),
        ]
    if guesses:
        tooltip = _tooltip("predictor", "ged", "sd", "interval")
        marks = layer("guesses", guesses).mark_point(filled=False, size=65, strokeWidth=1.6)
        layers.append(
            marks.encode(x, y, names.colour, names.shape, opacity=opacity, tooltip=tooltip)
        )
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    shown = f"Thin lines: single runs; thick: their mean over folds; bands: 95{NBSP}% intervals."
    hidden = (
        "Lines: means over folds. A click on a name in the legend shows its single runs as thin "
        f"lines and its 95{NBSP}% interval as a band; all intervals are in the table."
    )
    return Chart(
        name="ged",
        title="GED against n",
        spec=finished(chart, names.params("means") if means else []),
        alt="Lines of GED against the number of samples n, one per model and β; the values are "
        "those of the table below.",
        caption=(shown if few else hidden)
        + " One colour and marker per model, in all figures; its betas by the kind of line. Open "
        "markers on the right: the model's single deterministic guess. Grey: the predictors that "
        "are no model's.",
    )


def training_chart(runs: list[RunFolder]) -> Chart | None:
    """Return loss, KL and validation GED over steps; None if nothing was logged.

    One line per training, an ensemble's members each; long logs are averaged to fewer points. Marks
    show the step of the best weights, and where a training stopped before its last step.
    """
    curves = {name: [curve for run in runs for curve in _curves(run, name)] for name in CURVES}
    logged = [name for name in CURVES if curves[name]]
    if not logged:
        return None
    trained = {(run.run.model, run.run.beta) for run in runs if run.training}
    names = Names(sorted(trained), runs[0].run.dataset)
    panels = [_curves_panel(name, curves[name], names) for name in logged]
    chart = alt.concat(*panels, columns=len(panels), spacing=28)
    return Chart(
        name="training",
        title="Training curves",
        spec=of_panels(chart, names, f"{logged[0]}-lines"),
        alt="Lines over training steps, one panel each for "
        + ", ".join(CURVES[name] for name in logged)
        + "; one line per training.",
        caption="One line per training, of each member for an ensemble. Loss: cross-entropy summed "
        "over pixels plus β times the KL divergence, averaged over the batch; models with other "
        "losses do not compare in it. Long logs are averaged to fewer points. Open circles: the "
        "best validation GED, whose weights are kept. Crosses: trainings that stopped before "
        "their last step.",
    )


class Names:
    """How a chart names and draws models and betas, and lets a reader choose among them.

    A model has a colour and a marker, in one legend; a beta, of models that were run with several,
    has a kind of line, in another.
    """

    def __init__(self, pairs: Sequence[tuple[str, float]], dataset: str) -> None:
        self.dataset = dataset
        self.pairs = pairs
        self._several = several_betas(pairs)
        of = looks(pairs)
        models = {self.model(*pair): of[pair] for pair in pairs}
        betas = {self.beta(*pair): of[pair] for pair in sorted(pairs, key=lambda p: p[1])}
        betas.pop("", None)
        legend = alt.Legend(orient="bottom", columns=2, symbolStrokeWidth=2)
        lines = alt.Legend(
            orient="bottom", values=list(betas), symbolStrokeColor="#333333", symbolSize=800
        )
        colours = alt.Scale(domain=list(models), range=[look.colour for look in models.values()])
        markers = alt.Scale(domain=list(models), range=[look.marker for look in models.values()])
        dashes = alt.Scale(
            domain=["", *betas], range=[[1, 0], *(list(look.dash) for look in betas.values())]
        )
        self.colour = alt.Color("model:N", scale=colours, title=None, legend=legend)
        self.shape = alt.Shape("model:N", scale=markers, title=None, legend=legend)
        self.dash = alt.StrokeDash(
            "beta:N", scale=dashes, title=None, legend=lines if betas else None
        )
        self._chosen = [{"param": name} for name in (["model", "beta"] if betas else ["model"])]

    def row(self, model: str, beta: float) -> dict[str, Any]:
        """Return the columns of a row of data that the legends refer to."""
        return {
            "predictor": predictor(model, beta, self.dataset),
            "model": self.model(model, beta),
            "beta": self.beta(model, beta),
        }

    def model(self, model: str, beta: float) -> str:
        """Return a model's name in the first legend: with its beta, if it was run with only one."""
        return predictor(model, math.nan if model in self._several else beta, self.dataset)

    def beta(self, model: str, beta: float) -> str:
        """Return a beta's name in the second legend; empty if the model was run with only one."""
        return beta_label(beta) if model in self._several else ""

    def opacity(self, value: float) -> Any:
        """Return how opaque a mark is; it fades if a reader chooses others."""
        chosen = {"test": {"and": self._chosen}, "value": value}
        return {"condition": chosen, "value": value * 0.12}

    def opacity_when_chosen(self, value: float) -> Any:
        """Return how opaque a mark is; it is invisible until a reader chooses its model or beta."""
        chosen = [param | {"empty": False} for param in self._chosen]
        test = {"and": [{"or": chosen}, *self._chosen]}
        return {"condition": {"test": test, "value": value}, "value": 0}

    def params(self, view: str) -> list[dict[str, Any]]:
        """Return what lets a reader choose by a click on a legend, for a chart with this view."""
        return [
            {
                "name": one["param"],
                "select": {"type": "point", "fields": [one["param"]]},
                "bind": "legend",
                "views": [view],
            }
            for one in self._chosen
        ]


def finished(chart: alt.TopLevelMixin, params: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a chart as Vega-Lite with the report's look, and what a reader can choose."""
    # Altair's check against the schema takes longer than all other work on charts; tests do it
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec | {"config": CONFIG, "params": params}


def of_panels(chart: alt.ConcatChart, names: Names, view: str) -> dict[str, Any]:
    """Return a chart of panels as Vega-Lite; `view`, in the first one, is that of the legend."""
    spec = finished(chart, [])
    several = len(spec["concat"]) > 1  # then, Altair numbers the views of panels
    return spec | {"params": names.params(f"{view}_0" if several else view)}


def layer(name: str, rows: Rows) -> alt.Chart:
    """Return a layer of a chart, with its rows of data."""
    return alt.Chart(alt.InlineData(values=rows), name=name)


def _hover(rows: Rows, name: str = HOVER) -> alt.Chart:
    """Return invisible points that show their values under the pointer."""
    points: alt.Chart = layer(name, rows).mark_point(filled=True, size=80, opacity=0)
    return points


def _tooltip(*names: str) -> list[alt.Tooltip]:
    titles = {"n": "samples n", "ged": "GED", "sd": "sd over folds", "interval": "95 % interval"}
    return [
        alt.Tooltip(f"{name}:{'N' if name in TEXT else 'Q'}", title=titles.get(name, name))
        for name in names
    ]


def _means(names: Names, summary: pd.DataFrame) -> tuple[Rows, Rows, Rows]:
    """Return the models' rows, one row for each single guess, and the shared predictors' rows."""
    means, guesses, shared = [], [], []
    single = 2 * int(summary["n"].max())  # on the logarithmic axis, the place after the greatest n
    for (model, beta), group in groups(summary, "model", "beta"):
        rows = [_mean(row) for row in group.sort_values("n").to_dict("records")]
        kind = degenerate(model)
        label = {"predictor": predictor(model, beta, names.dataset)}
        if kind is None:
            means += [names.row(model, beta) | row for row in rows]
        elif kind == "deterministic":
            guesses += [
                names.row(*pair) | rows[-1] | label | {"n": single}
                for pair in names.pairs
                if (deterministic(pair[0]), pair[1]) == (model, beta)
            ]
        else:
            shared += [label | {"kind": kind} | row for row in rows]
    return means, guesses, shared


def _mean(row: dict[Any, Any]) -> dict[str, Any]:
    """Return what a chart shows of a row of `summary.csv`."""
    found = {
        "n": int(row["n"]),
        "ged": float(row["ged"]),
        "ged_low": float(row["ged_low"]),
        "ged_high": float(row["ged_high"]),
        "interval": f"{number(row['ged_low'])} to {number(row['ged_high'])}",
        "sd": number(row["ged_sd"]),
        "folds": int(row["folds"]),
    }
    return {key: None if value != value else value for key, value in found.items()}  # no NaN


def _single_runs(names: Names, scores: pd.DataFrame) -> Rows:
    return [
        names.row(str(row["model"]), float(row["beta"]))
        | {name: int(row[name]) for name in ("fold", "seed", "n")}
        | {"ged": float(row["ged"])}
        for row in scores.to_dict("records")
        if degenerate(str(row["model"])) is None
    ]


def _spread(
    names: Names, means: Rows, runs: Rows, x: alt.X, y: alt.Y, *, always: bool
) -> list[Any]:
    """Return intervals as bands and single runs as thin lines: always, or of those chosen."""
    opacity, begin = (names.opacity, "") if always else (names.opacity_when_chosen, f"{HOVER}-")
    bands = layer(f"{begin}intervals", means).mark_area()
    lines = layer(f"{begin}runs", runs).mark_line(strokeWidth=0.8)
    low, high = alt.Y("ged_low:Q", title=GED), alt.Y2("ged_high:Q")
    each = ["fold:N", "seed:N"]
    layers = [
        bands.encode(x, low, high, names.colour, opacity=opacity(0.14), detail="beta:N"),
        lines.encode(x, y, names.colour, names.dash, opacity=opacity(0.55), detail=each),
    ]
    if always:
        tooltip = _tooltip("predictor", "fold", "seed", "n", "ged")
        layers.append(_hover(runs).encode(x, y, tooltip=tooltip))
    return layers


def _samples_axis(ns: list[int], *, single: bool) -> alt.X:
    """Return the axis of n, with a column for single guesses after the greatest n."""
    last = 2 * max(ns)
    values = [*ns, last] if single else ns
    label = f"datum.value === {last} ? ['single', 'guess'] : " if single else ""
    domain = [min(ns) / 1.12, max(values) * 1.12]
    return alt.X(
        "n:Q",
        title="samples per image, n",
        scale=alt.Scale(type="log", base=2, domain=domain, nice=False),
        axis=alt.Axis(values=values, labelExpr=f"{label}format(datum.value, 'd')", grid=False),
    )


def _shared_lines(rows: Rows, x: alt.X, y: alt.Y) -> Any:
    """Return grey lines with names above their beginning: predictors that are no model's."""
    least = min(row["n"] for row in rows)
    lines = [
        layer(f"shared-{kind}", [row for row in rows if row["kind"] == kind])
        .mark_line(color=GREY, strokeWidth=1.8, strokeDash=dash)
        .encode(x, y)
        for kind, dash in SHARED_DASHES.items()
    ]
    names = layer("shared-names", [row for row in rows if row["n"] == least]).mark_text(
        align="left", dy=-7, dx=2, color="#5b6570", fontSize=11
    )
    tooltip = _tooltip("predictor", "ged", "interval")
    pointed = _hover(rows, f"{HOVER}-shared").encode(x, y, tooltip=tooltip)
    return alt.layer(*lines, pointed, names.encode(x, y, text="predictor:N"))


@dataclass(frozen=True)
class _Curve:
    """One logged curve of one training."""

    run: RunFolder
    label: str
    values: pd.Series  # over steps
    stopped: int | None


def _curves(run: RunFolder, name: str) -> list[_Curve]:
    """Return a run's curves of this name; a curve of zeros, a KL that does not exist, is none."""
    label = f"fold {run.run.fold}, seed {run.run.seed}"
    found = []
    for member, log in enumerate(run.training):
        if name in log and log[name].any():
            own = f"{label}, member {member}" if len(run.training) > 1 else label
            stopped = run.stopped[member] if run.stopped else None
            found.append(_Curve(run, own, log[name], stopped))
    return found


def _curves_panel(name: str, curves: list[_Curve], names: Names) -> Any:
    """Return one curve of all runs over steps."""
    most = max(min(MOST_POINTS, ALL_POINTS // len(curves)), 20)
    # an ensemble's many lines are drawn below the others
    curves = sorted(curves, key=lambda curve: -len(curve.run.training))
    rows, best, stopped = [], [], []
    for line, curve in enumerate(curves):
        of = names.row(curve.run.run.model, curve.run.run.beta) | {"run": curve.label}
        points = [{"step": step, "value": value} for step, value in _averaged(curve.values, most)]
        rows += [of | {"line": line} | point for point in points]
        if name == "validation_ged":
            step = int(curve.values.index[int(curve.values.to_numpy().argmin())])
            value = float(curve.values.loc[step])
            best.append(of | {"step": step, "value": value, "what": "best"})
        if curve.stopped is not None:
            what = f"stopped early, at step {curve.stopped}"
            stopped.append(of | points[-1] | {"what": what})
    positive = name != "validation_ged" and all((curve.values > 0).all() for curve in curves)
    scale = alt.Scale(type="log", nice=False) if positive else alt.Scale(zero=False)
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    opacity = names.opacity(0.85)
    lines = layer(f"{name}-lines", rows).mark_line(strokeWidth=1.4)
    layers: list[Any] = [
        lines.encode(x, y, names.colour, names.dash, opacity=opacity, detail="line:N")
    ]
    if all(len(curve.values) < 20 for curve in curves):
        dots = layer(f"{name}-points", rows).mark_point(filled=True, size=16)
        layers.append(dots.encode(x, y, names.colour, opacity=opacity))
    tooltip = _tooltip("predictor", "run", "step", "value")
    layers.append(_hover(rows, f"{HOVER}-{name}").encode(x, y, tooltip=tooltip))
    tooltip = _tooltip("predictor", "run", "what", "step", "value")
    for kind, found, shape, fill in (
        ("best", best, "circle", "white"),
        ("stopped", stopped, "M-1,-1L1,1M-1,1L1,-1", "transparent"),
    ):
        if found:
            marks = layer(f"{name}-{kind}", found)
            marks = marks.mark_point(shape=shape, fill=fill, size=70, strokeWidth=1.8)
            opacity = names.opacity(1)
            layers.append(marks.encode(x, y, names.colour, opacity=opacity, tooltip=tooltip))
    return alt.layer(*layers).properties(title=CURVES[name], width=PANEL, height=PANEL)


def _averaged(curve: pd.Series, most: int) -> list[tuple[float, float]]:
    """Return steps and values of a curve, averaged to at most this many points."""
    part = np.arange(len(curve)) // math.ceil(len(curve) / most)
    steps = pd.Series(curve.index).groupby(part).mean()
    values = pd.Series(curve.to_numpy()).groupby(part).mean()
    return [
        (round(step, 1), float(f"{value:.5g}")) for step, value in zip(steps, values, strict=True)
    ]


def _without_hover(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chart without the layers for the pointer alone."""
    kept = dict(spec)
    for key in ("layer", "concat"):
        if key in spec:
            parts = [part for part in spec[key] if not part.get("name", "").startswith(HOVER)]
            kept[key] = [_without_hover(part) for part in parts]
    return kept


def _in_points(start: re.Match[str]) -> str:
    """Return the start tag of an `<svg>` with its sizes in points, at 96 pixels to the inch."""
    return re.sub(
        r'(?<= )(width|height)="([\d.]+)"',
        lambda size: f'{size[1]}="{float(size[2]) * 0.75:g}"',
        start[0],
    )


def _sorted_resources(pdf: bytes) -> bytes:
    """Return a PDF with the names of its resources sorted: their order differs between runs."""
    lines = rb"(?m)(?:^ +/[A-Za-z]+\d+ \d+ 0 R\n)+"
    return re.sub(lines, lambda found: b"".join(sorted(found[0].splitlines(True))), pdf)
