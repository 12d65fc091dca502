"""NCC against the published definition, written out sample by sample and grader by grader."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from probunet.flips import IGNORE
from probunet.sample.ncc import SoftmaxNcc, joined_ncc

Array = NDArray[np.float64]


def as_published(samples: Array, graders: Array) -> Array:
    """NCC with each of the graders (G, classes, H, W), one-hot, of softmaxes (n, classes, H, W)."""

    def cross_entropy(weights: Array, sample: Array) -> Array:
        out = np.zeros(sample.shape[1:])
        for row, column in np.ndindex(out.shape):
            for category in range(len(sample)):
                logarithm = np.log(sample[category, row, column] + 1e-8)
                out[row, column] -= weights[category, row, column] * logarithm
        return out

    mean = sum(samples) / len(samples)
    expected = sum(cross_entropy(mean, sample) for sample in samples) / len(samples)
    values = []
    for grader in graders:
        met = sum(cross_entropy(grader, sample) for sample in samples) / len(samples)
        a = (expected - expected.mean()) / (expected.std() * expected.size)
        b = (met - met.mean()) / met.std()
        values.append((a * b).sum())
    return np.array(values)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 5),
    classes=st.integers(2, 4),
    graders=st.integers(1, 4),
    scale=st.sampled_from([0.1, 1.0, 30.0]),  # of logits: softmaxes near 0 and 1, too
    seed=st.integers(0, 2**20),
)
def test_ncc_is_that_of_the_published_definition(n, classes, graders, scale, seed):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, scale, (n, 2, classes, 5, 4)))
    masks = random.integers(classes, size=(2, graders, 5, 4))
    ncc = SoftmaxNcc(torch.from_numpy(masks))
    for one in logits:
        ncc.see(one)
    found = ncc.result()
    assert found is not None
    assert found.shape == (2, n, graders)
    softmax = logits.softmax(dim=2).numpy()
    one_hot = np.moveaxis(np.eye(classes)[masks], -1, 2)
    for image in range(2):
        for k in range(1, n + 1):
            expected = as_published(softmax[:k, image], one_hot[image])
            np.testing.assert_allclose(found[image, k - 1], expected, rtol=0, atol=1e-12)


def test_a_constant_map_has_no_ncc():
    ncc = SoftmaxNcc(torch.tensor([[[[0, 1]], [[0, 0]]]]))
    ncc.see(torch.zeros(1, 2, 1, 2))
    found = ncc.result()
    assert found is not None
    assert np.isnan(found).all()


def test_a_model_without_logits_has_no_ncc():
    assert SoftmaxNcc(torch.zeros(1, 4, 2, 2, dtype=torch.int64)).result() is None


@pytest.mark.parametrize("n", [1, 3])
def test_disagreement_where_graders_disagree_is_near_one(n):
    logits = torch.full((1, 2, 1, 8), -4.0)
    logits[:, 0] = 4
    logits[..., 3:5] = 0  # the samples do not know these
    ncc = SoftmaxNcc(torch.tensor([[[[0, 0, 0, 1, 1, 0, 0, 0]]]]))
    for _ in range(n):
        ncc.see(logits)
    found = ncc.result()
    assert found is not None
    assert found[0, n - 1, 0] > 0.999


def test_pixels_that_a_grader_ignores_have_no_part():
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(3, 2, 3, 6, 5)))
    masks = torch.from_numpy(random.integers(3, size=(2, 2, 6, 5)))
    masks[0, 1, :2] = IGNORE  # of the second image, nothing
    found, of_rest = SoftmaxNcc(masks), SoftmaxNcc(masks[:1, :, 2:])
    for one in logits:
        found.see(one)
        of_rest.see(one[:1, :, 2:])
    whole = SoftmaxNcc(masks[1:])
    for one in logits:
        whole.see(one[1:])
    np.testing.assert_allclose(found.result()[:1], of_rest.result(), atol=1e-12)
    np.testing.assert_allclose(found.result()[1:], whole.result(), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    shift=st.sampled_from([0.0, 5.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_ncc_of_parts_of_an_image_is_that_of_the_image(cuts, shift, weighted, seed):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, 2, (3, 1, 3, 12, 6)))
    logits[:, :, 0, 4:] += shift
    masks = torch.from_numpy(random.integers(3, size=(1, 2, 12, 6)))
    masks[0, 0, 2:4, 1:3] = IGNORE
    weights = torch.from_numpy(random.random((3, 1))) + 0.1
    edges = [0, *sorted(cuts), 12]
    whole, parts = SoftmaxNcc(masks), []
    for start, end in pairwise(edges):
        # two parts in one batch, of which the second has no scored pixel
        some = masks[:, :, start : max(end, start + 1)]
        if end == start:
            some = torch.full_like(some, IGNORE)
        part = SoftmaxNcc(torch.cat([some, torch.full_like(some, IGNORE)]))
        scale = 1 + random.random()  # only the proportions of weights count
        for one, weight in zip(logits, weights, strict=True):
            seen = one[:, :, start : max(end, start + 1)].expand(2, -1, -1, -1)
            part.see(seen, scale * weight.expand(2) if weighted else None)
        parts.append(part.moments)
    for one, weight in zip(logits, weights, strict=True):
        whole.see(one, weight if weighted else None)
    found = joined_ncc(parts)
    assert found is not None
    assert found.shape == (1, 3, 2)
    np.testing.assert_allclose(found, whole.result(), rtol=0, atol=1e-10)
