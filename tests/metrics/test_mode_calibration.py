from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.flips import FIRST, FLIPS, IGNORE, MODES, SECOND, flip
from probunet.metrics.calibration import BINS, expected_calibration_error
from probunet.metrics.mode_calibration import (
    exact_reliability,
    exact_votes,
    mode_reliability,
    mode_votes,
)
from support.label_maps import OTHER, sample_and_label_maps

NAMES = [
    *[(name, first, 1 - p) for name, first, p in zip(FIRST, FIRST, FLIPS.values(), strict=True)],
    *[(name, first, p) for name, first, p in zip(SECOND, FIRST, FLIPS.values(), strict=True)],
]


def bin_of(p: Fraction) -> int:
    return min(int(p * BINS), BINS - 1)


@given(sample_and_label_maps(most_samples=12))
@settings(deadline=None, max_examples=40)
def test_bins_are_those_of_every_pixel_and_class(maps):
    samples, labels = maps
    n = samples.shape[1]
    found = mode_reliability(mode_votes(samples, labels))
    ece = expected_calibration_error(found)
    for image, label in enumerate(labels):
        pixels, predicted, marked = ([Fraction(0)] * BINS for _ in range(3))
        for row, column in np.ndindex(label.shape):
            if label[row, column] == IGNORE or not np.isin(label, FIRST).any():
                continue
            for name, first, probability in NAMES:
                p = Fraction(int((samples[image, :, row, column] == name).sum()), n)
                pixels[bin_of(p)] += 1
                predicted[bin_of(p)] += p
                marked[bin_of(p)] += probability * int(label[row, column] == first)
        assert found.pixels[image].tolist() == pixels
        np.testing.assert_allclose(found.predicted[image], np.array(predicted, float))
        np.testing.assert_allclose(found.marked[image], np.array(marked, float), atol=1e-12)
        if sum(pixels):
            gap = sum(abs(p - m) for p, m in zip(predicted, marked, strict=True))
            assert ece[image] == pytest.approx(float(gap / sum(pixels)))
        else:
            assert np.isnan(ece[image])


@given(sample_and_label_maps(most_samples=1))
@settings(deadline=None, max_examples=40)
def test_modes_predict_themselves(maps):
    _, labels = maps
    found = exact_reliability(labels)
    by_class = exact_votes(labels)
    for votes, (_, _, probability) in zip(by_class, NAMES, strict=True):
        np.testing.assert_allclose(votes.share, [0, float(probability)])
        np.testing.assert_allclose(votes.marked[..., 0], votes.pixels * votes.share)
    for image, label in enumerate(labels):
        pixels, marked = [0] * BINS, [Fraction(0)] * BINS
        if np.isin(label, FIRST).any():
            for _, first, probability in NAMES:
                of_class = int((label == first).sum())
                pixels[bin_of(probability)] += of_class
                pixels[0] += int((label != IGNORE).sum()) - of_class
                marked[bin_of(probability)] += probability * of_class
        assert found.pixels[image].tolist() == pixels
        np.testing.assert_allclose(found.marked[image], np.array(marked, float))
        np.testing.assert_array_equal(found.marked[image], found.predicted[image])
        assert sum(int(votes.pixels[image].sum()) for votes in by_class) == sum(pixels)
        total = sum(float(votes.marked[image].sum()) for votes in by_class)
        assert total == pytest.approx(float(sum(marked)))


def test_one_sure_mode_is_off_by_how_unlikely_it_is():
    label = np.full((1, 4, 4), FIRST[0], np.uint8)  # sidewalk
    samples = flip(label, MODES[0])[:, None]
    # sidewalk is said with 1 and true of 9/17; sidewalk 2 with 0 and 8/17; eight classes agree
    ece = expected_calibration_error(mode_reliability(mode_votes(samples, label)))
    assert ece[0] == pytest.approx((8 / 17 + 8 / 17) / 10)


def test_more_samples_than_a_byte_can_count():
    label = np.array([[[FIRST[2], OTHER[0], IGNORE]]], np.uint8)
    samples = np.full((1, 300, 1, 3), FIRST[2], np.uint8)
    found = mode_reliability(mode_votes(samples, label))
    assert found.pixels[0].tolist() == [18, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.predicted[0, -1] == 2
