"""Sample diversity against grader diversity, from rows of scores written by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet.report.diversity import MOST_POINTS, diversity
from probunet.report.runs import RunFolder
from probunet.run import Run
from support.report.vega import layers

PAIR = ("m_heads", 1.0)


def folder(fold: int, samples: Any, graders: Any, model: str = PAIR[0]) -> RunFolder:
    table = pd.DataFrame({"diversity": samples, "grader_diversity": graders}).assign(n=4)
    return RunFolder(Run("lidc", model, 1.0, fold, 0), [], None, table, ())


def test_images_of_all_folds_are_drawn_and_summed_up() -> None:
    runs = [folder(0, [0.3, 0.6], [0.4, 0.8]), folder(1, [0.0, np.nan], [0.0, 0.2])]
    found = diversity(runs, [PAIR, ("unet", 1.0)])
    assert found is not None
    of = layers(found.chart)
    assert of["diversity-0"] == [
        {"graders": 0.4, "samples": 0.3},
        {"graders": 0.8, "samples": 0.6},
        {"graders": 0.0, "samples": 0.0},
    ]
    assert [row["samples"] for row in of["diversity-0-exact"]] == [0, 0.75]
    [row] = found.table.rows
    assert [cell.text for cell in row.cells] == ["3", "0.300", "0.300", "1.000"]
    assert "all test images" in found.chart.caption


def test_a_model_whose_samples_are_equal_has_no_correlation() -> None:
    found = diversity([folder(0, [0.0, 0.0], [0.4, 0.8])], [PAIR])
    assert found is not None
    assert found.table.rows[0].cells[-1].text == "\N{EN DASH}"


def test_many_images_are_thinned_out_and_this_is_told() -> None:
    values = np.linspace(0, 0.9, 5_000)
    found = diversity([folder(0, values, values)], [PAIR])
    assert found is not None
    drawn = layers(found.chart)["diversity-0"]
    assert len(drawn) == MOST_POINTS
    assert (drawn[0]["samples"], drawn[-1]["samples"]) == (0, pytest.approx(0.9))
    assert f"{MOST_POINTS} of 5000 test images" in found.chart.caption
    assert found.table.rows[0].cells[0].text == "5000"


def test_without_scores_there_is_none() -> None:
    assert diversity([], [PAIR]) is None
    assert diversity([RunFolder(Run("lidc", *PAIR, 0, 0), [], None, None, ())], [PAIR]) is None
    old = pd.DataFrame({"n": [4], "ged": [0.5]})
    assert diversity([RunFolder(Run("lidc", *PAIR, 0, 0), [], None, old, ())], [PAIR]) is None
