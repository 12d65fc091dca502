from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from probunet import store
from probunet.errors import ProbunetError
from probunet.metrics.bits import pack, unpack
from probunet.metrics.calibration import expected_calibration_error, reliability
from probunet.metrics.ncc import ncc
from probunet.metrics.votes import votes
from probunet.run import Run
from probunet.score.run import score_run

RUN = Run("lidc", "probabilistic_unet", 0.5, 1, 3)
ROWS = [1, 2, 5, 8]
N = (1, 4, 8)


@pytest.fixture(scope="module")
def samples(sampled: Callable[..., Path]) -> Path:
    return sampled(RUN, ROWS)


@pytest.fixture(scope="module")
def scores(samples: Path, crops: Path) -> pd.DataFrame:
    output = samples.with_name("scores.parquet")
    score_run(samples, crops, output, N)
    return pd.read_parquet(output)


def test_one_row_per_image_predictor_and_n(scores: pd.DataFrame) -> None:
    assert len(scores) == len(ROWS) * 4 * len(N)
    assert not scores.duplicated(["predictor", "n", "row"]).any()
    assert set(scores["predictor"]) == {"model", "deterministic", "empty", "graders"}
    assert sorted(set(scores["n"])) == list(N)
    assert sorted(set(scores["row"])) == ROWS
    assert scores[
        ["dataset", "model", "beta", "fold", "seed"]
    ].drop_duplicates().to_numpy().tolist() == [["lidc", "probabilistic_unet", 0.5, 1, 3]]
    of_5 = scores[scores["row"] == 5]
    assert of_5["patient"].unique() == of_5["subject"].unique() == ["LIDC-IDRI-0002"]


@pytest.mark.parametrize("n", N)
def test_model_is_scored_on_its_first_n_samples_in_the_central_crop(
    scores: pd.DataFrame, samples: Path, crops: Path, n: int
) -> None:
    drawn, reference = store.open_samples(samples), store.open_crops(crops)
    chosen = scores[(scores["predictor"] == "model") & (scores["n"] == n)].set_index("row")
    for i, row in enumerate(ROWS):
        masks = unpack(np.asarray(drawn.samples[i, :n]), 128, 128)
        bits = np.asarray(reference.masks[row])[26:-26, 26:-26]
        graders = np.stack([(bits >> g & 1).astype(bool) for g in range(4)])
        expected = brute_force_ged(masks, graders)
        assert chosen.loc[row, "ged"] == pytest.approx(expected, abs=1e-12)
        counted = votes(pack(masks[None]), pack(graders[None]), 128 * 128)
        assert chosen.loc[row, "ncc"] == pytest.approx(ncc(counted)[0], nan_ok=True)
        bins = reliability(counted)
        assert chosen.loc[row, "ece"] == expected_calibration_error(bins)[0]
        for name in ("pixels", "predicted", "marked"):
            np.testing.assert_array_equal(chosen.loc[row, f"bin_{name}"], getattr(bins, name)[0])


def brute_force_ged(samples: NDArray[np.bool_], graders: NDArray[np.bool_]) -> float:
    def mean(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        return float(np.mean([distance(x, y) for x in a for y in b]))

    def distance(x: NDArray[np.bool_], y: NDArray[np.bool_]) -> float:
        return 1 - (x & y).sum() / (x | y).sum() if (x | y).any() else 0.0

    return 2 * mean(samples, graders) - mean(samples, samples) - mean(graders, graders)


@pytest.mark.parametrize("predictor", ["deterministic", "empty", "graders"])
def test_degenerate_predictors_do_not_depend_on_n(scores: pd.DataFrame, predictor: str) -> None:
    chosen = scores[scores["predictor"] == predictor]
    values = ["ged", "hm_iou", "diversity", "max_dice", "ece"]
    assert (chosen.groupby("row")[values].nunique() == 1).all(axis=None)
    assert (chosen.groupby("row")["ncc"].nunique() <= 1).all()
    assert chosen.loc[chosen["n"] == 1, "ged_unbiased"].isna().all()
    assert chosen.loc[chosen["n"] > 1, "ged_unbiased"].notna().all()


def test_graders_as_samples_are_perfect(scores: pd.DataFrame) -> None:
    chosen = scores[scores["predictor"] == "graders"]
    np.testing.assert_allclose(chosen["ged"], 0, atol=1e-12)
    np.testing.assert_allclose(chosen["hm_iou"], 1)
    np.testing.assert_allclose(chosen["max_dice"], 1)
    np.testing.assert_allclose(chosen["ece"], 0, atol=1e-12)


def test_one_mask_has_no_ncc(scores: pd.DataFrame) -> None:
    single = scores["predictor"].isin(["deterministic", "empty"])
    alone = single | ((scores["predictor"] == "model") & (scores["n"] == 1))
    assert scores.loc[alone, "ncc"].isna().all()
    assert scores.loc[~alone, "ncc"].notna().all()


def test_always_empty_has_ged_of_an_empty_mask(scores: pd.DataFrame, crops: Path) -> None:
    masks = store.open_crops(crops).masks
    chosen = scores[(scores["predictor"] == "empty") & (scores["n"] == 4)].set_index("row")
    for row in ROWS:
        bits = np.asarray(masks[row])[26:-26, 26:-26]
        graders = np.stack([(bits >> g & 1).astype(bool) for g in range(4)])
        expected = brute_force_ged(np.zeros((4, 128, 128), bool), graders)
        assert chosen.loc[row, "ged"] == pytest.approx(expected, abs=1e-12)


def test_reconstructions_are_the_model_s_and_set_against_their_own_grader(
    sampled: Callable[..., Path], crops: Path, scores: pd.DataFrame
) -> None:
    masks = np.asarray(store.open_crops(crops).masks.oindex[ROWS, slice(26, -26), slice(26, -26)])
    graders = np.stack([(masks >> g & 1).astype(bool) for g in range(4)], axis=1)
    rebuilt = graders.copy()
    rebuilt[:, 0] = graders[:, 1]
    rebuilt[1] = False
    samples = sampled(RUN, ROWS, reconstruction=rebuilt)
    score_run(samples, crops, samples.with_name("scores.parquet"), N)
    table = pd.read_parquet(samples.with_name("scores.parquet"))
    for image, row in enumerate(ROWS):
        chosen = table[(table["predictor"] == "model") & (table["row"] == row)]
        iou = [
            1 - brute_force_ged(a[None], b[None]) / 2
            for a, b in zip(rebuilt[image], graders[image], strict=True)
        ]
        assert chosen["reconstruction_iou"].tolist() == [pytest.approx(np.mean(iou))] * len(N)
    assert table.loc[table["predictor"] != "model", "reconstruction_iou"].isna().all()
    assert scores["reconstruction_iou"].isna().all(), "a model without a posterior"


def test_blocks_of_images_leave_no_trace(
    samples: Path,
    crops: Path,
    scores: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("probunet.score.masks.SHARD", 3)
    score_run(samples, crops, tmp_path / "scores.parquet", N)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), scores)


def test_samples_of_another_store_are_refused(
    sampled: Callable[..., Path], crops: Path, tmp_path: Path
) -> None:
    other = sampled(RUN, ROWS, digest="of another store")
    with pytest.raises(ProbunetError, match=r"another store.*probunet sample"):
        score_run(other, crops, tmp_path / "scores.parquet", N)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [(1, 9), (0,), ()])
def test_n_must_be_within_what_is_stored(
    samples: Path, crops: Path, tmp_path: Path, n: tuple[int, ...]
) -> None:
    with pytest.raises(ProbunetError, match="holds 8 samples"):
        score_run(samples, crops, tmp_path / "scores.parquet", n)
    assert list(tmp_path.iterdir()) == []
