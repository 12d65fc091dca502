"""The report's charts of GED and of training, as Vega-Lite: one description, drawn everywhere.

In a browser a chart answers to the pointer; where there is none, vl-convert draws the same one as
SVG for the page, and as SVG and PDF for a paper.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import altair as alt
import numpy as np
import pandas as pd

from probunet.report.labels import NBSP, degenerate, deterministic, number, predictor
from probunet.report.runs import RunFolder
from probunet.report.style import CONFIG, GREY, looks, several_betas
from probunet.report.tables import groups
from probunet.run import format_beta

FEW = 4  # models and betas: of more, single runs and intervals are shown of those chosen alone
CURVES = {"loss": "Loss", "kl": "KL divergence", "validation_ged": "Validation GED"}
MOST_POINTS = 100  # per training curve
ALL_POINTS = 2_000  # of one panel's curves together, which keeps the report small
WIDTH, HEIGHT = 560, 340  # of a chart of one panel, pixels
PANEL = 250  # width and height of one of several, pixels
HOVER = "hover"  # begins the names of layers that serve the pointer alone
GED = "GED (lower is better)"
TEXT = {"predictor", "interval", "sd", "run", "what"}  # columns that are no numbers
SHARED_DASHES = {"empty": [7, 2, 1.5, 2], "graders": [1.5, 2.5]}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Chart:
    """A figure of the report, which a browser draws, or `svg` and `pdf`.

    `name` is that of its files and unique within a data set; `alt` says what is drawn to those who
    do not see it, `caption` how to read it.
    """

    name: str
    title: str
    spec: Mapping[str, Any]  # Vega-Lite
    alt: str
    caption: str

    def svg(self, prefix: str = "") -> str:
        """Return the chart as an `<svg>` element, its ids beginning with `prefix`.

        Several can stand in one page if their prefixes differ.
        """
        import vl_convert

        drawn = str(vl_convert.vegalite_to_svg(_without_hover(self.spec)))
        return re.sub(r'(\bid="|url\(#)', rf"\g<1>{prefix}", drawn)

    def pdf(self) -> bytes:
        """Return the chart as a page of PDF, a pixel 3/4 of a point wide, its fonts embedded."""
        import vl_convert

        scaled = re.sub(r"^<svg[^>]*", _in_points, self.svg())
        return _sorted_resources(bytes(vl_convert.svg_to_pdf(scaled)))


def ged_chart(scores: pd.DataFrame, summary: pd.DataFrame) -> Chart:
    """Return GED against n: means over folds.

    With single runs as thin lines and intervals as bands: of more than `FEW` models and betas,
    which would hide each other, when a reader chooses one in the legend. The deterministic rows,
    which do not depend on n, stand as open markers in a column of their own.

    Parameters
    ----------
    scores, summary
        `scores.csv` and `summary.csv`, the rows of one data set, in the order of the legend.
    """
    names = Names(summary)
    means, guesses, shared = _means(names, summary)
    few = len(names.pairs) <= FEW
    x = _samples_axis(sorted({row["n"] for row in means + shared}), single=bool(guesses))
    y = alt.Y("ged:Q", title=GED, scale=alt.Scale(zero=True))
    layers: list[Any] = [_shared_lines(shared, x, y)] if shared else []
    if means:
        layers += _spread(names, means, _single_runs(names, scores), x, y, always=few)
    if means:
        tooltip = _tooltip("predictor", "n", "ged", "sd", "interval", "folds")
        layers += [
            layer("means", means)
            .mark_line(strokeWidth=2.2)
            .encode(x, y, names.colour, names.dash, opacity=names.opacity(1)),
            layer("markers", means)
            .mark_point(filled=True, size=75, stroke="white", strokeWidth=0.6)
            .encode(x, y, names.colour, names.shape, opacity=names.opacity(1), tooltip=tooltip),
        ]
    if guesses:
        tooltip = _tooltip("predictor", "ged", "sd", "interval")
        layers.append(
            layer("guesses", guesses)
            .mark_point(filled=False, size=65, strokeWidth=1.6)
            .encode(x, y, names.colour, names.shape, opacity=names.opacity(1), tooltip=tooltip)
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

    One line per training, an ensemble's members each; long logs are averaged to fewer points. The
    step of the best weights is marked, and a training that stopped before its last step.
    """
    logged = [name for name in CURVES if any(_curves(run, name) for run in runs)]
    if not logged:
        return None
    trained = [run for run in runs if run.training]
    names = Names.of((run.run.model, run.run.beta, run.run.dataset) for run in trained)
    panels = [_curves_panel(name, trained, names) for name in logged]
    chart = alt.concat(*panels, columns=len(panels), spacing=28)
    first = f"{logged[0]}-lines_0"  # Altair numbers the views of panels
    return Chart(
        name="training",
        title="Training curves",
        spec=finished(chart, names.params(first)),
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

    A model has a colour and a marker, told by one legend; a beta, of models that were run with
    several, a kind of line, told by another.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        rows = table[["model", "beta", "dataset"]].drop_duplicates()
        rows = rows[[degenerate(str(model)) is None for model in rows["model"]]]
        self.dataset = str(table["dataset"].iloc[0])
        self.pairs = [(str(row.model), float(cast(float, row.beta))) for row in rows.itertuples()]
        self._several = several_betas(self.pairs)
        of = looks(self.pairs)
        shown = {self.model(*pair): of[pair] for pair in self.pairs}
        betas = {self.beta(*pair): of[pair] for pair in sorted(self.pairs, key=lambda p: p[1])}
        betas.pop("", None)
        legend = alt.Legend(orient="bottom", columns=2, symbolStrokeWidth=2)
        one = alt.Scale(domain=list(shown), range=[look.colour for look in shown.values()])
        shapes = alt.Scale(domain=list(shown), range=[look.marker for look in shown.values()])
        dashes = alt.Scale(
            domain=["", *betas], range=[[1, 0], *(list(look.dash) for look in betas.values())]
        )
        kinds = alt.Legend(
            orient="bottom", values=list(betas), symbolStrokeColor="#333333", symbolSize=800
        )
        self.colour = alt.Color("model:N", scale=one, title=None, legend=legend)
        self.shape = alt.Shape("model:N", scale=shapes, title=None, legend=legend)
        self.dash = alt.StrokeDash(
            "beta:N", scale=dashes, title=None, legend=kinds if betas else None
        )
        self._chosen = [{"param": name} for name in (["model", "beta"] if betas else ["model"])]

    @classmethod
    def of(cls, triples: Iterable[tuple[str, float, str]]) -> "Names":
        """Return the names of models, betas and their data set."""
        return cls(pd.DataFrame(sorted(set(triples)), columns=["model", "beta", "dataset"]))

    def row(self, model: str, beta: float) -> dict[str, Any]:
        """Return the columns of a row of data by which it is found in the legends."""
        return {
            "predictor": predictor(model, beta, self.dataset),
            "model": self.model(model, beta),
            "beta": self.beta(model, beta),
        }

    def model(self, model: str, beta: float) -> str:
        """Return what the first legend calls a model: with its beta, if it has but one."""
        return predictor(model, math.nan if model in self._several else beta, self.dataset)

    def beta(self, model: str, beta: float) -> str:
        """Return what the second legend calls a beta; nothing for a model of one."""
        return f"β{NBSP}={NBSP}{format_beta(beta)}" if model in self._several else ""

    def opacity(self, value: float) -> Any:
        """Return how solid a mark is, which fades if a reader chose others."""
        chosen = {"test": {"and": self._chosen}, "value": value}
        return {"condition": chosen, "value": value * 0.12}

    def opacity_when_chosen(self, value: float) -> Any:
        """Return how solid a mark is that is unseen until a reader chooses its model or beta."""
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
    # Altair's check against the schema takes longer than the rest of a report's charts; tests do it
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec | {"config": CONFIG, "params": params}


def layer(name: str, rows: Rows) -> alt.Chart:
    """Return a layer of a chart, with its rows of data."""
    data = alt.InlineData(values=rows)
    return alt.Chart(data, name=name)


def _hover(rows: Rows, name: str = HOVER) -> alt.Chart:
    """Return unseen points that tell their values when they are pointed at."""
    points: alt.Chart = layer(name, rows).mark_point(filled=True, size=80, opacity=0)
    return points


def _tooltip(*names: str) -> list[alt.Tooltip]:
    titles = {"n": "samples n", "ged": "GED", "sd": "sd over folds", "interval": "95 % interval"}
    return [
        alt.Tooltip(f"{name}:{'N' if name in TEXT else 'Q'}", title=titles.get(name, name))
        for name in names
    ]


def _means(names: Names, summary: pd.DataFrame) -> tuple[Rows, Rows, Rows]:
    """Return the models' rows, one row for each single guess, and those of no model's."""
    means, guesses, shared = [], [], []
    single = 2 * int(summary["n"].max())  # on the logarithmic axis, the place after the greatest n
    for (model, beta), group in groups(summary, "model", "beta"):
        rows = [_mean(row) for row in group.sort_values("n").to_dict("records")]
        kind = degenerate(model)
        label = predictor(model, beta, names.dataset)
        if kind is None:
            means += [names.row(model, beta) | row for row in rows]
        elif kind == "deterministic":
            of = next((pair for pair in names.pairs if deterministic(pair[0]) == model), None)
            if of is not None and (of[0], beta) in names.pairs:
                row = names.row(of[0], beta) | rows[-1]
                guesses.append(row | {"predictor": label, "n": single})
        else:
            shared += [{"predictor": label, "kind": kind} | row for row in rows]
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
    return {key: None if value != value else value for key, value in found.items()}


def _single_runs(names: Names, scores: pd.DataFrame) -> Rows:
    return [
        names.row(str(row["model"]), float(row["beta"]))
        | {"fold": int(row["fold"]), "seed": int(row["seed"])}
        | {"n": int(row["n"]), "ged": float(row["ged"])}
        for row in scores.to_dict("records")
        if degenerate(str(row["model"])) is None
    ]


def _spread(
    names: Names, means: Rows, runs: Rows, x: alt.X, y: alt.Y, *, always: bool
) -> list[Any]:
    """Return intervals as bands and single runs as thin lines: always, or of what was chosen."""
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
    """Return the axis of n, a column for single guesses after the greatest."""
    last = 2 * max(ns)
    label = "format(datum.value, 'd')"
    if single:
        label = f"datum.value === {last} ? ['single', 'guess'] : {label}"
    values = [*ns, *([last] if single else [])]
    return alt.X(
        "n:Q",
        title="samples per image, n",
        scale=alt.Scale(
            type="log", base=2, domain=[min(ns) / 1.12, max(values) * 1.12], nice=False
        ),
        axis=alt.Axis(values=values, labelExpr=label, grid=False),
    )


def _shared_lines(rows: Rows, x: alt.X, y: alt.Y) -> Any:
    """Return grey lines, named above their beginning: predictors that are no model's."""
    tooltip = _tooltip("predictor", "ged", "interval")
    least = min(row["n"] for row in rows)
    first = [row for row in rows if row["n"] == least]
    lines = [
        layer(f"shared-{kind}", [row for row in rows if row["kind"] == kind])
        .mark_line(color=GREY, strokeWidth=1.8, strokeDash=dash)
        .encode(x, y)
        for kind, dash in SHARED_DASHES.items()
    ]
    names = layer("shared-names", first).mark_text(
        align="left", dy=-7, dx=2, color="#5b6570", fontSize=11
    )
    pointed = _hover(rows, f"{HOVER}-shared").encode(x, y, tooltip=tooltip)
    return alt.layer(*lines, pointed, names.encode(x, y, text="predictor:N"))


def _curves_panel(name: str, runs: list[RunFolder], names: Names) -> Any:
    """Return one curve of all runs over steps."""
    curves = [curve for run in runs for curve in _curves(run, name)]
    most = max(min(MOST_POINTS, ALL_POINTS // len(curves)), 20)
    # an ensemble's many lines lie below
    curves.sort(key=lambda curve: -len(curve.run.training))
    rows, best, stopped = [], [], []
    for line, curve in enumerate(curves):
        run, values = curve.run.run, curve.values
        of = names.row(run.model, run.beta) | {"run": curve.label}
        points = [{"step": step, "value": value} for step, value in _averaged(values, most)]
        rows += [of | {"line": line} | point for point in points]
        if name == "validation_ged":
            step = int(values.index[int(values.to_numpy().argmin())])
            best.append(of | {"step": step, "value": float(values.loc[step]), "what": "best"})
        if curve.stopped is not None:
            what = f"stopped early, at step {curve.stopped}"
            stopped.append(of | points[-1] | {"what": what})
    positive = name != "validation_ged" and all((curve.values > 0).all() for curve in curves)
    scale = alt.Scale(type="log", nice=False) if positive else alt.Scale(zero=False)
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    few = all(len(curve.values) < 20 for curve in curves)
    lines = layer(f"{name}-lines", rows).mark_line(strokeWidth=1.4)
    layers: list[Any] = [
        lines.encode(x, y, names.colour, names.dash, opacity=names.opacity(0.85), detail="line:N"),
        _hover(rows, f"{HOVER}-{name}").encode(
            x, y, tooltip=_tooltip("predictor", "run", "step", "value")
        ),
    ]
    if few:
        points = layer(f"{name}-points", rows).mark_point(filled=True, size=16)
        layers.insert(1, points.encode(x, y, names.colour, opacity=names.opacity(0.85)))
    marked = {
        "best": (best, "circle", "white"),
        "stopped": (stopped, "M-1,-1L1,1M-1,1L1,-1", "transparent"),
    }
    for kind, (found, shape, fill) in marked.items():
        if found:
            marks = layer(f"{name}-{kind}", found).mark_point(
                shape=shape, fill=fill, size=70, strokeWidth=1.8
            )
            tooltip = _tooltip("predictor", "run", "what", "step", "value")
            layers.append(
                marks.encode(x, y, names.colour, opacity=names.opacity(1), tooltip=tooltip)
            )
    return alt.layer(*layers).properties(title=CURVES[name], width=PANEL, height=PANEL)


@dataclass(frozen=True)
class _Curve:
    """One logged curve of one training."""

    run: RunFolder
    label: str
    values: pd.Series  # over steps
    stopped: int | None


def _curves(run: RunFolder, name: str) -> list[_Curve]:
    """Return a run's curves of this name; models without a KL log zeros, which are none."""
    label = f"fold {run.run.fold}, seed {run.run.seed}"
    found = []
    for member, log in enumerate(run.training):
        if name in log and log[name].any():
            own = f"{label}, member {member}" if len(run.training) > 1 else label
            stopped = run.stopped[member] if run.stopped else None
            found.append(_Curve(run, own, log[name], stopped))
    return found


def _averaged(curve: pd.Series, most: int) -> list[tuple[float, float]]:
    """Return steps and values of a curve, averaged to at most this many points."""
    part = np.arange(len(curve)) // math.ceil(len(curve) / most)
    steps = pd.Series(curve.index).groupby(part).mean()
    values = pd.Series(curve.to_numpy()).groupby(part).mean()
    return [
        (round(step, 1), float(f"{value:.5g}")) for step, value in zip(steps, values, strict=True)
    ]


def _without_hover(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chart without the layers that serve the pointer alone."""
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
    """Return a PDF with the names of resources in order, which come in any."""
    lines = rb"(?m)(?:^ +/[A-Za-z]+\d+ \d+ 0 R\n)+"
    return re.sub(lines, lambda found: b"".join(sorted(found[0].splitlines(True))), pdf)
