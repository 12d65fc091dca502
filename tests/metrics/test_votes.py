import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.bits import pack
from probunet.metrics.votes import votes
from support.masks import sample_and_grader_masks


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=100)
def test_votes_are_those_counted_pixel_by_pixel(masks):
    samples, graders = masks
    images, n, height, width = samples.shape
    found = votes(pack(samples), pack(graders), height * width)
    pixels = np.zeros((images, n + 1), int)
    marked = np.zeros((images, n + 1, graders.shape[1]), int)
    agreed = np.zeros((images, n + 1, graders.shape[1] + 1), int)
    for image, row, column in np.ndindex(images, height, width):
        k = samples[image, :, row, column].sum()
        pixels[image, k] += 1
        marked[image, k] += graders[image, :, row, column]
        agreed[image, k, graders[image, :, row, column].sum()] += 1
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.marked, marked)
    np.testing.assert_array_equal(found.agreed, agreed)
    np.testing.assert_allclose(found.share, np.arange(n + 1) / n)


def test_no_image_has_no_votes():
    nothing = pack(np.zeros((0, 4, 8, 8), bool))
    assert votes(nothing, nothing, 64).marked.shape == (0, 5, 4)


@pytest.mark.parametrize("wrong", [lambda m: m[:1], lambda m: m[..., :8]])
def test_samples_and_graders_must_agree(wrong):
    masks = pack(np.ones((2, 2, 16, 16), bool))
    with pytest.raises(ValueError, match="do not agree"):
        votes(masks, wrong(masks), 256)
