"""What came of each training: its steps, and when its validation GED was best."""

from collections.abc import Sequence

import pandas as pd

from probunet.report.labels import count, number
from probunet.report.runs import RunFolder
from probunet.report.tables import Cell, Row, Table


def trainings(runs: Sequence[RunFolder]) -> Table | None:
    """Return one row per training, an ensemble's members each; None if nothing was logged."""
    rows = []
    for run in runs:
        members = len(run.training) > 1
        for place, (log, stopped) in enumerate(zip(run.training, run.stopped, strict=True)):
            folder = run.run.folder + (f"/member-{place}" if members else "")
            last = max(int(curve.index.to_numpy()[-1]) for curve in log.values())
            how = "finished" if stopped is None else f"stopped early, at step {count(stopped)}"
            rows.append(Row(folder, [_step(last), *_best(log), Cell(how)], False))
    return Table(["steps", "best validation GED", "at step", ""], rows) if rows else None


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
