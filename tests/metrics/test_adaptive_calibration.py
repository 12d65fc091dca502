"""ACE, against pixels that are written out, each as many equal parts as there are bins."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.adaptive_calibration import adaptive_calibration_error
from probunet.metrics.calibration import BINS
from support.masks import sample_and_grader_masks
from support.seen import seen_of


@given(sample_and_grader_masks(most_samples=6))
@settings(deadline=None, max_examples=40)
def test_each_bin_has_equally_many_pixels(masks):
    found = adaptive_calibration_error(seen_of(*masks).votes)
    for image, (samples, graders) in enumerate(zip(*masks, strict=True)):
        n, many = len(samples), len(graders)
        votes = samples.sum(axis=0).ravel()
        marked = graders.sum(axis=0).ravel()
        parts = []  # of each pixel, BINS: prediction and what pixels of equal prediction answer
        for k in sorted(votes.tolist()):
            of = marked[votes == k]
            answer = Fraction(int(of.sum()), len(of) * many)
            parts += [Fraction(int(k), n) - answer] * BINS
        size = len(votes)  # parts in a bin
        gaps = [abs(sum(parts[b * size : (b + 1) * size])) / size for b in range(BINS)]
        assert found[image] == pytest.approx(float(sum(gaps) / BINS), abs=1e-12)


def test_graders_are_calibrated_and_certain_errors_the_worst():
    graders = np.random.default_rng(0).random((1, 4, 5, 5)) < 0.5
    assert adaptive_calibration_error(seen_of(graders, graders).votes).item() == pytest.approx(0)
    nothing, everything = np.zeros((1, 3, 4, 4), bool), np.ones((1, 2, 4, 4), bool)
    worst = adaptive_calibration_error(seen_of(nothing, everything).votes)
    assert worst.item() == pytest.approx(1)
