"""Entropies of softmaxes, written out sample by sample and pixel by pixel."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.flips import IGNORE
from probunet.sample.entropy import SoftmaxEntropy, joined_entropy


def entropy(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities if p > 0)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 4),
    classes=st.integers(2, 4),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_entropies_are_means_over_the_scored_pixels(n, classes, scale, weighted, seed):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, scale, (n, 2, classes, 3, 4)))
    masks = torch.from_numpy(random.integers(classes, size=(2, 2, 3, 4)))
    masks[0, 1, :2] = IGNORE
    weights = torch.from_numpy(random.random((n, 2)) + 0.1)
    seeing = SoftmaxEntropy(masks)
    for one, weight in zip(logits, weights, strict=True):
        seeing.see(one, weight if weighted else None)
    found = seeing.result()
    assert found is not None
    softmax = logits.softmax(dim=2).numpy()
    for image in range(2):
        scored = [(r, c) for r in range(3) for c in range(4) if image == 1 or r == 2]
        for k in range(1, n + 1):
            w = weights[:k, image].numpy() if weighted else np.ones(k)
            w = w / w.sum()
            whole, within = [], []
            for r, c in scored:
                of = softmax[:k, image, :, r, c]
                whole.append(entropy((w @ of).tolist()))
                within.append(float(w @ [entropy(one.tolist()) for one in of]))
            assert found[0][image, k - 1] == pytest.approx(np.mean(whole), abs=1e-5)
            assert found[1][image, k - 1] == pytest.approx(np.mean(within), abs=1e-5)


def test_a_model_without_logits_has_no_entropies():
    assert SoftmaxEntropy(torch.zeros(1, 4, 2, 2, dtype=torch.int64)).result() is None


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 11), min_size=1, max_size=4, unique=True),
    weighted=st.booleans(),
    ignored=st.integers(0, 12),
    seed=st.integers(0, 2**20),
)
def test_entropies_of_parts_of_an_image_are_those_of_the_image(cuts, weighted, ignored, seed):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, 2, (3, 1, 3, 12, 6)))
    masks = torch.zeros(1, 2, 12, 6, dtype=torch.int64)
    masks[0, 0, :ignored] = IGNORE
    weights = torch.from_numpy(random.random((3, 1))) + 0.1

    def seen(rows: slice, scale: float = 1) -> SoftmaxEntropy:
        part = SoftmaxEntropy(masks[:, :, rows])
        for one, weight in zip(logits, weights, strict=True):
            part.see(one[:, :, rows], scale * weight if weighted else None)
        return part

    edges = pairwise([0, *sorted(cuts), 12])
    found = joined_entropy([seen(slice(*ends), 1 + random.random()) for ends in edges])
    np.testing.assert_allclose(found, seen(slice(12)).result(), rtol=1e-6)


def test_parts_without_logits_have_no_entropies():
    assert joined_entropy([SoftmaxEntropy(torch.zeros(1, 4, 2, 2, dtype=torch.int64))] * 2) is None
