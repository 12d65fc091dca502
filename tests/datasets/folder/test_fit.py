"""Images and masks at one size: untouched where they have it, else scaled to fit and padded."""

import numpy as np
import pytest

from probunet.datasets.folder.fit import fit_image, fit_masks

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_right_size_is_untouched(dtype, channels):
    image = (RANDOM.random((6, 8, channels)) * 250).astype(dtype)
    assert fit_image(image, (6, 8), -5) is image
    masks = RANDOM.integers(0, 256, (6, 8), np.uint8)
    assert fit_masks(masks, (6, 8)) is masks


@pytest.mark.parametrize(
    ("own", "size", "rows", "columns"),
    [
        ((8, 8), (4, 8), slice(0, 4), slice(2, 6)),
        ((8, 4), (16, 16), slice(0, 16), slice(4, 12)),
        ((6, 12), (6, 6), slice(1, 4), slice(0, 6)),
        ((10, 10), (15, 20), slice(0, 15), slice(2, 17)),
        ((1, 50), (8, 10), slice(3, 4), slice(0, 10)),
    ],
)
def test_aspect_is_kept_and_the_rest_is_padded_on_both_sides(own, size, rows, columns):
    image = np.full((*own, 3), 200, np.uint16)
    fitted = fit_image(image, size, 7)
    expected = np.full((*size, 3), 7)
    expected[rows, columns] = 200
    np.testing.assert_array_equal(fitted, expected)
    assert fitted.dtype == np.uint16
    masks = np.full(own, 0b10000101, np.uint8)
    np.testing.assert_array_equal(fit_masks(masks, size) == masks[0, 0], expected[..., 0] == 200)
    assert set(np.unique(fit_masks(masks, size))) <= {0, 0b10000101}


def test_shrunk_values_are_means_and_not_picked():
    fine = np.indices((64, 64)).sum(axis=0) % 2 * 200  # a chessboard
    fitted = fit_image(fine.astype(np.uint8)[..., None], (8, 8), 0)
    assert np.abs(fitted.astype(int) - 100).max() <= 13  # the border has half a kernel


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_each_grader_s_mask_is_resampled_alike(dtype):
    graders = 8 * np.dtype(dtype).itemsize
    bits = RANDOM.integers(0, 2**graders, (33, 20), dtype)
    together = fit_masks(bits, (16, 16))
    assert together.dtype == dtype
    for g in range(graders):
        alone = fit_masks((bits >> g & 1).astype(np.uint8), (16, 16))
        np.testing.assert_array_equal(together >> g & 1, alone)


@pytest.mark.parametrize(("dtype", "padding"), [("uint8", -3.0), ("uint8", 999.0), ("int16", 1e6)])
def test_padding_beyond_the_type_is_its_nearest_value(dtype, padding):
    fitted = fit_image(np.zeros((4, 4, 1), dtype), (4, 8), padding)
    bounds = np.iinfo(dtype)
    assert fitted[0, 0, 0] == np.clip(padding, bounds.min, bounds.max)
