"""The page about adding a model: apply its changes; train, sample and score the new model."""

import json
from pathlib import Path

import pandas as pd
import pytest

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
def test_the_page_s_model_passes_the_tests_of_every_model(tmp_path: Path) -> None:
    folder = changed(PAGE, tmp_path)
    options = ["-q", "-p", "no:cacheprovider", "-k", "level_unet or registry"]
    told = python(folder, "-m", "pytest", *options, "tests/models/test_every_model.py")
    assert " passed" in told


@pytest.mark.slow
def test_the_page_s_model_can_be_trained_sampled_and_scored(
    tmp_path: Path, store: Path, folds: Path
) -> None:
    folder = changed(PAGE, tmp_path / "changed")
    run = tmp_path / "discs/level_unet/beta-1/fold-0/seed-0"
    weights, samples, table = run / "weights.pt", run / "samples.zarr", run / "scores.parquet"
    common = ("--dataset", "discs", "--store", store, "--settings", json.dumps(SETTINGS))
    folded = (*common, "--folds", folds)
    probunet(folder, "train", *folded, "--output", run, "--checkpoint", run / "checkpoint")
    probunet(folder, "sample", *folded, "--weights", weights, "--output", samples)
    probunet(folder, "score", "run", *common, "--samples", samples, "--output", table)
    scores = pd.read_parquet(table)
    assert set(scores["model"]) == {"level_unet"}
    assert scores.query("predictor == 'model'")["ged"].notna().all()
