import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from probunet.datasets.lidc.crop import AIR, SPACING, Grid, resample
from probunet.datasets.lidc.outlines import Annotation, LesionSlice
from probunet.datasets.lidc.store import SIZE


def lesion(*boxes: tuple[int, int, int, int]) -> LesionSlice:
    annotations = [
        Annotation(i, (np.array([[x0, y0], [x1, y1]], dtype=np.int32),))
        for i, (x0, x1, y0, y1) in enumerate(boxes)
    ]
    return LesionSlice(0.0, 0, tuple(annotations))


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-120, 300),
    y=st.floats(-120, 300),
    spacing=st.sampled_from([0.46, 0.5, 0.703125, 0.9765625]),
    whole=st.booleans(),
)
def test_resample_agrees_with_scipy(x, y, spacing, whole):
    hu = np.random.default_rng(3).integers(-2000, 2000, (300, 280)).astype(np.int16)
    grid = Grid(x, y, SPACING / spacing)
    first, last = (0, 300) if whole else grid.rows_of(300)
    if last <= first:
        first, last = 0, 300
    at = np.arange(SIZE) * grid.step
    rows, columns = np.meshgrid(y + at, x + at, indexing="ij")
    expected = map_coordinates(
        hu.astype(float), (rows, columns), order=1, mode="grid-constant", cval=AIR
    )
    crop = resample(hu[first:last], grid, first)
    assert crop.dtype == np.int16
    assert np.abs(crop - expected).max() <= 0.51


@pytest.mark.parametrize("spacing", [0.46, 0.703125, 0.9765625])
def test_middle_of_the_crop_is_the_middle_of_the_outlines(spacing):
    grid = Grid.around(lesion((200, 221, 310, 330), (195, 215, 305, 325)), spacing)
    columns = np.tile(np.arange(512), (512, 1)) * 4
    # a gradient tells where a pixel of the crop comes from: a quarter pixel to the step
    along_x = resample(columns.astype(np.int16), grid) / 4
    along_y = resample(columns.T.astype(np.int16), grid) / 4
    middle = SIZE // 2 - 1, SIZE // 2
    assert along_x[90, middle].mean() == pytest.approx((195 + 221) / 2, abs=0.13)
    assert along_y[middle, 90].mean() == pytest.approx((305 + 330) / 2, abs=0.13)
    mm = np.diff(along_x[90, [40, 140]])[0] * spacing
    assert mm == pytest.approx(100 * SPACING, abs=0.2)


def test_beyond_the_slice_is_air():
    grid = Grid.around(lesion((2, 6, 100, 104)), 0.7)
    crop = resample(np.full((512, 512), 40, dtype=np.int16), grid)
    assert (crop[:, :80] == AIR).all()
    assert (crop[:, 92:] == 40).all()


def test_rows_of_are_all_that_the_grid_touches():
    hu = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    grid = Grid.around(lesion((250, 260, 500, 510)), 0.7)
    first, last = grid.rows_of(512)
    assert last == 512
    np.testing.assert_array_equal(resample(hu[first:last], grid, first), resample(hu, grid))
