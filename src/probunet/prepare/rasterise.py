"""Outlines -> masks, on any grid.

LIDC's readers were told to outline just outside the lesion, so that the outline's own pixels do
not belong to it (Armato et al. 2011, section II.B). On the slice's own pixels the meaning is plain:
inside the polygon and not on the outline. On another grid the outline keeps the width of a pixel:
a point is in the lesion if it lies inside the polygon and further than half a pixel of the original
slice from the outline. At native resolution both are the same; on a finer grid the edge is smooth
and its area unbiased, instead of a resampled staircase.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.outlines import Annotation, Polygon

Vertices = NDArray[np.floating]  # (k, 2): x (column), y (row), points of the grid

CONVENTION = (
    "the outline's own pixels do not belong to the lesion: a point belongs to it if it lies inside "
    "the outline and further than half a pixel of the original slice from it"
)

HALF_WIDTH = 0.5  # of the outline, original pixels


def rasterise(
    annotation: Annotation, origin_x: float, origin_y: float, step: float, size: int
) -> NDArray[np.bool_]:
    """Return the annotation's mask on a square grid, (size, size).

    The outline is made of its pixels and of the steps between neighbouring ones (of eight); a
    longer step is a gap in the drawing, of which only the end points count. Inclusions are added
    one after the other, each without its own outline; then what exclusions enclose is taken out,
    together with their outlines. With `step=1` and whole-numbered origins this is pylidc's
    `Annotation.boolean_mask` pixel for pixel.

    Parameters
    ----------
    annotation
        One reader's outlines on a slice, in pixels of the slice.
    origin_x, origin_y
        Where the grid's first point lies, in pixels of the slice (column, row).
    step
        Distance of the grid's points, in pixels of the slice.
    size
        The grid's points per side.
    """
    mask = np.zeros((size, size), dtype=bool)
    for included, polygons in ((True, annotation.inclusions), (False, annotation.exclusions)):
        for polygon in polygons:
            scaled = (polygon - (origin_x, origin_y)) / step
            window = _window(scaled, HALF_WIDTH / step, size)
            if window is None:
                continue
            (row, rows), (column, columns) = window
            part = mask[row : row + rows, column : column + columns]
            vertices = scaled - (column, row)
            if included:
                part |= _inside(vertices, rows, columns)
            else:
                part &= ~_inside(vertices, rows, columns)
            _erase_outline(part, polygon, vertices, step)
    return mask


def _window(
    vertices: Vertices, margin: float, size: int
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return (first row, rows), (first column, columns) of the grid around an outline, if any."""
    first = np.maximum(np.ceil(vertices.min(axis=0) - margin).astype(int), 0)
    last = np.minimum(np.floor(vertices.max(axis=0) + margin).astype(int), size - 1)
    columns, rows = (int(n) for n in last - first + 1)
    if columns <= 0 or rows <= 0:
        return None
    return (int(first[1]), rows), (int(first[0]), columns)


def _inside(vertices: Vertices, rows: int, columns: int) -> NDArray[np.bool_]:
    """Return which grid points lie inside a polygon by the even-odd rule, (rows, columns).

    Each column is a line that the polygon's edges cross; a point is inside if an odd number of
    crossings lie beyond it. A point exactly on an edge belongs to the side that Matplotlib's
    `Path.contains_points` gives it, which pylidc asks.
    """
    x1, y1 = vertices.T
    x0, y0 = np.roll(x1, 1), np.roll(y1, 1)
    # an edge crosses the columns c with min(x0, x1) < c <= max(x0, x1)
    low = np.clip(np.floor(np.minimum(x0, x1)).astype(int) + 1, 0, columns)
    high = np.clip(np.floor(np.maximum(x0, x1)).astype(int) + 1, 0, columns)
    counts = high - low
    edge = np.repeat(np.arange(len(counts)), counts)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + low[edge]
    ahead, dx, dy = x1[edge], (x0 - x1)[edge], (y0 - y1)[edge]
    crossing = y1[edge] + (column - ahead) * dy / dx
    # points up to the crossing flip; one that lies on it flips if the edge leads upwards
    below = np.where(dx < 0, np.floor(crossing) + 1, np.ceil(crossing))
    row = np.clip(below.astype(int), 0, rows)
    flips = np.bincount(row * columns + column, minlength=(rows + 1) * columns)
    crossings = np.cumsum(flips.reshape(rows + 1, columns)[:0:-1], axis=0)[::-1]
    odd: NDArray[np.bool_] = (crossings & 1).astype(bool)
    return odd


def _erase_outline(
    mask: NDArray[np.bool_], polygon: Polygon, vertices: Vertices, step: float
) -> None:
    """Turn off, in place, the points within half an original pixel of an outline.

    `polygon` and `vertices` are the outline in pixels of the slice and of the mask.
    """
    reach = HALF_WIDTH / step
    steps = np.roll(polygon, -1, axis=0) - polygon
    steps[np.abs(steps).max(axis=1) > 1] = 0  # a gap has no pixels of its own
    ends = vertices + steps / step
    # a window of grid points around each step, wide enough for a diagonal one
    first = np.ceil(np.minimum(vertices, ends) - reach).astype(int)
    width = int(np.floor(1 / step + 2 * reach)) + 1
    offsets = np.arange(width)
    x = first[:, :1] + offsets
    y = first[:, 1:] + offsets
    from_x, from_y = x - vertices[:, :1], y - vertices[:, 1:]  # (steps, width) grid steps
    # the nearest point of the step lies the share `along` of the way
    length = np.maximum((steps**2).sum(axis=1), 1)[:, None] / step
    along = (from_x * steps[:, :1] / length)[:, None, :] + (from_y * steps[:, 1:] / length)[
        :, :, None
    ]
    np.clip(along, 0, 1, out=along)
    off_x = from_x[:, None, :] - along * (steps[:, :1] / step)[:, :, None]
    off_y = from_y[:, :, None] - along * (steps[:, 1:] / step)[:, :, None]
    near = off_x**2 + off_y**2 <= reach**2
    rows, columns = mask.shape
    rows, columns = mask.shape
    near &= ((x >= 0) & (x < columns))[:, None, :] & ((y >= 0) & (y < rows))[:, :, None]
    at, row, column = np.nonzero(near)
    mask[y[at, row], x[at, column]] = False
