"""Scores of a run on Cityscapes against the 32 modes drawn as images."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet.datasets.cityscapes.store import open_scenes
from probunet.errors import ProbunetError
from probunet.flips import (
    FIRST,
    IGNORE,
    MODE_PROBABILITIES,
    MODES,
    SECOND,
    draw_flips,
    drawn_label,
    flip,
)
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables
from probunet.store import open_samples, write_sample_parts
from support.label_maps import TEN, Maps, distance
from support.samples import sample_attributes
from support.streets import write_scenes

SIZE = (8, 12)
SAMPLES = 8
N = (1, 4, 8)
ROWS = [1, 3, 4, 6]
BARE = 4  # the row of a scene with none of the classes
RUN = Run("cityscapes", "probabilistic_unet", 1.0, 0, 3)
OTHER = 2  # building


def labels() -> Maps:
    random = np.random.default_rng(0)
    drawn = random.choice([*FIRST, OTHER, IGNORE], (7, *SIZE)).astype(np.uint8)
    drawn[BARE] = OTHER
    drawn[6][drawn[6] == FIRST[2]] = OTHER
    return drawn


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A sealed store of 7 scenes of 2 cities; row `BARE` has none of the classes."""
    path, drawn = tmp_path_factory.mktemp("scenes") / "cityscapes.zarr", labels()
    nothing = np.zeros((*drawn.shape, 3), np.uint8)
    cities = ["ulm", *["lindau"] * 3, *["munster"] * 3]
    return write_scenes(path, nothing, drawn, cities, frames=[0, 1, 2, 3, 1, 2, 3])


@pytest.fixture(scope="module")
def sampled(scenes, tmp_path_factory):
    """A function that writes a store of noisy samples for a run."""

    def write(run: Run, rows: list[int], rebuilt: Maps | None = None, part: int = 2) -> Path:
        random = np.random.default_rng(run.seed)
        path = tmp_path_factory.mktemp("results") / run.folder / "samples.zarr"
        path.parent.mkdir(parents=True)
        flipped = flip(
            labels()[rows][:, None].repeat(SAMPLES + 1, axis=1),
            draw_flips(random, len(rows) * (SAMPLES + 1)).reshape(len(rows), SAMPLES + 1, 5),
        )
        noise = random.choice([*TEN, OTHER], flipped.shape)
        drawn = np.where((random.random(flipped.shape) < 0.2) | (flipped == IGNORE), noise, flipped)
        drawn = drawn.astype(np.uint8)
        arrays: dict[Any, Maps] = {"samples": drawn[:, 1:], "deterministic": drawn[:, 0]}
        if rebuilt is not None:
            arrays["reconstruction"] = rebuilt[:, None]
        digest = open_scenes(scenes).digest
        about = sample_attributes(run, size=SIZE, samples=SAMPLES, store=digest, classes=24)
        parts = [
            {name: array[i : i + part] for name, array in arrays.items()}
            for i in range(0, len(rows), part)
        ]
        write_sample_parts(path, about, np.array(rows), parts)
        return path

    return write


@pytest.fixture(scope="module")
def samples(sampled):
    return sampled(RUN, ROWS)


@pytest.fixture(scope="module")
def scores(samples, scenes):
    output = samples.with_name("scores.parquet")
    score_run(samples, scenes, output, N)
    return pd.read_parquet(output)


def brute_force_ged(drawn: Maps, label: Maps) -> float:
    modes = [flip(label, mode) for mode in MODES]
    p = MODE_PROBABILITIES
    between = np.mean([[distance(s, y, label) for y in modes] @ p for s in drawn])
    within = np.mean([[distance(s, t, label) for t in drawn] for s in drawn])
    exact = p @ np.array([[distance(a, b, label) for b in modes] for a in modes]) @ p
    return float(2 * between - within - exact)


def of(scores: pd.DataFrame, predictor: str, n: int) -> pd.DataFrame:
    chosen = scores[(scores["predictor"] == predictor) & (scores["n"] == n)]
    return chosen.set_index("row")


def test_one_row_per_image_predictor_and_n(scores):
    assert len(scores) == len(ROWS) * 4 * len(N)
    assert not scores.duplicated(["predictor", "n", "row"]).any()
    assert of(scores, "model", 1)["subject"].tolist() == [
        "lindau_000001_000019",
        "lindau_000003_000019",
        "munster_000001_000019",
        "munster_000003_000019",
    ]
    assert of(scores, "model", 1)["city"].tolist() == ["lindau"] * 2 + ["munster"] * 2
    assert (scores["dataset"] == "cityscapes").all()


@pytest.mark.parametrize("n", N)
def test_predictors_are_scored_against_all_modes(scores, samples, n):
    drawn = open_samples(samples)
    for image, row in enumerate(ROWS):
        if row == BARE:
            continue
        label = labels()[row]
        for predictor, maps in (
            ("model", np.asarray(drawn.samples[image, :n])),
            ("deterministic", np.asarray(drawn.deterministic[image])[None]),
            ("empty", np.full((1, *SIZE), OTHER, np.uint8)),
        ):
            expected = brute_force_ged(maps, label)
            assert of(scores, predictor, n).loc[row, "ged"] == pytest.approx(expected)


def test_the_modes_themselves_are_perfect(scores):
    chosen = scores[(scores["predictor"] == "graders") & (scores["row"] != BARE)]
    assert (chosen["ged"] == 0).all()
    assert (chosen["hm_iou"] == 1).all()
    assert (chosen["ece"] == 0).all()
    assert chosen.loc[chosen["n"] == 1, "ged_unbiased"].isna().all()
    assert (chosen.loc[chosen["n"] > 1, "ged_unbiased"] == 0).all()


@pytest.mark.parametrize("predictor", ["deterministic", "empty", "graders"])
def test_degenerate_predictors_do_not_depend_on_n(scores, predictor):
    chosen = scores[(scores["predictor"] == predictor) & (scores["row"] != BARE)]
    values = ["ged", "hm_iou", "diversity", "ece"]
    assert (chosen.groupby("row")[values].nunique() == 1).all(axis=None)
    assert chosen.loc[chosen["n"] == 1, "ged_unbiased"].isna().all()
    assert chosen.loc[chosen["n"] > 1, "ged_unbiased"].notna().all()


def test_an_image_without_the_classes_has_no_score(scores):
    bare = scores["row"] == BARE
    values = ["ged", "ged_unbiased", "hm_iou", "diversity", "ece"]
    assert scores.loc[bare, values].isna().all(axis=None)
    assert scores.loc[~bare, ["ged", "hm_iou", "diversity", "ece"]].notna().all(axis=None)
    assert scores[["max_dice", "ncc"]].isna().all(axis=None)
    for name in ("bin_pixels", "bin_predicted", "bin_marked"):
        assert not np.stack(scores.loc[bare, name].tolist()).any()


@pytest.mark.parametrize("n", N)
def test_modes_and_names_that_samples_take(scores, samples, n):
    drawn = open_samples(samples)
    for predictor in ("model", "deterministic"):
        chosen = of(scores, predictor, n)
        for image, row in enumerate(ROWS):
            label = labels()[row]
            maps = np.asarray(drawn.samples[image, :n])
            if predictor == "deterministic":
                maps = np.asarray(drawn.deterministic[image])[None].repeat(n, axis=0)
            assert chosen.loc[row, "present"].tolist() == [c in label for c in FIRST]
            for column, names in (("first_pixels", FIRST), ("second_pixels", SECOND)):
                assert chosen.loc[row, column].tolist() == [
                    ((maps == name) & (label == c)).sum()
                    for c, name in zip(FIRST, names, strict=True)
                ]
            if row == BARE:
                assert np.isnan(chosen.loc[row, "mode_share"]).all()
                continue
            expected = np.zeros(len(MODES))
            for one in maps:
                far = np.array([distance(one, flip(label, mode), label) for mode in MODES])
                nearest = far < far.min() + 1e-9
                expected += nearest * MODE_PROBABILITIES / MODE_PROBABILITIES[nearest].sum() / n
            np.testing.assert_allclose(chosen.loc[row, "mode_share"], expected, atol=1e-12)
    others = scores["predictor"].isin(["empty", "graders"])
    taken = ["mode_share", "first_pixels", "second_pixels", "present"]
    assert scores.loc[others, taken].isna().all(axis=None)


def test_reconstructions_are_held_against_the_flipped_label(sampled, scenes, scores):
    shown = np.stack([drawn_label(labels()[row], RUN.seed, row) for row in ROWS])
    rebuilt = shown.copy()
    rebuilt[:, :3] = FIRST[0]
    rebuilt[1] = shown[1]
    samples = sampled(RUN, ROWS, rebuilt)
    score_run(samples, scenes, samples.with_name("scores.parquet"), N)
    table = pd.read_parquet(samples.with_name("scores.parquet"))
    for n in N:
        found = of(table, "model", n)["reconstruction_iou"]
        for image, row in enumerate(ROWS):
            if row == BARE:
                assert np.isnan(found[row])
            else:
                expected = 1 - distance(rebuilt[image], shown[image], labels()[row])
                assert found[row] == pytest.approx(expected)
        assert found[ROWS[1]] == 1
    assert table.loc[table["predictor"] != "model", "reconstruction_iou"].isna().all()
    assert scores["reconstruction_iou"].isna().all(), "a model without a posterior"


def test_parts_of_images_leave_no_trace(sampled, scenes, scores, tmp_path):
    score_run(sampled(RUN, ROWS, part=3), scenes, tmp_path / "scores.parquet", N)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), scores)


def test_tables_leave_out_what_has_no_score(samples, scenes, scores, tmp_path):
    tables = [tmp_path / f"{name}.csv" for name in ("scores", "summary", "comparison")]
    write_tables([samples.with_name("scores.parquet")], *tables, bootstrap=50)
    table, summary, comparison = (pd.read_csv(path) for path in tables)
    assert set(table["model"]) == {"probabilistic_unet", "deterministic", "empty", "graders"}
    for each in (table, summary):
        assert (each["images"] == len(ROWS) - 1).all()
        assert (each["subjects"] == len(ROWS) - 1).all()
        assert each[["max_dice", "ncc", "reconstruction_iou"]].isna().all(axis=None)
        at_4 = each[(each["model"] == "probabilistic_unet") & (each["n"] == 4)]
        assert at_4["ged"].item() == pytest.approx(of(scores, "model", 4)["ged"].mean(), abs=1e-6)
    assert summary["ged_sd"].isna().all(), "one fold"
    assert (summary["ged_low"] <= summary["ged"]).all()
    assert (comparison["subjects"] == len(ROWS) - 1).all()


def test_images_without_a_score_are_logged(samples, scenes, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="probunet"):
        score_run(samples, scenes, tmp_path / "scores.parquet", (1,))
    assert "1 of 4 images have no score" in caplog.text


def test_nothing_to_score_is_an_error(sampled, scenes, tmp_path):
    with pytest.raises(ProbunetError, match=r"none of the 1 test images.*choose other"):
        score_run(sampled(RUN, [BARE]), scenes, tmp_path / "scores.parquet", (1,))
    assert list(tmp_path.iterdir()) == []
