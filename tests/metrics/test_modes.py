"""Distances between samples and modes against modes drawn as images, pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.flips import FIRST, IGNORE, MODE_PROBABILITIES, MODES, SECOND, flip
from probunet.metrics.distances import Distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.modes import mode_distances
from probunet.metrics.reconstruction import scene_reconstruction_iou
from probunet.metrics.threads import PART
from support.label_maps import OTHER, distance, sample_and_label_maps


@given(sample_and_label_maps(most_samples=4))
@settings(deadline=None, max_examples=25)
def test_distances_are_those_of_all_pairs_of_maps(maps):
    samples, labels = maps
    found = mode_distances(samples, labels)
    for image, (drawn, label) in enumerate(zip(samples, labels, strict=True)):
        if not np.isin(label, FIRST).any():
            for pairs in (found.samples, found.between, found.graders):
                assert np.isnan(pairs[image]).all()
            continue
        modes = [flip(label, mode) for mode in MODES]
        for pairs, left, right in (
            (found.samples, drawn, drawn),
            (found.between, drawn, modes),
            (found.graders, modes, modes),
        ):
            expected = [[distance(a, b, label) for b in right] for a in left]
            np.testing.assert_allclose(pairs[image], expected, atol=1e-12)


@given(sample_and_label_maps(most_samples=4), st.data())
@settings(deadline=None, max_examples=30)
def test_ged_weighs_modes_by_their_probabilities(maps, data):
    samples, labels = maps
    n = data.draw(st.integers(1, samples.shape[1]))
    off = data.draw(st.sampled_from([1, 1 + 1e-9, 0.5]))  # sums of 1 up to rounding, and others
    found = energy_distance(mode_distances(samples, labels), n, MODE_PROBABILITIES * off)
    for image, (drawn, label) in enumerate(zip(samples, labels, strict=True)):
        if not np.isin(label, FIRST).any():
            assert np.isnan(
                [found.ged[image], found.ged_unbiased[image], found.diversity[image]]
            ).all()
            continue
        modes = [flip(label, mode) for mode in MODES]
        weighted = list(zip(modes, MODE_PROBABILITIES, strict=True))
        between = sum(p * distance(s, y, label) for s in drawn[:n] for y, p in weighted) / n
        within = np.mean([distance(a, b, label) for a in drawn[:n] for b in drawn[:n]])
        exact = sum(p * q * distance(a, b, label) for a, p in weighted for b, q in weighted)
        assert found.ged[image] == pytest.approx(2 * between - within - exact, abs=1e-12)
        assert found.diversity[image] == pytest.approx(within, abs=1e-12)


def test_an_image_without_the_classes_is_left_out_and_no_other():
    label = np.full((3, 4, 6), OTHER[0], np.uint8)
    label[1] = IGNORE
    label[2, 0] = FIRST[0]
    samples = np.full((3, 2, 4, 6), FIRST[1], np.uint8)
    pairs = mode_distances(samples, label)
    for scores in (
        energy_distance(pairs, 2, MODE_PROBABILITIES).ged,
        matched_iou(pairs, 2, MODE_PROBABILITIES),
        matched_iou(pairs, 2),
    ):
        assert np.isnan(scores).tolist() == [True, True, False]


def test_one_class_only_has_two_modes_told_apart():
    """Of road alone, samples that split by its probability have the least GED that two can have."""
    label = np.full((1, 3, 5), FIRST[4], np.uint8)
    samples = np.stack((label, np.full_like(label, SECOND[4])), axis=1)
    p = 4 / 17
    pairs = mode_distances(samples, label)
    found = energy_distance(pairs, 1, MODE_PROBABILITIES)
    assert found.ged[0] == pytest.approx(2 * p - 2 * p * (1 - p))
    assert energy_distance(pairs, 2, MODE_PROBABILITIES).ged[0] == pytest.approx(
        2 * 0.5 - 0.5 - 2 * p * (1 - p)
    )
    assert matched_iou(pairs, 2, MODE_PROBABILITIES)[0] == pytest.approx(0.5 + p)


def test_what_samples_show_on_ignored_pixels_does_not_count():
    random = np.random.default_rng(0)
    label = random.choice([*FIRST, IGNORE], (1, 8, 8)).astype(np.uint8)
    samples = np.stack([flip(label, mode) for mode in MODES[:3]], axis=1)
    noise = random.choice([*FIRST, *SECOND], samples.shape).astype(np.uint8)
    noisy = np.where(label[:, None] == IGNORE, noise, samples)
    found = mode_distances(noisy, label)
    np.testing.assert_allclose(found.between[0], found.graders[0, :3], atol=1e-12)
    np.testing.assert_allclose(found.samples[0], found.graders[0, :3, :3], atol=1e-12)


def test_modes_that_coincide_are_equally_far_to_the_last_bit():
    random = np.random.default_rng(0)
    label = random.choice([*FIRST[:2], *FIRST[3:]], (1, 9, 9)).astype(np.uint8)  # no car
    samples = random.choice([*FIRST, *SECOND], (1, 5, 9, 9)).astype(np.uint8)
    between = mode_distances(samples, label).between
    np.testing.assert_array_equal(between[..., ~MODES[:, 2]], between[..., MODES[:, 2]])


@given(sample_and_label_maps(most_samples=1))
@settings(deadline=None, max_examples=40)
def test_reconstruction_is_held_against_what_was_shown(maps):
    samples, labels = maps
    shown = flip(labels, MODES[5])
    found = scene_reconstruction_iou(samples[:, 0], shown, labels)
    for image, label in enumerate(labels):
        if np.isin(label, FIRST).any():
            expected = 1 - distance(samples[image, 0], shown[image], label)
            assert found[image] == pytest.approx(expected)
        else:
            assert np.isnan(found[image])


def test_threads_do_not_change_a_distance():
    random = np.random.default_rng(0)
    labels = random.choice([*FIRST, OTHER[0]], (2 * PART + 1, 5, 7)).astype(np.uint8)
    samples = random.choice([*FIRST, *SECOND], (len(labels), 3, 5, 7)).astype(np.uint8)
    together = mode_distances(samples, labels)
    alone = [mode_distances(samples[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    for name in ("samples", "between", "graders"):
        one_by_one = np.concatenate([getattr(pairs, name) for pairs in alone])
        np.testing.assert_array_equal(getattr(together, name), one_by_one)


def test_samples_and_labels_must_agree():
    with pytest.raises(ValueError, match="do not agree"):
        mode_distances(np.zeros((2, 1, 4, 4), np.uint8), np.zeros((2, 4, 5), np.uint8))


def test_no_image_has_no_distance():
    found = mode_distances(np.zeros((0, 2, 4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8))
    assert isinstance(found, Distances)
    assert found.between.shape == (0, 2, len(MODES))
