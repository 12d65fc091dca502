"""The tables of scores, as rows of text for the template."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from probunet.errors import ProbunetError
from probunet.report.labels import degenerate, deterministic, number, predictor

OTHERS = {
    "ged_unbiased": "GED, unbiased",
    "hm_iou": "HM-IoU",
    "diversity": "Diversity",
    "max_dice": "Max Dice",
    "ncc": "NCC",
    "ece": "ECE",
    "reconstruction_iou": "Reconstruction IoU",
}
FIRST = ("hm_iou", "diversity")  # of these, what stands beside GED
PAIR = ["other_model", "other_beta", "difference", "low", "high", "better"]


@dataclass(frozen=True)
class Cell:
    """A score and, where there are any, its deviation and interval."""

    text: str
    spread: str = ""  # standard deviation over folds
    interval: str = ""
    bold: bool = False
    value: float | None = None  # by which a reader can sort; None: last either way


@dataclass(frozen=True)
class Row:
    """A predictor and its cells; `degenerate` rows are set apart."""

    label: str
    cells: list[Cell]
    degenerate: bool
    note: str = ""  # stands small below the label


@dataclass(frozen=True)
class Table:
    """Column heads and rows."""

    heads: list[str]
    rows: list[Row]


def read_table(path: Path) -> pd.DataFrame:
    """Return `scores.csv` or `summary.csv`.

    Raises
    ------
    ProbunetError
        If the file is not there or not such a table.
    """
    return _read(path, {"ged", *OTHERS})


def read_comparison(path: Path) -> pd.DataFrame:
    """Return `comparison.csv`; raises as `read_table` does."""
    return _read(path, set(PAIR))


def _read(path: Path, columns: set[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"beta": float, "other_beta": float})
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such table; run `probunet score table` first.") from None
    except (OSError, ValueError) as error:
        raise ProbunetError(f"{path}: not a table of scores: {error}.") from None
    missing = ({"dataset", "model", "beta", "n"} | columns) - set(table)
    if missing:
        raise ProbunetError(
            f"{path}: not the table that is wanted here, {', '.join(sorted(missing))} missing; "
            "run `probunet score table` again."
        )
    return table


def by_ged(table: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the models in the order of their GED at the greatest n, best first.

    Each model's deterministic rows stand after all models, in the same order; then the predictors
    that are no model's.
    """
    at_most = summary[summary["n"] == summary["n"].max()].sort_values("ged", kind="stable")
    models = [
        (row.model, row.beta) for row in at_most.itertuples() if degenerate(str(row.model)) is None
    ]
    wanted = models + [(deterministic(str(model)), beta) for model, beta in models]
    places = {pair: place for place, pair in enumerate(wanted)}
    pairs = table[["model", "beta"]].itertuples(index=False, name=None)
    order = [places.get(pair, len(places)) for pair in pairs]
    return table.assign(order=order).sort_values("order", kind="stable").drop(columns="order")


def overview(summary: pd.DataFrame, n: int, *, folds: int, clear: bool) -> Table:
    """Return one row per predictor: at n, its GED and the scores that one looks at first.

    Parameters
    ----------
    folds
        Those of the data set; a row of fewer says so.
    clear
        Whether the first model is better than every other one: its GED is bold then, and only then.
    """
    at_n = summary[summary["n"] == n]
    models = [model for model in at_n["model"] if degenerate(str(model)) is None]
    rows: list[Row] = []
    for (model, _), group in groups(at_n, "model", "beta"):
        first = not rows and bool(models) and model == models[0]
        ged = replace(_ged(group.iloc[0].to_dict()), bold=clear and first)
        cells = [ged, *(_score(group[name].iloc[0]) for name in FIRST)]
        rows.append(_row(group, cells, note=_partial(group, folds)))
    return Table([f"GED, n = {n}", *(OTHERS[name] for name in FIRST)], rows)


def others(summary: pd.DataFrame, n: int, *, folds: int) -> Table:
    """Return one row per predictor: at n, the scores that `overview` leaves out."""
    names = [name for name in OTHERS if name not in FIRST]
    rows = [
        _row(group, [_score(group[name].iloc[0]) for name in names], note=_partial(group, folds))
        for _, group in groups(summary[summary["n"] == n], "model", "beta")
    ]
    return Table([OTHERS[name] for name in names], rows)


def undecided(
    comparison: pd.DataFrame, n: int, pairs: list[tuple[str, float]]
) -> list[tuple[str, float]]:
    """Return the models and betas than which the first of `pairs` is not clearly better.

    On the same subjects at n, the interval of the difference in GED does not lie below zero, or
    there is no such comparison.
    """
    table = _turned(comparison[comparison["n"] == n])
    better = {
        ((row["model"], row["beta"]), (row["other_model"], row["other_beta"]))
        for row in table.to_dict("records")
        if row["high"] < 0
    }
    return [pair for pair in pairs[1:] if (pairs[0], pair) not in better]


def over_folds(summary: pd.DataFrame, *, folds: int) -> Table:
    """Return one row per predictor and one column per n: GED, sd and interval over folds."""
    ns = sorted(summary["n"].unique())
    rows = []
    for _, group in groups(summary, "model", "beta"):
        by_n = group.set_index("n").to_dict("index")
        rows.append(_row(group, [_ged(by_n.get(n)) for n in ns], note=_partial(group, folds)))
    return Table([f"n = {n}" for n in ns], rows)


def per_fold(scores: pd.DataFrame, n: int) -> Table:
    """Return one row per predictor and seed and one column per fold: GED at n."""
    chosen = scores[scores["n"] == n]
    folds = sorted(chosen["fold"].unique())
    several = chosen["seed"].nunique() > 1
    rows = []
    for (_, _, seed), group in groups(chosen, "model", "beta", "seed"):
        by_fold = group.set_index("fold")["ged"].to_dict()
        cells = [_score(by_fold.get(fold, math.nan)) for fold in folds]
        repeat = f", seed {int(seed)}" if several and not math.isnan(seed) else ""
        rows.append(_row(group, cells, repeat))
    return Table([f"fold {fold}" for fold in folds], rows)


def against(comparison: pd.DataFrame, n: int, model: str, beta: float, order: list[str]) -> Table:
    """Return one row per other predictor: how this one's GED differs on the same subjects, at n.

    A difference is bold where its interval excludes zero, and only there. `order` has the rows'
    labels in the order in which they are to stand.
    """
    both = _turned(comparison[comparison["n"] == n])
    this = both[(both["model"] == model) & (both["beta"] == beta)]
    rows = []
    for row in this.to_dict("records"):
        cells = [
            Cell(number(row["difference"]), bold=_apart(row), value=row["difference"]),
            Cell(f"{number(row['low'])} to {number(row['high'])}", value=row["low"]),
            Cell(f"{100 * row['better']:.0f} %", value=row["better"]),
        ]
        other = (row["other_model"], row["other_beta"], row["dataset"])
        rows.append(Row(predictor(*other), cells, degenerate(row["other_model"]) is not None))
    places = {label: place for place, label in enumerate(order)}
    rows.sort(key=lambda row: places.get(row.label, len(places)))
    return Table(["difference in GED", "95 % interval", "share better"], rows)


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


def _apart(row: dict[Any, Any]) -> bool:
    """Whether the interval of a difference excludes zero."""
    return bool(row["low"] > 0 or row["high"] < 0)


def _score(value: float) -> Cell:
    return Cell(number(value), value=None if math.isnan(value) else float(value))


def _ged(row: dict[Any, Any] | None) -> Cell:
    if row is None:
        return _score(math.nan)
    spread = "" if math.isnan(row["ged_sd"]) else f"± {number(row['ged_sd'])}"
    interval = f"{number(row['ged_low'])} to {number(row['ged_high'])}"
    return replace(_score(row["ged"]), spread=spread, interval=interval)


def groups(table: pd.DataFrame, *columns: str) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the rows of equal values in these columns, blank ones included, in their order."""
    for key, group in table.groupby(list(columns), dropna=False, sort=False):
        yield cast("tuple[Any, ...]", key), group


def _partial(group: pd.DataFrame, folds: int) -> str:
    """Return what is to be said of a row that is a mean over some of the folds only."""
    own = int(group["folds"].iloc[0])
    return "" if own == folds else f"{own} of {folds} folds"


def _row(group: pd.DataFrame, cells: list[Cell], repeat: str = "", note: str = "") -> Row:
    model = str(group["model"].iloc[0])
    label = predictor(model, group["beta"].iloc[0], str(group["dataset"].iloc[0]))
    return Row(label + repeat, cells, degenerate(model) is not None, note)
