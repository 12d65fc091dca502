"""What networks are trained and validated on: one grader's label map, and all of them."""

import numpy as np
import pytest
import torch

from probunet.datasets.folder.store import open_labelled
from probunet.flips import IGNORE
from probunet.metrics.bits import bits_of
from support.class_scores import class_ged
from support.label_images import random_maps, write_labelled
from support.settings import tiny_settings

GIVEN = [0b001, 0b110, 0b111, 0b100, 0b011, 0b101]
SIZE = (16, 24)
CPU = torch.device("cpu")
STILL = {"rotation": 0, "shear": 0, "scale": 0, "elastic": 0}


@pytest.fixture
def images(tmp_path):
    return open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE))


def settings_with(**augmentation):
    settings = tiny_settings()
    changed = settings.augmentation.model_copy(update=augmentation)
    return settings.model_copy(update={"augmentation": changed})


def test_each_batch_has_the_map_of_one_who_looked(images):
    rows = np.arange(len(GIVEN))
    batches = images.batches(rows, settings_with(**STILL), CPU)
    maps = np.moveaxis(np.asarray(images.labels[:]), -1, 1)
    seen = set()
    for step in range(30):
        image, label = batches.draw(0, step)
        assert (label.dtype, label.shape[1:]) == (torch.int64, SIZE)
        for one, of in zip(image, label, strict=True):
            values = np.asarray(images.image[:])[..., 0] / 255
            row = int(np.abs(values - one[0].numpy()).max(axis=(1, 2)).argmin())
            equal = [g for g in bits_of(GIVEN[row]) if (maps[row, g] == of.numpy()).all()]
            assert equal
            seen |= {(row, g) for g in equal}
    assert {row for row, _ in seen} == set(rows)
    assert {g for row, g in seen if row == 2} == {0, 1, 2}


def test_what_lies_beyond_an_image_is_ignored(images):
    settings = settings_with(**STILL | {"scale": 0.9})
    batches = images.batches(np.arange(len(GIVEN)), settings, CPU)
    labels = torch.cat([batches.draw(0, step)[1] for step in range(20)])
    edges = torch.cat([labels[:, 0], labels[:, -1]])
    assert (edges == IGNORE).any()
    assert set(labels.unique().tolist()) <= {0, 1, 2, IGNORE}


def test_all_graders_of_an_image_are_there_once_and_missing_ones_are_ignored(images):
    rows = np.arange(len(GIVEN))
    every = images.batches(rows, settings_with(**STILL), CPU, all_graders=True)
    assert every.masks_per_image == 3
    maps = np.moveaxis(np.asarray(images.labels[:]), -1, 1)
    for step in range(10):
        image, labels = every.draw(0, step)
        for one, of in zip(image, labels.view(len(image), 3, *SIZE), strict=True):
            values = np.asarray(images.image[:])[..., 0] / 255
            row = int(np.abs(values - one[0].numpy()).max(axis=(1, 2)).argmin())
            graders = bits_of(GIVEN[row])
            assert (of[len(graders) :] == IGNORE).all()
            found = sorted(label.to(torch.uint8).numpy().tobytes() for label in of[: len(graders)])
            assert found == sorted(maps[row, grader].tobytes() for grader in graders)


def test_batches_depend_on_seed_and_step_only(images):
    batches = images.batches(np.arange(len(GIVEN)), tiny_settings(), CPU)
    first, again, other = (batches.draw(*at) for at in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("absent", ["equal", "left_out"])
def test_validation_scores_are_those_of_all_pairs(tmp_path, absent):
    store = write_labelled(tmp_path / "some.zarr", GIVEN, SIZE, absent=absent, ignored=0.2)
    images, rows = open_labelled(store), np.array([1, 2, 5])
    subset = images.subset(rows, tiny_settings(), CPU)
    samples = random_maps(np.random.default_rng(1), (4, 3), SIZE, 3)
    scores = subset.scores(subset.kept(torch.from_numpy(samples)))
    for k, row in enumerate(rows):
        truth = np.moveaxis(np.asarray(images.labels[row]), -1, 0)[bits_of(GIVEN[row])]
        expected = class_ged(samples[:, k], truth, [1, 2], absent)
        assert scores.ged[k] == pytest.approx(expected["ged"], abs=1e-12)
        assert scores.diversity[k] == pytest.approx(expected["diversity"], abs=1e-12)
