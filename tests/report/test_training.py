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
    found = trainings([folder(log, stopped=(None,))], 1200)
    assert found is not None
    assert found.early == 0
    (row,) = found.table.rows
    assert row.label == RUN.folder
    assert [cell.text for cell in row.cells] == ["1,200", "1,200", "0.400", "600", "finished"]
    assert [cell.value for cell in row.cells] == [1200, 1200, 0.4, 600, None]


def test_members_and_early_stops_and_no_validation() -> None:
    found = trainings([folder({"loss": {10: 3.0}}, {"kl": {20: 3.0}}, stopped=(None, 20))], None)
    assert found is not None
    assert found.early == 1
    rows = found.table.rows
    assert [row.label for row in rows] == [f"{RUN.folder}/member-{i}" for i in (0, 1)]
    assert [cell.text for cell in rows[0].cells[:3]] == ["10", "unknown", "\N{EN DASH}"]
    assert [(row.cells[-1].text, row.cells[-1].bold) for row in rows] == [
        ("finished", False),
        ("stopped early", True),
    ]


def test_a_log_that_ends_before_the_steps_asked_for_stopped_early() -> None:
    found = trainings([folder({"loss": {10: 3.0}}, stopped=(None,))], 20)
    assert found is not None
    assert found.early == 1
    assert [cell.text for cell in found.table.rows[0].cells[:2]] == ["10", "20"]


def test_nothing_logged_is_no_table() -> None:
    assert trainings([folder(stopped=())], 20) is None


def test_a_model_with_steps_of_its_own_is_measured_by_them() -> None:
    found = trainings([folder({"loss": {10: 3.0}}, stopped=(None,))], 20, {"unet": 10})
    assert found is not None
    assert found.early == 0
    assert [cell.text for cell in found.table.rows[0].cells[:2]] == ["10", "10"]
