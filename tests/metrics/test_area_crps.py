"""CRPS of the area, against the integral of the squared difference of two distributions."""

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.area_crps import area_crps
from support.masks import sample_and_grader_masks
from support.seen import seen_of


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=60)
def test_it_is_the_integral_over_all_areas(masks):
    found = area_crps(seen_of(*masks))
    for image, (samples, graders) in enumerate(zip(*masks, strict=True)):
        areas = samples.sum(axis=(1, 2))
        steps = np.arange(samples[0].size)  # areas are whole numbers: unit steps are exact
        below = (areas[:, None] <= steps).mean(axis=0)
        crps = [((below - (grader.sum() <= steps)) ** 2).sum() for grader in graders]
        assert found[image] == pytest.approx(np.mean(crps), abs=1e-9)


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=40)
def test_no_areas_score_better_than_the_graders_own(masks):
    ours, theirs = seen_of(*masks), seen_of(masks[1], masks[1])
    assert (area_crps(theirs) <= area_crps(ours) + 1e-9).all()
