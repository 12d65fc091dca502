"""The tables of scores, as rows of text for the template."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from probunet.errors import ProbunetError
from probunet.files import read_file
from probunet.memory import raise_if_memory_lacks
from probunet.metrics.reported import COLUMNS, GRADER, Column
from probunet.pictures.numbers import number
from probunet.report.labels import degenerate, deterministic, predictor
from probunet.scores import LATER, of_classes
from probunet.study import FREE_NAME

OTHERS = {
    "ged_limit": "GED, n \N{RIGHTWARDS ARROW} \N{INFINITY}",
    "hm_iou": "HM-IoU",
    "diversity": "Diversity",
    "ncc_softmax": "NCC",
    "max_dice": "Max Dice",
    "ncc": "NCC, binary",
    "ece": "ECE",
    "reconstruction_iou": "Reconstruction IoU",
}
BY_CLASS = {"ged": "GED", "iou": "IoU", "ece": "ECE"}
FIRST = ("hm_iou", "diversity")  # of these, what is beside GED in the overview
TOPICS = {  # of the registry of scores
    "overlap": "Overlap and area",
    "calibration": "Calibration",
    "uncertainty": "Uncertainty",
    "selection": "Selection by uncertainty",
}
PAIR = ["other_model", "other_beta", "difference", "low", "high", "better"]


@dataclass(frozen=True)
class Cell:
    """A score and, where there are any, its deviation and interval."""

    text: str
    spread: str = ""  # standard deviation over folds
    interval: str = ""
    bold: bool = False
    value: float | None = None  # what a reader can sort by; None: last in either order


@dataclass(frozen=True)
class Row:
    """A predictor and its cells; `degenerate` rows are grey."""

    label: str
    cells: list[Cell]
    degenerate: bool
    note: str = ""  # in small letters below the label


@dataclass(frozen=True)
class Table:
    """Column heads and rows."""

    heads: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Topic:
    """Scores of one topic: a table of them, and what they are."""

    title: str
    table: Table
    columns: list[Column]


def read_tables(scores: Path, summary: Path, comparison: Path) -> list[pd.DataFrame]:
    """Return `scores.csv`, `summary.csv` and `comparison.csv`.

    Raises
    ------
    ProbunetError
        If a file does not exist or is not such a table.
    """
    of_scores = {"ged", *OTHERS, *(column.name for column in COLUMNS)}
    over_folds = {"folds", "ged_sd", "ged_low", "ged_high"}
    return [
        _read(scores, of_scores | {"fold", "seed"}),
        _read(summary, of_scores | over_folds),
        _read(comparison, set(PAIR)),
    ]


def _read(path: Path, columns: set[str]) -> pd.DataFrame:
    content = read_file(path, "no such table; run `probunet score table` first.")
    try:
        # a data set can be called `null` or `nan`: only an empty field is missing
        table = pd.read_csv(
            io.BytesIO(content),
            dtype={"beta": float, "other_beta": float},
            keep_default_na=False,
            na_values=[""],
        )
    except ValueError as error:
        raise_if_memory_lacks(error)
        raise ProbunetError(f"{path}: not a table of scores: {error}.") from None
    later = [*LATER, *(column.name for column in COLUMNS)]
    table = table.assign(**{name: math.nan for name in later if name not in table})
    needed = {"dataset", "model", "beta", "n"} | columns
    missing = needed - set(table)
    if missing:
        raise ProbunetError(
            f"{path}: lacks the columns {', '.join(sorted(missing))}; run `probunet score table` "
            "again."
        )
    for name in sorted(needed | set(of_classes(table))):
        column, fits = table[name], True
        if name == "dataset":  # the name of a folder, too
            fits = bool(column.astype(str).str.fullmatch(FREE_NAME).all())
        elif name in ("model", "other_model"):
            fits = all(isinstance(value, str) for value in column)
        elif name in ("n", "fold", "folds"):
            fits = is_integer_dtype(column) and bool(column.ge(0).all())
        else:
            fits = is_numeric_dtype(column) and bool(column.abs().ne(math.inf).all())
        if len(table) and not fits:
            raise ProbunetError(
                f"{path}: the column {name} has wrong values; run `probunet score table` again."
            )
    return table


def by_ged(table: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the models in the order of their GED at the greatest n, best first.

    After all models come their deterministic rows, in the same order; then the predictors that are
    no model's.
    """
    at_most = summary[summary["n"] == summary["n"].max()].sort_values("ged", kind="stable")
    pairs = list(at_most[["model", "beta"]].itertuples(index=False, name=None))
    models = [(model, beta) for model, beta in pairs if degenerate(model) is None]
    wanted = models + [(deterministic(model), beta) for model, beta in models]
    places = {pair: place for place, pair in enumerate(wanted)}
    every = table[["model", "beta"]].itertuples(index=False, name=None)
    order = [places.get(pair, len(places)) for pair in every]
    return table.assign(order=order).sort_values("order", kind="stable").drop(columns="order")


def overview(summary: pd.DataFrame, n: int, *, folds: int, clear: bool) -> Table:
    """Return one row per predictor: at n, its GED and the most important other scores.

    Parameters
    ----------
    folds
        Those of the data set; a row of fewer says so.
    clear
        Whether the first model is better than every other one: only then its GED is bold.
    """
    rows = _rows(summary[summary["n"] == n], folds, lambda of: [_ged(of), *_scores(of, FIRST)])
    if clear and rows and not rows[0].degenerate:
        rows[0].cells[0] = replace(rows[0].cells[0], bold=True)
    return Table([f"GED, n = {n}", *(OTHERS[name] for name in FIRST)], rows)


def others(summary: pd.DataFrame, n: int, *, folds: int) -> Table:
    """Return one row per predictor: at n, the scores that `overview` leaves out."""
    names = [name for name in OTHERS if name not in FIRST]
    rows = _rows(summary[summary["n"] == n], folds, lambda of: _scores(of, names))
    return Table([OTHERS[name] for name in names], rows)


def further(summary: pd.DataFrame, n: int, *, folds: int) -> Table:
    """Return one row per predictor: at n, the scores of the registry."""
    return _registered(summary[summary["n"] == n], folds, COLUMNS)


def by_topic(summary: pd.DataFrame, n: int, *, folds: int) -> list[Topic]:
    """Return the scores of `further` by topic, without those that are blank in all rows."""
    at = summary[summary["n"] == n]
    known = [column for column in COLUMNS if at[column.name].notna().any()]
    topics = []
    for topic, title in TOPICS.items():
        if columns := [column for column in known if column.topic == topic]:
            topics.append(Topic(title, _registered(at, folds, columns), columns))
    return topics


def by_grader(summary: pd.DataFrame, n: int, *, folds: int) -> Table | None:
    """Return one row per predictor: at n, the Dice of its mean with each of several graders."""
    at = summary[summary["n"] == n]
    names = [name for name in of_classes(at, [GRADER]) if at[name].notna().any()]
    if len(names) < 2:
        return None
    heads = [name.partition(":")[2] for name in names]
    return Table(heads, _rows(at, folds, partial(_scores, names=names)))


def by_class(summary: pd.DataFrame, n: int, *, folds: int) -> Table | None:
    """Return one row per class and predictor: at n, the class's scores; None without classes."""
    at = summary[summary["n"] == n]
    own = [name for name in of_classes(at, ["iou"]) if at[name].notna().any()]  # not of others
    classes = [name.removeprefix("iou:") for name in own]
    if not classes:
        return None
    rows = []
    for name in classes:
        columns = [f"{score}:{name}" for score in BY_CLASS]
        scored = _rows(at, folds, partial(_scores, names=columns))
        rows += [replace(row, note=", ".join(filter(None, [name, row.note]))) for row in scored]
    return Table([BY_CLASS[score] for score in BY_CLASS], rows)


def over_folds(summary: pd.DataFrame, *, folds: int) -> Table:
    """Return one row per predictor and one column per n: GED, sd and interval over folds."""
    ns = sorted(summary["n"].unique())
    rows = _rows(summary, folds, lambda of: [_ged(of[of["n"] == n]) for n in ns])
    return Table([f"n = {n}" for n in ns], rows)


def models_at(summary: pd.DataFrame, columns: Sequence[tuple[str, int]]) -> list[Row]:
    """Return one row per model: a cell per score and n, its mean, and GED's sd over folds."""
    rows = []
    for (model, _), group in groups(summary, "model", "beta"):
        if degenerate(str(model)) is None:
            at = group.set_index("n")
            cells = []
            for name, n in columns:
                value = float(at[name].get(n, math.nan))
                deviation = float(at["ged_sd"].get(n, math.nan)) if name == "ged" else math.nan
                spread = "" if math.isnan(deviation) else f"± {number(deviation)}"
                cells.append(replace(_score(value), spread=spread, bold=True))
            rows.append(replace(_row(group, cells), note="this study"))
    return rows


def undecided(
    comparison: pd.DataFrame, n: int, pairs: list[tuple[str, float]]
) -> list[tuple[str, float]]:
    """Return the models and betas that the first of `pairs` is not clearly better than.

    The interval of the difference in GED on the same subjects at n is not below zero, or there is
    no such comparison.
    """
    table = _turned(comparison[comparison["n"] == n])
    better = {
        ((row["model"], row["beta"]), (row["other_model"], row["other_beta"]))
        for row in table.to_dict("records")
        if row["high"] < 0
    }
    return [pair for pair in pairs[1:] if (pairs[0], pair) not in better]


def per_fold(scores: pd.DataFrame, n: int) -> Table:
    """Return one row per predictor and seed and one column per fold: GED at n."""
    chosen = scores[scores["n"] == n]
    folds = sorted(chosen["fold"].unique())
    several = chosen["seed"].nunique() > 1
    rows = []
    for (_, _, seed), group in groups(chosen, "model", "beta", "seed"):
        by_fold = group.set_index("fold")["ged"].to_dict()
        row = _row(group, [_score(by_fold.get(fold, math.nan)) for fold in folds])
        repeat = f", seed {int(seed)}" if several and not math.isnan(seed) else ""
        rows.append(replace(row, label=row.label + repeat))
    return Table([f"fold {fold}" for fold in folds], rows)


def against(comparison: pd.DataFrame, n: int, model: str, beta: float, order: list[str]) -> Table:
    """Return one row per other predictor: this one's GED less the other's on the same subjects.

    A difference is bold only if its interval excludes zero. `order` has the labels of the rows in
    their order.
    """
    both = _turned(comparison[comparison["n"] == n])
    rows = []
    for row in both[(both["model"] == model) & (both["beta"] == beta)].to_dict("records"):
        apart = row["low"] > 0 or row["high"] < 0
        cells = [
            Cell(number(row["difference"]), bold=apart, value=row["difference"]),
            Cell(f"{number(row['low'])} to {number(row['high'])}", value=row["low"]),
            Cell(f"{100 * row['better']:.0f} %", value=row["better"]),
        ]
        label = predictor(row["other_model"], row["other_beta"], row["dataset"])
        rows.append(Row(label, cells, degenerate(row["other_model"]) is not None))
    rows.sort(key=lambda row: order.index(row.label) if row.label in order else len(order))
    return Table(["difference in GED", "95 % interval", "share better"], rows)


def groups(table: pd.DataFrame, *columns: str) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the rows of equal values in these columns, blank ones included, in their order."""
    for key, group in table.groupby(list(columns), dropna=False, sort=False):
        yield cast("tuple[Any, ...]", key), group


def _turned(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return each pair twice, either predictor first."""
    names = ["model", "beta", "other_model", "other_beta"]
    turned = comparison.rename(columns=dict(zip(names, names[2:] + names[:2], strict=True))).assign(
        difference=-comparison["difference"],
        low=-comparison["high"],
        high=-comparison["low"],
        better=1 - comparison["better"],
    )
    return pd.concat([comparison, turned])


def _score(value: float) -> Cell:
    return Cell(number(value), value=None if math.isnan(value) else float(value))


def _scores(group: pd.DataFrame, names: Iterable[str]) -> list[Cell]:
    return [_score(group[name].iloc[0]) for name in names]


def _registered(at: pd.DataFrame, folds: int, columns: Sequence[Column]) -> Table:
    names = [column.name for column in columns]
    return Table(
        [column.head for column in columns], _rows(at, folds, partial(_scores, names=names))
    )


def _ged(group: pd.DataFrame) -> Cell:
    """Return the GED of a group's first row; a dash if there is none."""
    if group.empty:
        return _score(math.nan)
    row = group.iloc[0]
    spread = "" if math.isnan(row["ged_sd"]) else f"± {number(row['ged_sd'])}"
    interval = f"{number(row['ged_low'])} to {number(row['ged_high'])}"
    return replace(_score(row["ged"]), spread=spread, interval=interval)


def _rows(
    table: pd.DataFrame, folds: int, cells: Callable[[pd.DataFrame], list[Cell]]
) -> list[Row]:
    """Return a row for each predictor, with a note if it is a mean over some folds only."""
    rows = []
    for _, group in groups(table, "model", "beta"):
        own = int(group["folds"].iloc[0])
        note = "" if own == folds else f"{own} of {folds} folds"
        rows.append(replace(_row(group, cells(group)), note=note))
    return rows


def _row(group: pd.DataFrame, cells: list[Cell]) -> Row:
    model = str(group["model"].iloc[0])
    label = predictor(model, group["beta"].iloc[0], str(group["dataset"].iloc[0]))
    return Row(label, cells, degenerate(model) is not None)
