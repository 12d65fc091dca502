"""The columns of single classes in the tables of scores, beside data sets that have none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probunet.datasets.folder.store import open_images, open_labelled
from probunet.metrics.calibration import Reliability, expected_calibration_error
from probunet.score.table import write_tables
from probunet.scores import read_scores
from support.label_images import write_label_run, write_labelled
from support.own_images import write_store
from support.report.runs import write_run

GIVEN = [7, 5, 3, 1, 6, 7]


@pytest.fixture
def tables(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The scores of a run with classes, `scores.csv` and `summary.csv`."""
    eyes = open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, absent="left_out"))
    mine = open_images(write_store(tmp_path / "mine.zarr", GIVEN))
    runs = [write_label_run(tmp_path, eyes), write_run(tmp_path, mine)]
    names = [tmp_path / f"{name}.csv" for name in ("scores", "summary", "comparison")]
    write_tables([run / "scores.parquet" for run in runs], *names, bootstrap=20)
    images = read_scores(runs[0] / "scores.parquet")
    return images, *(pd.read_csv(name) for name in names[:2])


def test_the_tables_have_the_mean_of_each_class(tables) -> None:
    images, scores, summary = tables
    of_model = images[(images["predictor"] == "model") & (images["n"] == 4)]
    for table in (scores, summary):
        eyes = table[(table["dataset"] == "eyes") & (table["model"] == "probabilistic_unet")]
        row = eyes[eyes["n"] == 4].iloc[0]
        for name in ("ged:disc", "iou:disc", "ged:cup", "iou:cup"):
            assert row[name] == pytest.approx(of_model[name].mean(), abs=1e-6)
        for name in ("disc", "cup"):
            bins = [
                np.sum(of_model[f"bin_{part}:{name}"].tolist(), axis=0)
                for part in ("pixels", "predicted", "marked")
            ]
            pooled = expected_calibration_error(Reliability(*bins))
            assert row[f"ece:{name}"] == pytest.approx(float(pooled), abs=1e-6)


def test_other_data_sets_have_no_scores_of_classes(tables) -> None:
    _, scores, summary = tables
    for table in (scores, summary):
        mine = table[table["dataset"] == "mine"]
        classes = [name for name in mine if name.startswith(("ged:", "iou:", "ece:"))]
        assert mine[classes].isna().all(axis=None)
        assert mine["ece"].notna().all()
