"""Scores of label maps against versions written out class by class and pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.flips import IGNORE
from probunet.metrics.bits import pack
from probunet.metrics.classes import (
    class_dice,
    class_distances,
    class_reconstruction_iou,
    ignored_pixels,
    mean_distances,
    packed_classes,
)
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance
from support.class_scores import class_dice as slow_dice
from support.class_scores import class_distance, class_ged
from support.label_images import random_maps

ABSENT = st.sampled_from(["equal", "left_out"])


def drawn(seed: int, n: int, graders: int, classes: int, size: tuple[int, int]):
    """Return random maps of two images, and their packed classes; the first is background."""
    random = np.random.default_rng(seed)
    samples = random_maps(random, (2, n), size, classes)
    truth = random_maps(random, (2, graders), size, classes, random.choice([0, 0.3]))
    scored, ignored = list(range(1, classes)), ignored_pixels(truth)
    packed = [packed_classes(maps, ignored, scored) for maps in (samples, truth)]
    return samples, truth, *packed, scored


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(1, 5),
    graders=st.integers(1, 4),
    classes=st.integers(2, 6),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    absent=ABSENT,
)
def test_scores_of_classes_are_those_of_all_pairs(seed, n, graders, classes, size, absent):
    samples, truth, masks, of_graders, scored = drawn(seed, n, graders, classes, size)
    by_class = class_distances(masks, of_graders)
    pairs = mean_distances(by_class, masks, of_graders, absent)
    found = energy_distance(pairs, n)
    dice = class_dice(by_class, masks, of_graders, absent).max(axis=1).mean(axis=1)
    for image, (some, others) in enumerate(zip(samples, truth, strict=True)):
        for name, value in class_ged(some, others, scored, absent).items():
            assert getattr(found, name)[image] == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert dice[image] == pytest.approx(slow_dice(some, others, scored, absent), abs=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**20), graders=st.integers(1, 4), absent=ABSENT)
def test_reconstructions_are_compared_with_their_own_grader(seed, graders, absent):
    rebuilt, truth, masks, of_graders, scored = drawn(seed, graders, graders, 4, (5, 6))
    found = class_reconstruction_iou(masks, of_graders, absent)
    for image, (some, others) in enumerate(zip(rebuilt, truth, strict=True)):
        whole = ~(others == IGNORE).any(axis=0)
        apart = [
            class_distance(a, b, whole, scored, absent) for a, b in zip(some, others, strict=True)
        ]
        assert found[image] == pytest.approx(1 - np.mean(apart), abs=1e-12)


def test_one_scored_class_has_the_distances_of_binary_masks():
    random = np.random.default_rng(0)
    samples = random.integers(0, 2, (3, 4, 7, 5)).astype(np.uint8)
    truth = random.integers(0, 2, (3, 2, 7, 5)).astype(np.uint8)
    truth[0] = 0
    binary = distances(pack(samples.astype(bool)), pack(truth.astype(bool)))
    packed = [packed_classes(one, ignored_pixels(truth), [1]) for one in (samples, truth)]
    for absent in ("equal", "left_out"):
        found = mean_distances(class_distances(*packed), *packed, absent)
        for name, values in vars(binary).items():
            np.testing.assert_array_equal(getattr(found, name), values)


def test_an_absent_class_is_equal_or_left_out():
    a, b = np.zeros((2, 1, 1, 2, 2), np.uint8)
    a[..., 0, :], b[..., 0, 0] = 1, 1  # class 1: IoU 1/2; nobody has class 2
    packed = [packed_classes(one, ignored_pixels(b), [1, 2]) for one in (a, b)]
    by_class = class_distances(*packed)
    assert mean_distances(by_class, *packed, "equal").between.item() == 0.25
    assert mean_distances(by_class, *packed, "left_out").between.item() == 0.5
