"""The page that adds a model: done as it says, trained for a few steps, sampled and scored."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ..report.conftest import PATIENTS, make_study
from .changed import changed, probunet, python

PAGE = "docs/how-to/add-a-model.md"
SETTINGS = {
    "architecture": {"channels": [4, 8], "convolutions": 1, "initialisation": "he"},
    "training": {
        "steps": 4,
        "batch": 2,
        "crop": 32,
        "learning_rates": [1e-3],
        "validation_every": 2,
        "validation_images": 2,
        "validation_samples": 2,
    },
    "evaluation": {"samples": 4, "n": [1, 4], "crop": 64},
}


@pytest.mark.slow
def test_the_page_s_model_holds_what_every_model_does(tmp_path: Path) -> None:
    folder = changed(PAGE, tmp_path)
    options = ["-q", "-p", "no:cacheprovider", "-k", "level_unet or registry"]
    told = python(folder, "-m", "pytest", *options, "tests/models/test_every_model.py")
    assert " passed" in told


@pytest.mark.slow
def test_the_page_s_model_is_trained_sampled_and_scored(tmp_path: Path) -> None:
    folder = changed(PAGE, tmp_path / "changed")
    (tmp_path / "study").mkdir()
    study = make_study(tmp_path / "study")
    patients = [f"LIDC-IDRI-{number + 1:04}" for number in range(PATIENTS)]
    fold = {"train": patients[:4], "validation": patients[4:6], "test": patients[6:]}
    folds = tmp_path / "folds.json"
    folds.write_text(json.dumps({"dataset": "lidc", "folds": [fold]}))
    run = study.folder / "lidc/level_unet/beta-1/fold-0/seed-0"
    common = ("--store", study.store, "--folds", folds, "--settings", json.dumps(SETTINGS))
    probunet(folder, "train", *common, "--output", run, "--checkpoint", run / "checkpoint")
    probunet(
        folder, "sample", *common, "--weights", run / "weights.pt", "--output", run / "samples.zarr"
    )
    probunet(
        folder, "score", "run", "--samples", run / "samples.zarr", "--store", study.store,
        "--output", run / "scores.parquet", "--n", "1", "--n", "4",
    )  # fmt: skip
    scores = pd.read_parquet(run / "scores.parquet")
    assert set(scores["model"]) == {"level_unet"}
    assert scores.query("predictor == 'model'")["ged"].notna().all()
