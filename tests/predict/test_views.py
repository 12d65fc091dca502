"""Views: their sizes, and that maps come back to where they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.datasets.folder.fit import fit_image
from probunet.predict.base import Picture, UnusableError
from probunet.predict.views import look_at
from probunet.prepared import Prepared

FIT = Prepared((32, 48), "fit", "uint8", 0.0)
sides = st.integers(2, 90)


def picture(height: int, width: int, channels: int = 1, kind: str = "uint8") -> Picture:
    values = np.random.default_rng(0).integers(0, 255, (1, height, width, channels))
    return Picture("a picture", values.astype(kind))


def ramps(height: int, width: int) -> np.ndarray:
    """Return each pixel's row and column, (2, H, W) float32."""
    return np.indices((height, width), dtype=np.float32)


@given(sides, sides, st.sampled_from(["keep", "fit", "stretch", "pad", "crop"]))
def test_a_map_comes_back_at_the_place_that_was_seen(height: int, width: int, how: str) -> None:
    # an image of whole rows, then of whole columns: the network "answers" with what it sees
    for axis in range(2):
        values = ramps(height, width)[axis][None, ..., None]
        one = Picture("a ramp", values)
        form = replace(FIT, resize=how, values="float32", padding=-1.0)
        [view] = look_at(one, form, 8).of(0)
        if how != "keep":
            assert view.image.shape[:2] == (32, 48)
        assert view.image.shape[0] % 8 == view.image.shape[1] % 8 == 0
        back = view.back(view.image[None, ..., 0])[0]
        expected = values[0, ..., 0][view.part]
        assert back.shape == expected.shape
        scale = max(height / 32, width / 48, 1.0)  # own pixels in one that the network sees
        assert np.abs(back - expected).max() <= 2 * scale + 1


def test_an_image_of_the_trained_size_is_unchanged() -> None:
    one = picture(32, 48)
    for how in ("keep", "fit", "stretch", "pad", "crop"):
        [view] = look_at(one, replace(FIT, resize=how), 8).of(0)
        assert np.array_equal(view.image, one.pixels[0])
        ids = np.arange(32 * 48).reshape(1, 32, 48).astype(np.uint8)
        assert np.array_equal(view.back(ids), ids)


def test_images_are_scaled_as_prepare_does() -> None:
    one = picture(70, 50)
    [view] = look_at(one, FIT, 8).of(0)
    assert np.array_equal(view.image, fit_image(one.pixels[0], (32, 48), 0.0))


def test_classes_are_not_mixed() -> None:
    [view] = look_at(picture(100, 150), FIT, 8).of(0)
    ids = np.random.default_rng(0).choice([0, 7], (3, 32, 48)).astype(np.uint8)
    back = view.back(ids)
    assert back.dtype == np.uint8
    assert set(np.unique(back)) == {0, 7}


@given(sides, sides, st.integers(1, 3))
def test_tiles_cover_each_pixel_once(height: int, width: int, channels: int) -> None:
    one = picture(height, width, channels)
    counts = np.zeros((height, width), int)
    whole = np.zeros((height, width), np.uint8)
    for view in look_at(one, FIT, 8, tiles=True).of(0):
        assert view.image.shape == (32, 48, channels)
        counts[view.part] += 1
        whole[view.part] = view.back(view.image[None, ..., 0])[0]
    assert (counts == 1).all()
    assert np.array_equal(whole, one.pixels[0, ..., 0])


def test_tiles_overlap_by_a_quarter_at_least() -> None:
    views = look_at(picture(100, 48), FIT, 8, tiles=True).of(0)
    taken = [view.part[0] for view in views]
    assert [(part.start, part.stop) for part in taken] == [(0, 27), (27, 50), (50, 72), (72, 100)]
    # a pixel that is taken is 4 or more from an edge that is not the image's
    assert max(part.stop - part.start for part in taken[1:-1]) <= 32 - 2 * 4


def test_values_that_the_trained_type_cannot_hold_stay_as_they_are() -> None:
    [view] = look_at(Picture("deep", np.full((1, 32, 48, 1), 300, np.uint16)), FIT, 8).of(0)
    assert view.image.max() == 300


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_colours_of_any_depth_are_fitted(kind: str) -> None:
    form = replace(FIT, resize="pad")
    [view] = look_at(picture(64, 64, 3, kind), form, 8).of(0)
    assert view.image.shape == (32, 48, 3)


def test_an_image_that_is_too_narrow_is_refused() -> None:
    views = look_at(picture(90, 1), replace(FIT, resize="pad"), 8)
    with pytest.raises(UnusableError, match="an image of 90 x 1 pixels is too narrow for 32 x 48"):
        views.of(0)
