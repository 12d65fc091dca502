"""The results of `make demo`: all files are there, and samples have a lower GED than one mask."""

import csv
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.demo

RESULTS = Path(os.environ.get("PROBUNET_DEMO", Path(__file__).parents[2])) / "results"
DATASETS = ["lidc", "cityscapes"]
TABLES = ["scores.csv", "summary.csv", "comparison.csv"]
FIGURES = [f"figures/{dataset}/ged.{kind}" for dataset in DATASETS for kind in ("svg", "pdf")]


@pytest.mark.parametrize("name", ["report.html", *TABLES, *FIGURES])
def test_file_is_there(name):
    file = RESULTS / name
    assert file.is_file(), f"{file} is missing: run `make demo`."
    assert file.stat().st_size > 0


@pytest.mark.parametrize("dataset", DATASETS)
def test_ged_is_lower_than_that_of_one_mask_in_every_fold(dataset):
    with (RESULTS / "scores.csv").open() as file:
        scores = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    scores = [row for row in scores if row["n"] == "16"]
    runs = [row for row in scores if row["model"] == "probabilistic_unet"]
    assert runs
    for run in runs:
        ged = {
            row["model"]: float(row["ged"])
            for row in scores
            if row["fold"] == run["fold"] and row["beta"] in ("", run["beta"])
        }
        # always the same mask: nothing, that of a U-Net, or a model's deterministic guess
        single = {model for model in ged if model in ("empty", "unet")}
        single |= {model for model in ged if model.startswith("deterministic")}
        assert {"empty", "deterministic"} <= single
        lowest = min(ged[model] for model in single)
        assert ged["probabilistic_unet"] < lowest, f"fold {run['fold']}: {ged}"
