import numpy as np
import pandas as pd
import pytest

from probunet.report.choice import scored, spread


def fold(number: int, images: int, subjects: int) -> pd.DataFrame:
    rows = np.arange(images) + 1000 * number
    return pd.DataFrame(
        {
            "row": rows,
            "ged": np.random.default_rng(number).permutation(images) / images,
            "subject": [f"P{number}-{row % subjects}" for row in rows],
        }
    )


def test_images_are_spread_over_folds_subjects_and_ged() -> None:
    folds = {k: fold(k, 40, 20) for k in (0, 1)}
    chosen = spread(folds, 10)
    assert len(set(chosen)) == 10
    assert [k for k, _ in chosen].count(0) == 5
    found = pd.concat([folds[k][folds[k]["row"] == row] for k, row in chosen])
    assert found["subject"].is_unique
    np.testing.assert_allclose(np.sort(found["ged"]), np.arange(0.05, 1, 0.1), atol=0.1)


@pytest.mark.parametrize("count", [30, 31, 500])
def test_all_images_are_shown_once_where_so_many_are_wanted(count: int) -> None:
    folds = {0: fold(0, 7, 3), 1: fold(1, 23, 30)}
    chosen = spread(folds, count)
    assert chosen == [(k, row) for k, table in folds.items() for row in sorted(table["row"])]


def test_subjects_are_shown_once_before_any_is_shown_twice() -> None:
    folds = {0: fold(0, 60, 12)}
    subject = folds[0].set_index("row")["subject"]
    assert subject[[row for _, row in spread(folds, 12)]].is_unique
    assert subject[[row for _, row in spread(folds, 24)]].nunique() == 12


def test_no_fold_no_images() -> None:
    assert spread({}, 12) == []
    assert spread({0: fold(0, 0, 1)}, 12) == []
    assert spread({0: fold(0, 5, 1)}, 0) == []


def test_only_the_model_s_scores_at_the_greatest_n_count() -> None:
    table = pd.DataFrame(
        [
            ("model", 16, 1, 0.5),
            ("model", 16, 2, np.nan),
            ("model", 1, 1, 0.9),
            ("graders", 16, 1, 0.0),
        ],
        columns=["predictor", "n", "row", "ged"],
    )
    assert scored(table)[["row", "ged"]].to_numpy().tolist() == [[1, 0.5]]
