import numpy as np
import pandas as pd
import pytest

from probunet.report.choice import choose
from probunet.report.runs import RunFolder
from probunet.run import Run
from probunet.store import Samples


def folder(fold: int, seed: int, images: int, patients: int) -> RunFolder:
    rows = np.arange(images)
    table = pd.DataFrame(
        {
            "predictor": "model",
            "n": 16,
            "row": rows,
            "patient": [f"P{fold}-{row % patients}" for row in rows],
            "ged": np.random.default_rng(fold).permutation(images) / images,
        }
    )
    others = table.assign(n=1, ged=-1.0)
    samples = Samples.__new__(Samples)  # chosen by its presence alone
    scores = pd.concat([others, table], ignore_index=True)
    return RunFolder(Run("lidc", "probabilistic_unet", 1, fold, seed), [], samples, scores, ())


def test_examples_are_spread_over_folds_patients_and_ged() -> None:
    runs = [folder(fold, seed, 40, 20) for seed in (1, 0) for fold in (0, 1)]
    chosen = choose(runs, "probabilistic_unet", 1, 10, "patient")
    assert len(chosen) == 10
    assert [run.run.fold for run, _ in chosen].count(0) == 5
    assert {run.run.seed for run, _ in chosen} == {0}
    assert len({row["patient"] for _, row in chosen}) == 10
    ged = [row["ged"] for _, row in chosen]
    assert ged == sorted(ged)
    np.testing.assert_allclose(ged, np.arange(0.05, 1, 0.1), atol=0.1)


@pytest.mark.parametrize("images", [1, 3])
def test_few_images_are_shown_once(images: int) -> None:
    chosen = choose([folder(0, 0, images, 1)], "probabilistic_unet", 1, 12, "patient")
    assert sorted(row["row"] for _, row in chosen) == list(range(images))


def test_no_run_no_examples() -> None:
    assert choose([], "probabilistic_unet", 1, 12, "patient") == []
