"""Frequencies, from rows of scores written by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet.flips import MODE_PROBABILITIES, PROBABILITIES
from probunet.report.modes import calibration
from probunet.report.runs import RunFolder
from probunet.run import Run
from support.report.vega import layers

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
def test_each_mode_is_a_dot_or_stands_at_the_lower_edge(rare: int) -> None:
    frequencies = MODE_PROBABILITIES.copy()
    frequencies[:rare] = 0
    found = calibration([folder([image(frequencies)])], [PAIR])
    assert found is not None
    of = layers(found.modes_chart)
    drawn = {row["probability"]: row["frequency"] for row in of["modes-0-drawn"]}
    assert drawn == dict(zip(MODE_PROBABILITIES[rare:], frequencies[rare:], strict=True))
    assert ("modes-0-rare" in of) == (rare > 0)
    if rare:
        assert len(of["modes-0-rare"]) == rare
    assert found.modes_chart.svg().startswith("<svg")


def test_the_range_of_an_exact_model_narrows_with_its_samples() -> None:
    widths = []
    for images in (1, 100):
        found = calibration([folder([image(MODE_PROBABILITIES)] * images)], [PAIR])
        assert found is not None
        last = layers(found.modes_chart)["modes-0-range"][-1]
        p = last["frequency"]
        assert last["high"] - p == pytest.approx(1.96 * np.sqrt(p * (1 - p) / (16 * images)))
        widths.append(last["high"] - last["low"])
    assert widths[1] == pytest.approx(widths[0] / 10)


def test_the_switches_of_the_chart_are_those_of_the_table() -> None:
    rows = [image(ONE_MODE, first_pixels=[90, 10, 1, 0, 0], second_pixels=[10, 10, 3, 5, 0])]
    found = calibration([folder(rows)], [PAIR])
    assert found is not None
    of = layers(found.switches_chart)
    assert [row["share"] for row in of["flips"]] == list(PROBABILITIES)
    shares = [row["share"] for row in of["switches"]]
    assert [f"{share:.3f}" for share in shares] == cells(found.switches)[:4]  # the fifth is a dash
    assert found.switches_chart.svg().startswith("<svg")
