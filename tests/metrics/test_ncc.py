import math

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from probunet.metrics.bits import pack
from probunet.metrics.ncc import ncc
from probunet.metrics.votes import votes
from support.masks import Masks, sample_and_grader_masks


def ncc_of(samples: Masks, graders: Masks) -> NDArray[np.float64]:
    pixels = samples.shape[-2] * samples.shape[-1]
    return ncc(votes(pack(samples), pack(graders), pixels))


def written_out(samples: NDArray[np.bool_], graders: NDArray[np.bool_]) -> float:
    """NCC of one image, (n, H, W) and (G, H, W), pixel by pixel."""
    n, height, width = samples.shape
    expected, met = [], []
    for row, column in np.ndindex(height, width):
        p = min(max(samples[:, row, column].mean(), 1 / (2 * n)), 1 - 1 / (2 * n))
        expected.append(-p * math.log(p) - (1 - p) * math.log(1 - p))
        met.append([-math.log(p if y else 1 - p) for y in graders[:, row, column]])
    if np.ptp(expected) < 1e-12:
        return math.nan
    return float(np.mean([np.corrcoef(expected, one)[0, 1] for one in np.transpose(met)]))


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=100)
def test_ncc_is_the_correlation_of_two_maps(masks):
    samples, graders = masks
    expected = [written_out(s, y) for s, y in zip(samples, graders, strict=True)]
    np.testing.assert_allclose(ncc_of(samples, graders), expected, atol=1e-9)


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=50)
def test_ncc_stays_when_lesion_and_background_are_exchanged(masks):
    samples, graders = masks
    np.testing.assert_allclose(ncc_of(~samples, ~graders), ncc_of(samples, graders), atol=1e-9)


def image(*rows: str) -> Masks:
    """Masks (1, members, 1, W) of rows of 0 and 1."""
    return np.array([[[[pixel == "1" for pixel in row]] for row in rows]])


def test_samples_that_disagree_where_graders_do_are_perfect():
    graders = image("1100", "1000")
    assert ncc_of(graders, graders) == pytest.approx(1)


def test_samples_that_disagree_where_graders_do_not_are_worse_than_none():
    assert ncc_of(image("1000", "1100"), image("0001")) < 0


@pytest.mark.parametrize(
    "samples", [image("1100"), image("1100", "1100"), image("0000"), image("1100", "0011")]
)
@pytest.mark.parametrize("graders", [image("0000"), image("1010", "1111")])
def test_a_constant_map_correlates_with_nothing(samples, graders):
    assert np.isnan(ncc_of(samples, graders)).all()
