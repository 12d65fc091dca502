from typing import Any

import pandas as pd

from probunet.report.runs import RunFolder
from probunet.report.training import trainings
from probunet.run import Run

RUN = Run("lidc", "unet", 1.0, 0, 0)


def folder(*logs: dict[str, Any], stopped: tuple[int | None, ...]) -> RunFolder:
    curves = [{name: pd.Series(values) for name, values in log.items()} for log in logs]
    return RunFolder(RUN, curves, None, None, (), stopped)


def test_best_validation_and_last_step() -> None:
    log = {"loss": {10: 3.0, 1200: 2.0}, "validation_ged": {600: 0.4, 1200: 0.5}}
    table = trainings([folder(log, stopped=(None,))])
    assert table is not None
    (row,) = table.rows
    assert row.label == RUN.folder
    assert [cell.text for cell in row.cells] == ["1,200", "0.400", "600", "finished"]
    assert [cell.value for cell in row.cells] == [1200, 0.4, 600, None]


def test_members_and_early_stops_and_no_validation() -> None:
    table = trainings([folder({"loss": {10: 3.0}}, {"kl": {20: 3.0}}, stopped=(None, 20))])
    assert table is not None
    assert [row.label for row in table.rows] == [f"{RUN.folder}/member-{i}" for i in (0, 1)]
    assert table.rows[0].cells[1].text == "\N{EN DASH}"
    assert table.rows[1].cells[-1].text == "stopped early, at step 20"


def test_nothing_logged_is_no_table() -> None:
    assert trainings([folder(stopped=())]) is None
