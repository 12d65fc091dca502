from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.errors import ProbunetError
from probunet.metrics.bits import GRADERS, pack, unpack
from probunet.metrics.calibration import expected_calibration_error, reliability
from probunet.metrics.ncc import ncc
from probunet.metrics.votes import votes
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import open_samples, write_samples
from support.crops import write_crops
from support.damage import flip
from support.masks import ged_of, iou
from support.samples import sample_attributes

RUN = Run("lidc", "probabilistic_unet", 0.5, 1, 3)
ROWS = [1, 2, 5, 8]
N = (1, 4, 8)
CROP = 128
MARGIN = (SIZE - CROP) // 2


def discs(random: np.random.Generator, n: int) -> NDArray[np.bool_]:
    """Discs (n, 180, 180), one in five of them empty."""
    y, x = np.ogrid[:SIZE, :SIZE]
    centre = random.normal(90, 6, (2, n, 1, 1))
    radius = random.uniform(5, 70, (n, 1, 1)) * (random.random((n, 1, 1)) < 0.8)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """A store of 10 crops of 5 patients with random discs as masks."""
    random = np.random.default_rng(0)
    graders = [discs(random, 10).astype(np.uint8) << g for g in range(GRADERS)]
    masks = np.bitwise_or.reduce(graders)
    patients = [f"LIDC-IDRI-{i // 2:04}" for i in range(10)]
    path = tmp_path_factory.mktemp("crops") / "lidc.zarr"
    return write_crops(path, np.zeros(masks.shape, np.int16), masks, patients)


@pytest.fixture(scope="module")
def sampled(crops, tmp_path_factory):
    """A function that writes a store of random samples for a run."""

    def write(
        run: Run,
        rows: list[int],
        samples: int = 8,
        digest: str | None = None,
        reconstruction: NDArray[np.bool_] | None = None,
        population: int | None = 0,
    ) -> Path:
        random = np.random.default_rng(run.fold + 100 * run.seed + int(1000 * run.beta))
        path = tmp_path_factory.mktemp("results") / run.folder / "samples.zarr"
        path.parent.mkdir(parents=True)
        centre = slice(MARGIN, MARGIN + CROP)
        drawn = np.stack([discs(random, samples + 1)[:, centre, centre] for _ in rows])
        arrays = {
            "rows": np.array(rows),
            "samples": pack(drawn[:, 1:]),
            "deterministic": pack(drawn[:, 0]),
            "prior_mean": np.zeros((len(rows), 6), np.float32),
            "prior_log_sigma": np.zeros((len(rows), 6), np.float32),
        }
        if reconstruction is not None:
            arrays["reconstruction"] = pack(reconstruction)
        of_store = digest or open_crops(crops).digest
        about = sample_attributes(
            run, size=(CROP, CROP), samples=samples, store=of_store, population=population
        )
        write_samples(path, about, arrays)
        return path

    return write


@pytest.fixture(scope="module")
def samples(sampled):
    return sampled(RUN, ROWS)


@pytest.fixture(scope="module")
def scores(samples, crops):
    output = samples.with_name("scores.parquet")
    score_run(samples, crops, output, N)
    return pd.read_parquet(output)


def test_one_row_per_image_predictor_and_n(scores):
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


def graders_of(crops: Path) -> NDArray[np.bool_]:
    """Return the graders' masks of `ROWS` in the central crop, (images, graders, H, W)."""
    masks = np.asarray(open_crops(crops).masks.oindex[ROWS, slice(26, -26), slice(26, -26)])
    return np.stack([masks >> g & 1 for g in range(GRADERS)], axis=1).astype(bool)


@pytest.mark.parametrize("n", N)
def test_model_is_scored_on_its_first_n_samples_in_the_central_crop(scores, samples, crops, n):
    drawn = unpack(np.asarray(open_samples(samples).samples[:, :n]), CROP, CROP)
    model, empty = (
        scores[(scores["predictor"] == predictor) & (scores["n"] == n)].set_index("row")
        for predictor in ("model", "empty")
    )
    for row, masks, graders in zip(ROWS, drawn, graders_of(crops), strict=True):
        assert model.loc[row, "ged"] == pytest.approx(ged_of(masks, graders), abs=1e-12)
        of_nothing = ged_of(np.zeros_like(masks[:1]), graders)
        assert empty.loc[row, "ged"] == pytest.approx(of_nothing, abs=1e-12)
        counted = votes(pack(masks[None]), pack(graders[None]), CROP**2)
        assert model.loc[row, "ncc"] == pytest.approx(ncc(counted)[0], nan_ok=True)
        bins = reliability(counted)
        assert model.loc[row, "ece"] == expected_calibration_error(bins)[0]
        for name in ("pixels", "predicted", "marked"):
            np.testing.assert_array_equal(model.loc[row, f"bin_{name}"], getattr(bins, name)[0])


@pytest.mark.parametrize("predictor", ["deterministic", "empty", "graders"])
def test_degenerate_predictors_do_not_depend_on_n(scores, predictor):
    chosen = scores[scores["predictor"] == predictor]
    values = ["ged", "hm_iou", "diversity", "max_dice", "ece"]
    assert (chosen.groupby("row")[values].nunique() == 1).all(axis=None)
    assert (chosen.groupby("row")["ncc"].nunique() <= 1).all()
    assert chosen.loc[chosen["n"] == 1, "ged_unbiased"].isna().all()
    assert chosen.loc[chosen["n"] > 1, "ged_unbiased"].notna().all()
    np.testing.assert_array_equal(chosen["ged_limit"], chosen["ged"])


def test_the_limit_of_independent_samples_leaves_self_pairs_out(scores):
    model = scores[scores["predictor"] == "model"]
    np.testing.assert_array_equal(model["ged_limit"], model["ged_unbiased"])


def test_the_limit_of_four_heads_is_exact_from_four_samples(sampled, crops):
    table = scored(sampled(RUN, ROWS, population=4), crops)
    at = table[table["predictor"] == "model"].set_index("n")
    np.testing.assert_array_equal(at.loc[4, "ged_limit"], at.loc[4, "ged"])
    np.testing.assert_array_equal(at.loc[8, "ged_limit"], at.loc[4, "ged"])
    assert at.loc[1, "ged_limit"].isna().all()


def test_samples_of_an_older_version_have_no_limit_and_this_is_told(sampled, crops, caplog):
    caplog.set_level("INFO")
    table = scored(sampled(RUN, ROWS, population=None), crops)
    model = table["predictor"] == "model"
    assert table.loc[model, ["ged_limit", "ncc_softmax"]].isna().all(axis=None)
    assert table.loc[~model, "ged_limit"].notna().all()
    told = "samples of an older version: ged_limit, ncc_softmax, entropies of the softmax are blank"
    assert f"samples.zarr: {told}" in caplog.text


def scored(samples: Path, crops: Path) -> pd.DataFrame:
    output = samples.with_name("scores.parquet")
    score_run(samples, crops, output, N)
    return pd.read_parquet(output)


def test_graders_as_samples_are_perfect(scores):
    chosen = scores[scores["predictor"] == "graders"]
    np.testing.assert_allclose(chosen["ged"], 0, atol=1e-12)
    np.testing.assert_allclose(chosen["hm_iou"], 1)
    np.testing.assert_allclose(chosen["max_dice"], 1)
    np.testing.assert_allclose(chosen["ece"], 0, atol=1e-12)


def test_one_mask_has_no_ncc(scores):
    single = scores["predictor"].isin(["deterministic", "empty"])
    alone = single | ((scores["predictor"] == "model") & (scores["n"] == 1))
    assert scores.loc[alone, "ncc"].isna().all()
    assert scores.loc[~alone, "ncc"].notna().all()


def test_reconstructions_are_the_model_s_and_set_against_their_own_grader(sampled, crops, scores):
    graders = graders_of(crops)
    rebuilt = graders.copy()
    rebuilt[:, 0] = graders[:, 1]
    rebuilt[1] = False
    samples = sampled(RUN, ROWS, reconstruction=rebuilt)
    score_run(samples, crops, samples.with_name("scores.parquet"), N)
    table = pd.read_parquet(samples.with_name("scores.parquet"))
    for image, row in enumerate(ROWS):
        chosen = table[(table["predictor"] == "model") & (table["row"] == row)]
        ious = [iou(a, b) for a, b in zip(rebuilt[image], graders[image], strict=True)]
        assert chosen["reconstruction_iou"].tolist() == [pytest.approx(np.mean(ious))] * len(N)
    assert table.loc[table["predictor"] != "model", "reconstruction_iou"].isna().all()
    assert scores["reconstruction_iou"].isna().all(), "a model without a posterior"


def test_blocks_of_images_leave_no_trace(samples, crops, scores, tmp_path, monkeypatch):
    monkeypatch.setattr("probunet.truth.graders.scoring.SHARD", 3)
    score_run(samples, crops, tmp_path / "scores.parquet", N)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), scores)


def test_samples_of_another_store_are_refused(sampled, crops, tmp_path):
    other = sampled(RUN, ROWS, digest="of another store")
    with pytest.raises(ProbunetError, match=r"another version of .*probunet sample"):
        score_run(other, crops, tmp_path / "scores.parquet", N)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [(1, 9), (0,), ()])
def test_n_must_be_within_what_is_stored(samples, crops, tmp_path, n):
    with pytest.raises(ProbunetError, match="contains 8 samples"):
        score_run(samples, crops, tmp_path / "scores.parquet", n)
    assert list(tmp_path.iterdir()) == []


def test_samples_and_scores_in_another_run_s_folder_are_refused(sampled, crops):
    samples = sampled(RUN, ROWS)
    root = samples.parents[len(Path(RUN.folder).parts)]
    other = root / replace(RUN, fold=2).folder
    other.mkdir(parents=True)
    with pytest.raises(ProbunetError, match=r"scores\.parquet: belongs to .*/fold-1/.*fold-2"):
        score_run(samples, crops, other / "scores.parquet", N)
    samples.rename(other / "samples.zarr")
    with pytest.raises(ProbunetError, match=r"samples\.zarr: belongs to .*/fold-1/.*fold-2"):
        score_run(other / "samples.zarr", crops, root / "scores.parquet", N)
    assert not (root / "scores.parquet").exists()


@pytest.mark.parametrize("name", ["samples/c/0/0/0", "deterministic/c/0/0", "rows/c/0"])
def test_a_flipped_bit_in_the_samples_is_refused(sampled, crops, name):
    samples = sampled(RUN, ROWS)
    flip(samples / name)
    with pytest.raises(ProbunetError, match=rf"samples\.zarr: {name} was changed after it"):
        score_run(samples, crops, samples.with_name("scores.parquet"), N)
    assert not samples.with_name("scores.parquet").exists()


def test_samples_that_do_not_fit_the_images_are_refused(sampled, crops):
    samples = sampled(RUN, [1, 2, 5, 80])
    with pytest.raises(ProbunetError, match="its samples do not fit the images of"):
        score_run(samples, crops, samples.with_name("scores.parquet"), N)
