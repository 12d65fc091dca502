"""Draw masks from outlines, on any grid.

LIDC's readers were instructed to outline just outside the lesion, so the pixels of an outline do
not belong to it (Armato et al. 2011, Medical Physics 38, 915). On the slice's pixels, a mask is the
inside of the polygon without the outline, as in pylidc. On another grid, this mask is interpolated
linearly, and the points with the largest values belong to the lesion: as many as keep its area.

Version 1 drew on the grid itself, without the points that are within half a pixel of the slice of
the outline. The pixels beside a diagonal outline reach to 0.35 pixels from it, so the masks were
too small: by 2.3 % in all, and by 10 % below 10 mm2.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.outlines import Annotation

CONVENTION = (
    "the outline's own pixels do not belong to the lesion; its mask on the original slice's pixels "
    "is interpolated linearly, and the points with the largest values belong to the lesion, as "
    "many as keep its area"
)


def rasterise(
    annotations: Sequence[Annotation], origin_x: float, origin_y: float, step: float, size: int
) -> NDArray[np.bool_]:
    """Return the annotations' masks on a square grid, (annotations, size, size).

    With `step=1` and integer origins the result equals pylidc's `Annotation.boolean_mask` pixel for
    pixel. The area is that on the slice's pixels, rounded to whole points of the grid; at least one
    point, unless the lesion lies between the points (`step` of 2 or more) or beside the grid.

    Parameters
    ----------
    annotations
        Outlines on one slice, in pixels of the slice; drawn together for speed.
    origin_x, origin_y
        The grid's first point, in pixels of the slice (column, row).
    step
        Distance between the grid's points, in pixels of the slice.
    size
        Points per side of the grid.
    """
    native, left, top = _on_slice(annotations)
    x, y = origin_x - left, origin_y - top
    # the points on the lesions, also those beyond the grid's ends
    rows, columns = _points(y, step, native.shape[1]), _points(x, step, native.shape[2])
    values = _interpolate(native.swapaxes(1, 2), y + step * rows)
    values = _interpolate(values.swapaxes(1, 2), x + step * columns)
    chosen = np.zeros(values.shape, dtype=bool)
    for mask, value, pixels in zip(chosen, values, native.sum(axis=(1, 2)).tolist(), strict=True):
        count = max(round(pixels / step**2), 1)
        largest = np.argsort(-value, axis=None, kind="stable")[:count]
        mask.flat[largest] = value.flat[largest] > 0
    masks = np.zeros((len(annotations), size, size), dtype=bool)
    row, column = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
    each = np.arange(len(masks))
    masks[np.ix_(each, rows[row], columns[column])] = chosen[:, row][:, :, column]
    return masks


def _on_slice(annotations: Sequence[Annotation]) -> tuple[NDArray[np.bool_], int, int]:
    """Return masks (annotations, rows, columns) on the slice's pixels, and their column and row.

    Around all outlines is a margin of one pixel. Inclusions are added one by one without their
    outlines; then exclusions are removed with their outlines.
    """
    polygons = [polygon for a in annotations for polygon in (*a.inclusions, *a.exclusions)]
    lengths = np.array([len(polygon) for polygon in polygons])
    points = np.concatenate(polygons)
    left, top = (points.min(axis=0) - 1).tolist()
    points = points - (left, top)
    columns, rows = (points.max(axis=0) + 2).tolist()
    following = np.arange(1, len(points) + 1)
    ends = np.cumsum(lengths)
    following[ends - 1] = ends - lengths  # the last point is connected to the first
    polygon = np.repeat(np.arange(len(polygons)), lengths)
    outline = np.zeros((len(polygons), rows, columns), dtype=bool)
    outline[polygon, points[:, 1], points[:, 0]] = True
    inside = _inside(polygon, points, points[following], outline.shape)
    planes = zip(inside, outline, strict=True)
    masks = np.zeros((len(annotations), rows, columns), dtype=bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        for _ in annotation.inclusions:
            filled, drawn = next(planes)
            mask[...] = (mask | filled) & ~drawn
        for _ in annotation.exclusions:
            filled, drawn = next(planes)
            mask &= ~(filled | drawn)
    return masks, left, top


def _inside(
    polygon: NDArray[np.integer],
    start: NDArray[np.integer],
    end: NDArray[np.integer],
    shape: tuple[int, int, int],
) -> NDArray[np.bool_]:
    """Return which pixels are inside each polygon by the even-odd rule, (polygons, rows, columns).

    Edges cross the columns; a pixel is inside if an odd number of crossings is beyond it. A pixel
    on an edge is assigned as by Matplotlib's `Path.contains_points`, which pylidc uses.

    Parameters
    ----------
    polygon : (edges,)
        The number of each edge's polygon.
    start, end : (edges, 2)
        x (column), y (row).
    """
    polygons, rows, columns = shape
    (x0, y0), (x1, y1) = start.T, end.T
    # an edge crosses the columns c with min(x0, x1) < c <= max(x0, x1)
    counts = np.abs(x1 - x0)
    edge = np.repeat(np.arange(len(counts)), counts)
    first = np.minimum(x0, x1) + 1
    column = np.arange(len(edge)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    x1, y1, dx, dy = x1[edge], y1[edge], (x0 - x1)[edge], (y0 - y1)[edge]
    crossing = y1 + (column - x1) * dy / dx
    # the pixels before the crossing flip; a pixel on it flips if the edge goes upwards
    row = np.where(dx < 0, np.floor(crossing) + 1, np.ceil(crossing)).astype(int)
    at = (polygon[edge] * (rows + 1) + row) * columns + column
    flips = np.bincount(at, minlength=polygons * (rows + 1) * columns).astype(np.uint8)
    beyond = flips.reshape(-1, rows + 1, columns)[:, :0:-1].cumsum(axis=1, dtype=np.uint8)
    odd: NDArray[np.bool_] = (beyond[:, ::-1] & 1).view(bool)
    return odd


def _points(first: float, step: float, pixels: int) -> NDArray[np.int64]:
    """Return the numbers i of the grid's points at 0 <= first + step * i <= pixels - 1."""
    low, high = np.ceil(-first / step), np.floor((pixels - 1 - first) / step)
    return np.arange(int(low), int(high) + 1)


def _interpolate(
    values: NDArray[np.bool_] | NDArray[np.float64], at: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return values (n, k, pixels) at positions `at` of the last axis, (n, k, len(at))."""
    left = np.clip(np.floor(at).astype(int), 0, values.shape[2] - 2)
    share = at - left
    here: NDArray[np.float64] = values[..., left] * (1 - share) + values[..., left + 1] * share
    return here
