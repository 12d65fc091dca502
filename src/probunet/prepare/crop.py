"""A crop of protocol kohl2018: 180x180 pixels of 0.5 mm, centred on the lesion.

Kohl et al. 2018, section 3.1 and appendix H.1.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from probunet.outlines import LesionSlice
from probunet.store import SIZE

SPACING = 0.5  # mm per pixel of a crop
AIR = -1024  # HU beyond the slice's edge


@dataclass(frozen=True)
class Grid:
    """A crop's pixels on its slice: row r, column c lie at (x + c * step, y + r * step)."""

    x: float  # column of the slice's pixels
    y: float  # row of the slice's pixels
    step: float  # pixels of the slice
    size: int = SIZE

    @classmethod
    def around(cls, lesion: LesionSlice, spacing: float) -> Self:
        """Return the grid of the lesion's crop.

        Its middle, (size - 1) / 2 both ways, is the middle of the tight box of all annotations,
        those that the rule for more than four leaves out included.

        Parameters
        ----------
        lesion
            The annotations, in pixels of the slice.
        spacing
            Of the slice's pixels, mm.
        """
        x0, x1, y0, y1 = lesion.box
        step = SPACING / spacing
        half = step * (SIZE - 1) / 2
        return cls((x0 + x1) / 2 - half, (y0 + y1) / 2 - half, step)


def resample(hu: NDArray[np.int16], grid: Grid) -> NDArray[np.int16]:
    """Return the slice's intensities on a grid, (size, size), interpolated linearly.

    Beyond the slice's edge there is air, `AIR`.

    Parameters
    ----------
    hu
        The slice, (rows, columns), HU.
    grid
        Where the crop's pixels lie.
    """
    rows, row_weights = _taps(grid.y, grid)
    columns, column_weights = _taps(grid.x, grid)
    patch = _patch(hu, rows, columns)
    # only the rows and columns that the grid touches: two small matrix products
    crop: NDArray[np.float32] = row_weights @ patch.astype(np.float32) @ column_weights.T
    return np.rint(crop).astype(np.int16)


def _taps(origin: float, grid: Grid) -> tuple[slice, NDArray[np.float32]]:
    """Return the pixels that one axis of the grid touches, and their weights (size, pixels)."""
    at = origin + grid.step * np.arange(grid.size)
    left = np.floor(at).astype(int)
    first = int(left[0])
    pixels = int(left[-1]) + 2 - first
    share = (at - left).astype(np.float32)
    weights = np.zeros((grid.size, pixels), dtype=np.float32)
    point = np.arange(grid.size)
    weights[point, left - first] = 1 - share
    weights[point, left - first + 1] = share
    return slice(first, first + pixels), weights


def _patch(hu: NDArray[np.int16], rows: slice, columns: slice) -> NDArray[np.int16]:
    """Return a part of the slice, with air where it reaches beyond the edge."""
    height, width = hu.shape
    top, left = max(-rows.start, 0), max(-columns.start, 0)
    bottom, right = max(rows.stop - height, 0), max(columns.stop - width, 0)
    inside = hu[max(rows.start, 0) : rows.stop, max(columns.start, 0) : columns.stop]
    if not (top or left or bottom or right):
        return inside
    return np.pad(inside, ((top, bottom), (left, right)), constant_values=AIR)
