"""What came of each training: its steps, and when its validation GED was best."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from probunet.report.labels import count, number
from probunet.report.runs import RunFolder
from probunet.report.tables import Cell, Row, Table


@dataclass(frozen=True)
class Trainings:
    """A row per training, and how many of them are not at their last step."""

    table: Table
    early: int


def trainings(runs: Sequence[RunFolder], asked: int | None) -> Trainings | None:
    """Return one row per training, an ensemble's members each; None if nothing was logged.

    Parameters
    ----------
    runs
        The runs of one data set.
    asked
        The steps that their configuration asks for; None if it does not tell.
    """
    rows, early = [], 0
    for run in runs:
        members = len(run.training) > 1
        for place, (log, stopped) in enumerate(zip(run.training, run.stopped, strict=True)):
            folder = run.run.folder + (f"/member-{place}" if members else "")
            last = max(int(curve.index.to_numpy()[-1]) for curve in log.values())
            short = stopped is not None or (asked is not None and last < asked)
            early += short
            how = Cell("stopped early" if short else "finished", bold=short)
            rows.append(Row(folder, [_step(last), _asked(asked), *_best(log), how], False))
    heads = ["steps", "asked for", "best validation GED", "at step", "outcome"]
    return Trainings(Table(heads, rows), early) if rows else None


def _best(log: dict[str, pd.Series]) -> tuple[Cell, Cell]:
    """Return the lowest validation GED, and its step."""
    if "validation_ged" not in log:
        return Cell("\N{EN DASH}"), Cell("\N{EN DASH}")
    values = log["validation_ged"].to_numpy()
    best = int(values.argmin())
    ged = float(values[best])
    return Cell(number(ged), value=ged), _step(int(log["validation_ged"].index.to_numpy()[best]))


def _step(step: int) -> Cell:
    return Cell(count(step), value=step)


def _asked(steps: int | None) -> Cell:
    return Cell("unknown") if steps is None else _step(steps)
