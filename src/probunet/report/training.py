"""The outcome of each training: its steps, and when its validation GED was best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from probunet.pictures.numbers import DASH, count, number
from probunet.report.runs import RunFolder
from probunet.report.tables import Cell, Row, Table


@dataclass(frozen=True)
class Trainings:
    """A row per training, and how many of them stopped early."""

    table: Table
    early: int


def trainings(
    runs: Sequence[RunFolder], asked: int | None, own: Mapping[str, int] | None = None
) -> Trainings | None:
    """Return one row per training, an ensemble's members each; None if nothing was logged.

    Parameters
    ----------
    runs
        The runs of one data set.
    asked
        The steps that their configuration asks for; None if it is unknown.
    own
        Those of single models instead.
    """
    rows, early = [], 0
    for run in runs:
        wanted = (own or {}).get(run.run.model, asked)
        for place, (log, stopped) in enumerate(zip(run.training, run.stopped, strict=True)):
            folder = run.run.folder + (f"/member-{place}" if len(run.training) > 1 else "")
            last = max(int(curve.index.to_numpy()[-1]) for curve in log.values())
            short = stopped is not None or (wanted is not None and last < wanted)
            early += short
            steps = [_step(last), Cell("unknown") if wanted is None else _step(wanted)]
            outcome = Cell("stopped early" if short else "finished", bold=short)
            rows.append(Row(folder, [*steps, *_best(log), outcome], False))
    heads = ["steps", "asked for", "best validation GED", "at step", "outcome"]
    return Trainings(Table(heads, rows), early) if rows else None


def _best(log: dict[str, pd.Series]) -> tuple[Cell, Cell]:
    """Return the lowest validation GED, and its step."""
    if "validation_ged" not in log:
        return Cell(DASH), Cell(DASH)
    curve = log["validation_ged"]
    best = int(curve.to_numpy().argmin())
    ged = float(curve.iloc[best])
    return Cell(number(ged), value=ged), _step(int(curve.index[best]))


def _step(step: int) -> Cell:
    return Cell(count(step), value=step)
