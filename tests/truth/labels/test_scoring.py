"""Scores of label maps of one's own, against versions written out pair by pair."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probunet.datasets.folder.store import LabelledImages, open_images, open_labelled
from probunet.flips import IGNORE
from probunet.metrics.bits import bits_of, pack
from probunet.metrics.reported import SCORES
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import open_samples, write_samples
from probunet.truth.graders.scoring import score_masks
from probunet.truth.labels.scoring import score_labels
from support.class_scores import class_dice, class_ece, class_ged, class_hm_iou, class_iou
from support.label_images import random_maps, write_labelled
from support.own_images import write_store
from support.samples import sample_attributes

SIZE = (6, 10)
RUN = Run("eyes", "probabilistic_unet", 1.0, 0, 0)


def write_random(folder: Path, images: LabelledImages, rows: list[int], n: int, seed: int) -> Path:
    """Write random samples and reconstructions."""
    random, classes = np.random.default_rng(seed), images.classes

    def maps(*shape: int):
        drawn = random_maps(random, shape, SIZE, classes)
        return pack(drawn.astype(bool)) if classes == 2 else drawn

    path = folder / RUN.folder / "samples.zarr"
    path.parent.mkdir(parents=True)
    arrays = {
        "rows": np.array(rows),
        "samples": maps(len(rows), n),
        "deterministic": maps(len(rows)),
        "reconstruction": maps(len(rows), len(images.graders)),
        "ncc": random.uniform(-1, 1, (len(rows), n, len(images.graders))),
    }
    about = sample_attributes(RUN, classes=classes, size=SIZE, samples=n, store=images.digest)
    write_samples(path, about, arrays)
    return path


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    looked=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    n=st.integers(1, 4),
    classes=st.integers(3, 5),
    absent=st.sampled_from(["equal", "left_out"]),
    seed=st.integers(0, 2**20),
)
def test_scores_are_those_of_the_definitions(tmp_path_factory, looked, n, classes, absent, seed):
    folder = tmp_path_factory.mktemp("scores")
    names = ("background", "disc", "cup", "vein", "spot")[:classes]
    store = write_labelled(folder / "eyes.zarr", looked, SIZE, names, absent, 0.3, seed)
    images, scored = open_labelled(store), list(range(1, classes))
    rows = list(range(len(looked)))
    drawn = open_samples(write_random(folder, images, rows, n, seed))
    table = pd.concat(score_labels(drawn, images, sorted({1, n})))
    model = table[(table["predictor"] == "model") & (table["n"] == n)].set_index("row")
    for row in rows:
        samples = np.asarray(drawn.samples[row])
        truth = np.moveaxis(np.asarray(images.labels[row]), -1, 0)[bits_of(looked[row])]
        of_row = model.loc[row]
        for name, value in class_ged(samples, truth, scored, absent).items():
            assert of_row[name] == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert of_row["max_dice"] == pytest.approx(class_dice(samples, truth, scored, absent))
        assert of_row["hm_iou"] == pytest.approx(class_hm_iou(samples, truth, scored, absent))
        assert of_row["ece"] == pytest.approx(class_ece(samples, truth, scored), abs=1e-12)
        by_class = []
        scored_pixels = ~(truth == IGNORE).any(axis=0)
        for k in scored:
            alone = class_ged(samples, truth, [k], "equal")["ged"]
            by_class.append(alone)
            there = ((truth == k) & scored_pixels).any()
            wanted = alone if there or absent == "equal" else math.nan
            name = names[k]
            assert of_row[f"ged:{name}"] == pytest.approx(wanted, abs=1e-12, nan_ok=True)
            shared = class_iou(samples, truth, k) if there or absent == "equal" else math.nan
            assert of_row[f"iou:{name}"] == pytest.approx(shared, abs=1e-12, nan_ok=True)
            assert of_row[f"ece:{name}"] == pytest.approx(class_ece(samples, truth, [k]), abs=1e-12)
        if absent == "equal":
            assert of_row["ged"] == pytest.approx(np.mean(by_class), abs=1e-12)
    graders = table[table["predictor"] == "graders"]
    np.testing.assert_allclose(graders["ged"], 0, atol=1e-12)
    np.testing.assert_allclose(graders["max_dice"], 1, atol=1e-12)


def test_two_classes_have_the_scores_of_binary_masks(tmp_path):
    given = [0b101, 0b111, 0b010, 0b011]
    binary = open_images(write_store(tmp_path / "mine.zarr", given, SIZE))
    names = ("background", "disc")
    labelled = open_labelled(write_labelled(tmp_path / "eyes.zarr", given, SIZE, names))
    bits = np.asarray(binary.masks[:])
    maps = np.stack([bits >> g & 1 for g in range(3)], axis=-1)
    drawn = open_samples(write_random(tmp_path, labelled, [0, 1, 2, 3], 5, 0))
    same = LabelledImages(**{**vars(labelled), "labels": maps})
    columns = [
        *("predictor", "n", "row", "ged", "ged_unbiased", "hm_iou", "diversity", "max_dice"),
        *("ece", "ged_limit", "reconstruction_iou", "ncc_softmax"),
        *(score.name for score in SCORES),
    ]
    found, expected = (
        pd.concat(tables)[columns].sort_values(columns[:3]).reset_index(drop=True)
        for tables in (score_labels(drawn, same, [1, 5]), score_masks(drawn, binary, [1, 5]))
    )
    pd.testing.assert_frame_equal(found, expected, atol=1e-12, rtol=0)


def test_an_image_without_a_scored_pixel_has_no_score(tmp_path):
    store = write_labelled(tmp_path / "eyes.zarr", [7, 7, 7], SIZE, ignored=0.0)
    images = open_labelled(store)
    maps = np.asarray(images.labels[:])
    maps[1, :3, :, 0] = maps[1, 3:, :, 2] = IGNORE
    none = LabelledImages(**{**vars(images), "labels": maps})
    assert none.scorable(np.arange(3)).tolist() == [0, 2]
    drawn = open_samples(write_random(tmp_path, images, [0, 1, 2], 3, 0))
    table = pd.concat(score_labels(drawn, none, [1, 3]))
    missing = table.groupby("row")["ged"].apply(lambda ged: ged.isna().all())
    assert missing.tolist() == [False, True, False]


def test_a_run_is_scored_from_its_stores(tmp_path):
    store = write_labelled(tmp_path / "eyes.zarr", [7, 3, 5], SIZE, absent="left_out")
    images = open_labelled(store)
    samples = write_random(tmp_path, images, [0, 1, 2], 4, 0)
    score_run(samples, store, samples.with_name("scores.parquet"), (1, 4))
    table = pd.read_parquet(samples.with_name("scores.parquet"))
    assert {"ged:disc", "iou:cup", "ece:cup", "bin_pixels:disc"} <= set(table)
    assert not {"ged:background"} & set(table)
