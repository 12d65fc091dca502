"""Brier score and NLL, pixel by pixel and grader by grader."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.proper import CLIP, brier, nll
from support.masks import sample_and_grader_masks
from support.seen import seen_of


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=40)
def test_losses_are_means_over_pixels_and_graders(masks):
    votes = seen_of(*masks).votes
    scores, likelihoods = brier(votes), nll(votes)
    for image, (samples, graders) in enumerate(zip(*masks, strict=True)):
        squares, logarithms = [], []
        for row, column in np.ndindex(samples.shape[1:]):
            p = samples[:, row, column].mean()
            for marked in graders[:, row, column]:
                squares.append((p - marked) ** 2)
                clipped = min(max(p, CLIP), 1 - CLIP)
                logarithms.append(-math.log(clipped if marked else 1 - clipped))
        assert scores[image] == pytest.approx(np.mean(squares), abs=1e-12)
        assert likelihoods[image] == pytest.approx(np.mean(logarithms), abs=1e-12)


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=40)
def test_no_samples_score_better_than_the_graders_themselves(masks):
    ours, theirs = seen_of(*masks).votes, seen_of(masks[1], masks[1]).votes
    for score in (brier, nll):
        assert (score(theirs) <= score(ours) + 1e-12).all()
