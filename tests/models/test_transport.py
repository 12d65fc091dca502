"""The transport of MoSE's loss: against its code's rule one pair after the other, and the best."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from probunet.models.transport import Limit, transport


def one_by_one(costs: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """The masses (G, N) of one image: graders and samples in turn, each pair on its own."""
    graders = len(costs)
    masses = np.zeros_like(costs)
    for i in np.argsort(costs.min(axis=1), kind="stable"):
        left = 1 / graders
        for j in np.argsort(costs[i], kind="stable"):
            masses[i, j] = max(0, min(left, limit - masses[:, j].sum()))
            left -= masses[i, j]
    return masses


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 3),
    graders=st.integers(1, 5),
    samples=st.integers(1, 6),
    limit=st.sampled_from([1 / 6, 0.25, 0.4, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**20),
)
def test_the_masses_are_those_of_the_rule_pair_by_pair(images, graders, samples, limit, seed):
    random = np.random.default_rng(seed)
    costs = random.choice([random.random(), *random.random(9)], (images, graders, samples))
    there = random.random((images, graders)) < 0.7
    found = transport(
        torch.from_numpy(costs), torch.from_numpy(there), torch.tensor(limit, dtype=torch.float64)
    ).numpy()
    for image in range(images):
        assert not found[image][~there[image]].any()
        expected = one_by_one(costs[image][there[image]], limit)
        np.testing.assert_allclose(found[image][there[image]], expected, atol=1e-6)
        assert (found[image].sum(axis=0) <= limit + 1e-6).all()
        if there[image].any() and samples * limit >= 1:
            assert found[image].sum() == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(graders=st.integers(1, 5), samples=st.integers(1, 6), seed=st.integers(0, 2**20))
def test_without_a_limit_it_is_the_best_transport(graders, samples, seed):
    costs = np.random.default_rng(seed).random((1, graders, samples))
    found = transport(
        torch.from_numpy(costs), torch.ones(1, graders, dtype=torch.bool), torch.tensor(1.0)
    ).numpy()
    leaves = np.kron(np.eye(graders), np.ones(samples))
    best = linprog(costs.ravel(), A_eq=leaves, b_eq=np.full(graders, 1 / graders))
    assert (found * costs).sum() == pytest.approx(best.fun, abs=1e-6)


def test_the_limit_is_one_once_the_loss_stands_still():
    limit = Limit(0.5, patience=5, decay=0.0)
    seen = []
    for loss in [3.0, 2.0, 1.0, 1.5, 1.2, 1.0, 1.0, 1.0, 0.1, 5.0]:
        limit.see(torch.tensor(loss))
        seen.append(limit.value.item())
    assert seen == [0.5] * 7 + [1.0] * 3  # five steps after the third, and from then on


def test_a_loss_that_falls_leaves_the_limit():
    limit = Limit(0.5, patience=3)
    for loss in np.linspace(2, 1, 30):
        limit.see(torch.tensor(loss))
    assert limit.value.item() == 0.5
