"""Paired comparison against a bootstrap written out, patient by patient."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.score import compare as module
from probunet.score.compare import COLUMNS
from probunet.seeding import numpy_generator

BOOTSTRAP = 40
PATIENTS = ["A", "A", "B", "C", "C", "C"]  # of each fold's images


def compare(images: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Compare the predictors of single images, whose subjects' sums `compare` takes."""
    by = ["dataset", "model", "beta", "fold", "n", "subject"]
    sums: Any = images.groupby(by, dropna=False)["ged"].agg(ged="sum", images="count")
    return module.compare(sums.reset_index(), bootstrap, seed)


def scores(model: str, beta: float, *, folds: int = 2, seeds: int = 1, n: int = 4) -> pd.DataFrame:
    """GED of 6 images of 3 patients a fold."""
    random = numpy_generator(0, f"{model}/{beta}/{n}")
    return pd.concat(
        pd.DataFrame(
            {
                "dataset": "lidc",
                "model": model,
                "beta": beta,
                "fold": fold,
                "n": n,
                "row": np.arange(6) + 10 * fold,
                "subject": [f"{fold}{patient}" for patient in PATIENTS],
                "ged": random.random(6),
            }
        )
        for fold in range(folds)
        for _ in range(seeds)
    )


@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 5))
@settings(deadline=None, max_examples=15)
def test_a_pair_is_what_its_patients_drawn_one_by_one_give(folds, seeds, seed):
    a, b = scores("a", 1, folds=folds, seeds=seeds), scores("b", 0.5, folds=folds)
    found = compare(pd.concat([b, a]), BOOTSTRAP, seed).to_dict("records")
    assert len(found) == 1
    row = found[0]
    assert [row["model"], row["beta"], row["other_model"], row["other_beta"]] == ["a", 1, "b", 0.5]

    differences, drawn, better = [], np.zeros(BOOTSTRAP), []
    for fold in range(folds):
        of_a, of_b = a[a["fold"] == fold], b[b["fold"] == fold]
        differences.append(of_a["ged"].mean() - of_b["ged"].mean())
        names = sorted(set(of_a["subject"]))
        generator = numpy_generator(seed, f"bootstrap/lidc/fold-{fold}")
        for i, times in enumerate(generator.multinomial(3, [1 / 3] * 3, BOOTSTRAP)):
            values: list[list[float]] = [[], []]
            for name, count in zip(names, times, strict=True):
                for side, of in zip(values, (of_a, of_b), strict=True):
                    side += list(of.loc[of["subject"] == name, "ged"]) * int(count)
            drawn[i] += (np.mean(values[0]) - np.mean(values[1])) / folds
        for name in names:
            mean = [of.loc[of["subject"] == name, "ged"].mean() for of in (of_a, of_b)]
            better.append(mean[0] < mean[1])
    assert row["difference"] == pytest.approx(np.mean(differences))
    assert [row["low"], row["high"]] == pytest.approx(list(np.percentile(drawn, [2.5, 97.5])))
    assert row["better"] == pytest.approx(np.mean(better))
    assert (row["folds"], row["subjects"]) == (folds, 3 * folds)


def test_every_pair_stands_once_models_first():
    parts = [
        scores(model, beta, n=n)
        for n in (1, 4)
        for model, beta in (
            ("graders", np.nan),
            ("deterministic", 1),
            ("unet", 1),
            ("empty", np.nan),
            ("probabilistic_unet", 10),
            ("probabilistic_unet", 1),
        )
    ]
    found = compare(pd.concat(parts), BOOTSTRAP, 0)
    assert list(found) == COLUMNS
    assert found["n"].tolist() == [1] * 15 + [4] * 15
    first = found[found["n"] == 1]
    assert first["model"].drop_duplicates().tolist() == [
        *["probabilistic_unet", "unet", "deterministic", "empty"]
    ]
    assert first["other_model"].iloc[:5].tolist() == [
        *["probabilistic_unet", "unet", "deterministic", "empty", "graders"]
    ]
    assert first[["beta", "other_beta"]].iloc[0].tolist() == [1, 10]


def test_equal_predictors_do_not_differ():
    a = scores("a", 1)
    row = compare(pd.concat([a, a.assign(model="b")]), BOOTSTRAP, 0).iloc[0]
    assert row[["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert row["better"] == 0.5


def test_pairs_are_known_better_than_either_alone():
    a = scores("a", 1)
    row = compare(pd.concat([a, a.assign(model="b", ged=a["ged"] + 0.01)]), BOOTSTRAP, 0).iloc[0]
    assert row[["difference", "low", "high"]].tolist() == pytest.approx([-0.01] * 3)
    assert row["better"] == 1


def test_only_common_folds_are_compared():
    a, b = scores("a", 1, folds=3), scores("b", 1, folds=2)
    some = compare(pd.concat([a, b]), BOOTSTRAP, 0)
    alone = compare(pd.concat([a[a["fold"] < 2], b]), BOOTSTRAP, 0)
    pd.testing.assert_frame_equal(some, alone)
    none = compare(pd.concat([a[a["fold"] == 2], b]), BOOTSTRAP, 0)
    assert list(none) == COLUMNS
    assert len(none) == 0
