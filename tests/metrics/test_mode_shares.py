"""Modes and names that samples take, against a search mode by mode and pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.flips import FIRST, MODE_PROBABILITIES, MODES, SECOND, draw_flips, flip
from probunet.metrics.mode_shares import mode_shares, named_pixels
from probunet.metrics.modes import distances_of, mode_distances
from probunet.metrics.overlaps import overlaps
from support.label_maps import distance, sample_and_label_maps


@given(sample_and_label_maps(most_samples=3), st.data())
@settings(deadline=None, max_examples=40)
def test_a_sample_is_of_its_nearest_modes(maps, data):
    samples, labels = maps
    n = data.draw(st.integers(1, samples.shape[1]))
    shared = overlaps(samples, labels)
    shares = mode_shares(distances_of(shared), n)
    for image, (drawn, label) in enumerate(zip(samples, labels, strict=True)):
        if not np.isin(label, FIRST).any():
            assert np.isnan(shares[image]).all()
            continue
        expected = np.zeros(len(MODES))
        for one in drawn[:n]:
            far = np.array([distance(one, flip(label, mode), label) for mode in MODES])
            nearest = np.flatnonzero(far < far.min() + 1e-9)
            likely = MODE_PROBABILITIES[nearest]
            expected[nearest] += likely / likely.sum() / n
        np.testing.assert_allclose(shares[image], expected, atol=1e-12)


@given(sample_and_label_maps(), st.data())
@settings(deadline=None, max_examples=40)
def test_pixels_are_counted_by_class_and_name(maps, data):
    samples, labels = maps
    n = data.draw(st.integers(1, samples.shape[1]))
    shared = overlaps(samples, labels)
    for found, names in zip(named_pixels(shared, n), (FIRST, SECOND), strict=True):
        for image, label in enumerate(labels):
            drawn = samples[image, :n]
            expected = [
                sum(int((one[label == first] == name).sum()) for one in drawn)
                for first, name in zip(FIRST, names, strict=True)
            ]
            assert found[image].tolist() == expected
    assert shared.present.tolist() == [[first in label for first in FIRST] for label in labels]


def test_samples_by_the_flips_themselves_take_each_mode_as_often_as_it_is_likely():
    random = np.random.default_rng(0)
    label = random.choice(FIRST[[0, 1, 2, 4]], (1, 6, 6))  # no vegetation: modes coincide in pairs
    samples = flip(label[:, None].repeat(400, axis=1), draw_flips(random, 400)[None])
    found = mode_shares(mode_distances(samples, label), 400)[0]
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, MODE_PROBABILITIES, atol=0.04)
