"""Samples with weights: the page says which model has them, and the explorer counts by them."""

import shutil
from typing import Any

import numpy as np
import pytest

from probunet.store import open_samples, write_samples
from support.report.build import report
from support.report.page import documents, prose, section


def give_weights(study: Any) -> dict[tuple[str, int], Any]:
    """Give the samples of all runs weights; return those of each image, by run and row."""
    random, given = np.random.default_rng(0), {}
    for folder in study.runs:
        path = folder / "samples.zarr"
        stored = open_samples(path)
        weights = random.uniform(0.1, 2, stored.samples.shape[:2]).astype(np.float32)
        names = ("rows", "samples", "deterministic", "prior_mean", "prior_log_sigma")
        arrays = {name: np.asarray(getattr(stored, name)[:]) for name in names}
        shutil.rmtree(path)
        write_samples(path, stored.attributes, arrays | {"sample_weights": weights})
        given |= {(str(folder), int(row)): w for row, w in zip(stored.rows, weights, strict=True)}
    return given


def test_the_page_says_whose_samples_have_weights(study: Any) -> None:
    said = "Samples of Probabilistic U-Net have weights, by which scores count them"
    assert said not in prose(report(study))
    give_weights(study)
    assert said in section(prose(report(study)), "overview")


def test_the_explorer_has_the_weights_of_the_samples_it_shows(study: Any) -> None:
    usual = documents(report(study))["lidc"]["images"]
    assert not any("weights" in run for item in usual for run in item["runs"].values())
    given = list(give_weights(study).items())
    for item in documents(report(study))["lidc"]["images"]:
        for run in item["runs"].values():
            assert len(run["weights"]) == run["count"]
            assert np.mean(run["weights"]) == pytest.approx(1, abs=1e-3)
            own = [w[: run["count"]] for (_, row), w in given if row == item["row"]]
            assert any(np.allclose(run["weights"], w / w.mean(), atol=1e-3) for w in own)
