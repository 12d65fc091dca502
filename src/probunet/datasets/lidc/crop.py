"""A crop of protocol kohl2018: 180x180 pixels of 0.5 mm, centred on the lesion.

Kohl et al. 2018, section 3.1 and appendix H.1.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.outlines import LesionSlice
from probunet.datasets.lidc.store import SIZE

SPACING = 0.5  # mm per pixel of a crop
AIR = -1024  # HU beyond the slice's edge


@dataclass(frozen=True)
class Grid:
    """A crop's pixels on its slice: row r, column c is at (x + c * step, y + r * step)."""

    x: float  # column of the slice's pixels
    y: float  # row of the slice's pixels
    step: float  # pixels of the slice
    size: int = SIZE

    @classmethod
    def around(cls, lesion: LesionSlice, spacing: float) -> Self:
        """Return the grid of a lesion's crop; `spacing` of the slice in mm.

        Its middle, (size - 1) / 2 both ways, is the middle of the tight bounding box of all
        annotations, including those that the rule for more than four leaves out.
        """
        x0, x1, y0, y1 = lesion.box
        return cls.at((x0 + x1) / 2, (y0 + y1) / 2, spacing)

    @classmethod
    def at(cls, x: float, y: float, spacing: float) -> Self:
        """Return the grid of a crop around a column and row of a slice; `spacing` of it in mm."""
        step = SPACING / spacing
        half = step * (SIZE - 1) / 2
        return cls(x - half, y - half, step)

    def rows_of(self, height: int) -> tuple[int, int]:
        """Return first and last + 1 of the rows that it covers of a slice of that height."""
        first = max(int(np.floor(self.y)), 0)
        return first, min(int(np.floor(self.y + self.step * (self.size - 1))) + 2, height)


def resample(hu: NDArray[np.int16], grid: Grid, first_row: int = 0) -> NDArray[np.int16]:
    """Return the slice's intensities on a grid, (size, size), interpolated linearly.

    `hu`: (rows, columns), the slice from `first_row` on, with all rows that the grid covers.
    Pixels beyond the slice's edge are `AIR`.
    """
    rows, columns = _Axis.of(grid.y - first_row, grid), _Axis.of(grid.x, grid)
    crop = _patch(hu, rows, columns).astype(np.float32)
    for axis in (rows, columns):  # along the first axis, then transposed
        crop = np.ascontiguousarray(axis.interpolate(crop).T)
    return np.rint(crop).astype(np.int16)


@dataclass(frozen=True)
class _Axis:
    """The grid's points along one axis of the slice."""

    first: int  # pixel of the slice
    pixels: int
    left: NDArray[np.intp]  # (size,) the pixel before each point, counted from `first`
    share: NDArray[np.float32]  # (size,) distance from that pixel, 0 to 1

    @classmethod
    def of(cls, origin: float, grid: Grid) -> Self:
        at = origin + grid.step * np.arange(grid.size)
        whole = np.floor(at)
        first = int(whole[0])
        left = whole.astype(np.intp) - first
        return cls(first, int(left[-1]) + 2, left, (at - whole).astype(np.float32))

    def interpolate(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values (pixels, n) at the grid's points, (size, n)."""
        here, there = values.take(self.left, axis=0), values.take(self.left + 1, axis=0)
        there -= here
        there *= self.share[:, None]
        here += there
        return here


def _patch(hu: NDArray[np.int16], rows: _Axis, columns: _Axis) -> NDArray[np.int16]:
    """Return the part of the slice that the axes cover, padded with air."""
    height, width = hu.shape
    top, left = max(-rows.first, 0), max(-columns.first, 0)
    bottom = max(rows.first + rows.pixels - height, 0)
    right = max(columns.first + columns.pixels - width, 0)
    inside = hu[
        rows.first + top : rows.first + rows.pixels - bottom,
        columns.first + left : columns.first + columns.pixels - right,
    ]
    if not (top or left or bottom or right):
        return inside
    return np.pad(inside, ((top, bottom), (left, right)), constant_values=AIR)
