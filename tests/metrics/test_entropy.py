"""Entropy of the samples' mean, pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.entropy import entropy
from support.masks import sample_and_grader_masks
from support.seen import seen_of


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=40)
def test_it_is_the_mean_over_pixels(masks):
    found = entropy(seen_of(*masks).votes)
    for image, samples in enumerate(masks[0]):
        shares = samples.mean(axis=0).ravel().tolist()
        each = [-sum(p * math.log(p) for p in (q, 1 - q) if p > 0) for q in shares]
        assert found[image] == pytest.approx(np.mean(each), abs=1e-12)
        assert 0 <= found[image] <= math.log(2)
