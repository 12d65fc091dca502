import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.bits import pack
from probunet.metrics.reconstruction import reconstruction_iou
from support.masks import iou, sample_and_grader_masks


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=60)
def test_each_mask_is_set_against_its_own_reconstruction(masks):
    _, graders = masks
    rebuilt = np.roll(graders, 1, axis=1) & np.roll(graders, 1, axis=3)
    expected = [
        np.mean([iou(a, b) for a, b in zip(*image, strict=True)])
        for image in zip(rebuilt, graders, strict=True)
    ]
    np.testing.assert_allclose(
        reconstruction_iou(pack(rebuilt), pack(graders)), expected, rtol=1e-12
    )
    np.testing.assert_array_equal(reconstruction_iou(pack(graders), pack(graders)), 1)


def test_every_mask_needs_a_reconstruction():
    masks = pack(np.ones((1, 4, 8, 8), bool))
    with pytest.raises(ValueError, match="do not agree"):
        reconstruction_iou(masks[:, :1], masks)
