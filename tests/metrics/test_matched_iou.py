"""HM-IoU of weighted modes against the dual problem, and against modes repeated by weight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from probunet.metrics.bits import pack
from probunet.metrics.distances import distances
from probunet.metrics.matched_iou import matched_iou
from support.masks import iou, sample_and_grader_masks


def dual(cost: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The greatest sum u_i / n + sum w_j v_j with u_i + v_j <= cost: what transport costs."""
    n, graders = cost.shape
    bounded = [
        [float(i == row) for row in range(n)] + [float(j == column) for column in range(graders)]
        for i in range(n)
        for j in range(graders)
    ]
    worth = np.concatenate((np.full(n, 1 / n), weights))
    bounds = [(0.0, 0.0)] + [(None, None)] * (n + graders - 1)  # u + c and v - c are the same
    solved = linprog(-worth, A_ub=np.array(bounded), b_ub=cost.ravel(), bounds=bounds)
    assert solved.fun is not None
    return -solved.fun


@given(sample_and_grader_masks(most_samples=5), st.data())
@settings(deadline=None, max_examples=60)
def test_weighted_modes_are_matched_by_optimal_transport(masks, data):
    samples, graders = masks
    images, n, g = len(samples), samples.shape[1], graders.shape[1]
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights = random.random((images, g)) * random.choice([0, 1], (images, g))
    weights[:, random.integers(g)] += 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    # sums of 1 up to rounding only
    found = matched_iou(distances(pack(samples), pack(graders)), n, weights * (1 + 1e-9))
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        cost = np.array([[1 - iou(a, b) for b in y] for a in s])
        assert found[image] == pytest.approx(1 - dual(cost, weights[image]), abs=1e-7)


@given(sample_and_grader_masks(most_samples=4, most_graders=3), st.data())
@settings(deadline=None, max_examples=60)
def test_a_mode_of_double_weight_is_a_mode_that_stands_twice(masks, data):
    samples, graders = masks
    n, g = samples.shape[1], graders.shape[1]
    times = np.array(data.draw(st.lists(st.integers(1, 3), min_size=g, max_size=g)))
    weighted = matched_iou(distances(pack(samples), pack(graders)), n, times.astype(float))
    repeated = distances(pack(samples), pack(graders.repeat(times, axis=1)))
    np.testing.assert_allclose(weighted, matched_iou(repeated, n), atol=1e-9)


@given(sample_and_grader_masks(most_samples=1))
@settings(deadline=None, max_examples=30)
def test_one_sample_is_matched_with_every_mode(masks):
    samples, graders = masks
    weights = np.arange(1.0, graders.shape[1] + 1)
    found = matched_iou(distances(pack(samples), pack(graders)), 1, weights)
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        expected = np.average([iou(s[0], mode) for mode in y], weights=weights)
        assert found[image] == pytest.approx(expected)


@pytest.mark.parametrize("weights", [[1.0, -0.1], [0.0, 0.0], [np.nan, 1.0]])
def test_weights_must_be_weights(weights):
    masks = pack(np.ones((1, 2, 4, 4), bool))
    with pytest.raises(ValueError, match="weights"):
        matched_iou(distances(masks, masks), 2, np.array(weights))
