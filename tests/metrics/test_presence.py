"""Whether anything is marked: shares of samples against answers of graders."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.calibration import BINS
from probunet.metrics.presence import presence_brier, presence_reliability
from support.masks import sample_and_grader_masks
from support.seen import seen_of


@given(sample_and_grader_masks(most_samples=12))
@settings(deadline=None, max_examples=60)
def test_each_grader_of_an_image_is_an_answer(masks):
    seen = seen_of(*masks)
    bins, score = presence_reliability(seen), presence_brier(seen)
    for image, (samples, graders) in enumerate(zip(*masks, strict=True)):
        p = Fraction(sum(bool(one.any()) for one in samples), len(samples))
        answers = [bool(one.any()) for one in graders]
        expected = np.zeros((3, BINS))
        expected[:, min(int(p * BINS), BINS - 1)] = len(answers), len(answers) * p, sum(answers)
        found = [bins.pixels[image], bins.predicted[image], bins.marked[image]]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        squares = [(float(p) - answer) ** 2 for answer in answers]
        assert score[image] == pytest.approx(np.mean(squares), abs=1e-12)
