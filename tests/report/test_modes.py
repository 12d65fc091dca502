"""Frequencies, from rows of scores written by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from probunet.cityscapes import MODE_PROBABILITIES, PROBABILITIES
from probunet.report import modes
from probunet.report.modes import calibration
from probunet.report.runs import RunFolder
from probunet.report.plots import looks
from probunet.run import Run

PAIR = ("m_heads", 1.0)
ONE_MODE = np.eye(32)[5]


def folder(rows: list[dict[str, Any]], fold: int = 0) -> RunFolder:
    table = pd.DataFrame([{"predictor": "model", "n": 16} | row for row in rows])
    return RunFolder(Run("cityscapes", *PAIR, fold, 0), [], None, table, ())


def image(share: Any, present: int = 5, **changes: Any) -> dict[str, Any]:
    seen = np.arange(5) < present
    return {
        "mode_share": list(share),
        "first_pixels": list(170 * seen),
        "second_pixels": [0] * 5,
        "present": list(seen),
    } | changes


def cells(table: Any, row: int = -1) -> list[str]:
    return [cell.text for cell in table.rows[row].cells]


def test_exact_shares_are_calibrated() -> None:
    found = calibration([folder([image(MODE_PROBABILITIES)] * 3)], [PAIR])
    assert found is not None
    assert found.complete
    assert cells(found.modes) == ["3", "0.000", "0.000", "0"]


def test_one_mode_alone_is_not() -> None:
    found = calibration([folder([image(ONE_MODE)])], [PAIR])
    assert found is not None
    gap = f"{1 - MODE_PROBABILITIES[5]:.3f}"
    assert cells(found.modes) == ["1", gap, gap, "31"]


def test_folds_are_taken_together_and_other_rows_left_out() -> None:
    single = image(ONE_MODE, predictor="deterministic")
    few = image(ONE_MODE, n=4)
    none = image([], predictor="empty") | {"mode_share": None}
    runs = [folder([image(MODE_PROBABILITIES), few, single, none], fold) for fold in range(2)]
    found = calibration(runs, [PAIR])
    assert found is not None
    assert cells(found.modes) == ["2", "0.000", "0.000", "0"]


def test_images_that_lack_a_class_count_only_where_no_image_is_complete() -> None:
    lacking = image(ONE_MODE, present=4)
    found = calibration([folder([lacking, image(MODE_PROBABILITIES)])], [PAIR])
    assert found is not None
    assert (found.complete, found.images) == (True, 1)
    assert cells(found.modes)[1] == "0.000"
    found = calibration([folder([lacking, lacking])], [PAIR])
    assert found is not None
    assert (found.complete, found.images) == (False, 2)


def test_an_image_that_is_left_out_has_no_part() -> None:
    left_out = image([float("nan")] * 32, present=0)
    lacking = image(MODE_PROBABILITIES, present=4)
    found = calibration([folder([lacking, left_out])], [PAIR])
    assert found is not None
    assert cells(found.modes) == ["1", "0.000", "0.000", "0"]


def test_switches_are_shares_of_all_pixels_together() -> None:
    rows = [
        image(ONE_MODE, first_pixels=[90, 10, 1, 0, 0], second_pixels=[0, 10, 3, 5, 0]),
        image(ONE_MODE, first_pixels=[0, 0, 0, 0, 0], second_pixels=[10, 0, 0, 0, 0]),
    ]
    found = calibration([folder(rows)], [PAIR])
    assert found is not None
    assert cells(found.switches) == ["0.100", "0.500", "0.750", "1.000", "\N{EN DASH}"]
    assert [text.split(" = ")[1] for text in cells(found.switches, 0)] == [
        f"{p:.3f}" for p in PROBABILITIES
    ]


@pytest.mark.parametrize("runs", [[], [folder([{"row": 1}])]])
def test_nothing_without_the_columns(runs: list[RunFolder]) -> None:
    assert calibration(runs, [PAIR]) is None


@pytest.mark.parametrize("rare", [0, 3])
def test_panels_keep_their_places_where_no_mode_is_rare(rare: int) -> None:
    frequencies = MODE_PROBABILITIES.copy()
    frequencies[:rare] = 0
    one = modes.Frequencies("unet", 1.0, 4, 64, frequencies, rare, np.full(5, 0.5))
    figure = Figure(layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    for axes in panels:
        modes._draw_modes(axes, one, looks([("unet", 1.0)])["unet", 1.0])
    figure.draw_without_rendering()
    assert min(axes.get_position().width for axes in panels) > 0.3
