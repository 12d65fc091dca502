"""Dice of the samples' mean, against counts of single pixels in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.mean_dice import grader_dice, mean_dice, soft_dice
from support.masks import Masks, sample_and_grader_masks
from support.seen import dice_of, seen_of


def above(masks: Masks, threshold: Fraction) -> Masks:
    """Return which pixels more than a share of masks (m, H, W) mark."""
    found: Masks = np.vectorize(lambda k: Fraction(int(k), len(masks)) > threshold, otypes=[bool])(
        masks.sum(axis=0)
    )
    return found


@given(sample_and_grader_masks(most_samples=10))
@settings(deadline=None, max_examples=40)
def test_the_mean_is_compared_with_each_grader_and_with_their_mean(masks):
    seen = seen_of(*masks)
    by_grader, mean, soft = grader_dice(seen), mean_dice(seen), soft_dice(seen)
    for image, (samples, graders) in enumerate(zip(*masks, strict=True)):
        most = above(samples, Fraction(1, 2))
        expected = [dice_of(most, grader) for grader in graders]
        np.testing.assert_allclose(by_grader[image], expected, atol=1e-12)
        assert mean[image] == pytest.approx(np.mean(expected))
        pairs = [
            (above(samples, Fraction(t, 10)), above(graders, Fraction(t, 10)))
            for t in (1, 3, 5, 7, 9)
        ]
        assert soft[image] == pytest.approx(np.mean([dice_of(a, b) for a, b in pairs]))


def test_the_graders_themselves_have_a_soft_dice_of_1():
    graders = np.random.default_rng(0).random((2, 4, 6, 6)) < 0.3
    np.testing.assert_array_equal(soft_dice(seen_of(graders, graders)), 1)


def test_half_of_the_samples_are_not_most():
    samples = np.array([1, 0], bool)[None, :, None, None]
    assert mean_dice(seen_of(samples, samples[:, 1:])).tolist() == [1]
    assert mean_dice(seen_of(samples, samples[:, :1])).tolist() == [0]
