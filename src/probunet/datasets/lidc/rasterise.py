"""Draw masks from outlines, on any grid.

LIDC's readers were instructed to outline just outside the lesion, so the pixels of an outline do
not belong to it (Armato et al. 2011, Medical Physics 38, 915). On the slice's pixels, a mask is the
inside of the polygon without the outline. On another grid the outline keeps the width of a pixel: a
point belongs to the lesion if it is inside the polygon and more than half a pixel of the slice from
the outline. At native resolution both are equal; on a finer grid the edge is smooth and the area
unbiased, unlike a resampled mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.outlines import Annotation, Polygon

CONVENTION = (
    "the outline's own pixels do not belong to the lesion: a point belongs to it if it lies inside "
    "the outline and further than half a pixel of the original slice from it"
)

HALF_WIDTH = 0.5  # of the outline, original pixels


def rasterise(
    annotations: Sequence[Annotation], origin_x: float, origin_y: float, step: float, size: int
) -> NDArray[np.bool_]:
    """Return the annotations' masks on a square grid, (annotations, size, size).

    An outline consists of its pixels and the steps between neighbouring ones (of eight); a longer
    step is a gap, of which only the end points count. Inclusions are added one by one without
    their outlines; then exclusions are removed with their outlines. With `step=1` and integer
    origins the result equals pylidc's `Annotation.boolean_mask` pixel for pixel.

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
    masks = np.zeros((len(annotations), size, size), dtype=bool)
    polygons = [polygon for a in annotations for polygon in (*a.inclusions, *a.exclusions)]
    edges = _Edges.of(polygons, origin_x, origin_y, step)
    window = edges.window(size)
    if window is None:
        return masks
    inside, outline = _inside(edges, window), _outline(edges, window)
    planes = zip(inside, outline, strict=True)
    for mask, annotation in zip(masks, annotations, strict=True):
        part = mask[
            window.row : window.row + window.rows, window.column : window.column + window.columns
        ]
        for _ in annotation.inclusions:
            filled, drawn = next(planes)
            part[...] = (part | filled) & ~drawn
        for _ in annotation.exclusions:
            filled, drawn = next(planes)
            part &= ~(filled | drawn)
    return masks


class _Window(NamedTuple):
    """The part of the grid that polygons can touch."""

    row: int
    rows: int
    column: int
    columns: int


@dataclass(frozen=True)
class _Edges:
    """The edges of closed polygons, one after the other."""

    polygons: int
    polygon: NDArray[np.int64]  # (edges,) number of each edge's polygon
    start: NDArray[np.floating]  # (edges, 2): x (column), y (row), points of the grid
    end: NDArray[np.floating]  # (edges, 2)
    steps: NDArray[np.int32]  # (edges, 2) from start to end, pixels of the slice
    step: float  # of the grid, pixels of the slice

    @classmethod
    def of(cls, polygons: list[Polygon], origin_x: float, origin_y: float, step: float) -> Self:
        lengths = np.array([len(polygon) for polygon in polygons])
        points = np.concatenate(polygons)
        following = np.arange(1, len(points) + 1)
        ends = np.cumsum(lengths)
        following[ends - 1] = ends - lengths  # the last point is connected to the first
        start = (points - (origin_x, origin_y)) / step
        return cls(
            polygons=len(polygons),
            polygon=np.repeat(np.arange(len(polygons)), lengths),
            start=start,
            end=start[following],
            steps=points[following] - points,
            step=step,
        )

    def window(self, size: int) -> _Window | None:
        """Return the part of a grid that polygons and outlines can touch; None if there is none."""
        reach = HALF_WIDTH / self.step
        (left, top), (right, bottom) = self.start.min(axis=0), self.start.max(axis=0)
        column, row = max(int(np.ceil(left - reach)), 0), max(int(np.ceil(top - reach)), 0)
        columns = min(int(np.floor(right + reach)), size - 1) - column + 1
        rows = min(int(np.floor(bottom + reach)), size - 1) - row + 1
        return _Window(row, rows, column, columns) if rows > 0 and columns > 0 else None


def _inside(edges: _Edges, window: _Window) -> NDArray[np.bool_]:
    """Return which points are inside each polygon by the even-odd rule, (polygons, rows, columns).

    Edges cross the columns; a point is inside if an odd number of crossings is beyond it. A point
    on an edge is assigned as by Matplotlib's `Path.contains_points`, which pylidc uses.
    """
    rows, columns = window.rows, window.columns
    corner = (window.column, window.row)
    (x0, y0), (x1, y1) = (edges.start - corner).T, (edges.end - corner).T
    # an edge crosses the columns c with min(x0, x1) < c <= max(x0, x1)
    f0, f1 = np.floor(x0).astype(int) + 1, np.floor(x1).astype(int) + 1
    low, high = np.minimum(f0, f1), np.maximum(f0, f1)
    low, high = np.minimum(np.maximum(low, 0), columns), np.minimum(np.maximum(high, 0), columns)
    counts = high - low
    edge = np.repeat(np.arange(len(counts)), counts)
    column = np.arange(len(edge)) + np.repeat(low - np.cumsum(counts) + counts, counts)
    x1, y1, dx, dy = x1[edge], y1[edge], (x0 - x1)[edge], (y0 - y1)[edge]
    crossing = y1 + (column - x1) * dy / dx
    # the points before the crossing flip; a point on it flips if the edge goes upwards
    before = np.where(dx < 0, np.floor(crossing) + 1, np.ceil(crossing)).astype(int)
    row = np.minimum(np.maximum(before, 0), rows)
    at = (edges.polygon[edge] * (rows + 1) + row) * columns + column
    flips = np.bincount(at, minlength=edges.polygons * (rows + 1) * columns).astype(np.uint8)
    beyond = flips.reshape(-1, rows + 1, columns)[:, :0:-1].cumsum(axis=1, dtype=np.uint8)
    odd: NDArray[np.bool_] = (beyond[:, ::-1] & 1).view(bool)
    return odd


def _outline(edges: _Edges, window: _Window) -> NDArray[np.bool_]:
    """Return which points are within half a pixel of the slice of each outline, as `_inside`."""
    step, reach = edges.step, HALF_WIDTH / edges.step
    steps = edges.steps.copy()
    steps[np.abs(steps).max(axis=1) > 1] = 0  # a gap has no pixels between its ends
    # a square of grid points around each step, wide enough for a diagonal one
    first = np.ceil(edges.start + np.minimum(steps, 0) / step - reach).astype(int)
    points = first[:, :, None] + np.arange(int(1 / step + 2 * reach) + 1)
    off = (points - edges.start[:, :, None]) * step  # (edges, 2, width) pixels of the slice
    # `along`: position of the nearest point on the step, 0 to 1
    share = off * (steps / np.maximum((steps**2).sum(axis=1, keepdims=True), 1))[:, :, None]
    along = share[:, 1, :, None] + share[:, 0, None, :]  # (edges, y, x)
    along = np.minimum(np.maximum(along, 0), 1)
    off_x = off[:, 0, None, :] - along * steps[:, 0, None, None]
    off_y = off[:, 1, :, None] - along * steps[:, 1, None, None]
    points -= np.array([[window.column], [window.row]])
    within = (points >= 0) & (points < np.array([[window.columns], [window.rows]]))
    near = (off_x**2 + off_y**2 <= HALF_WIDTH**2) & within[:, 1, :, None] & within[:, 0, None, :]
    edge, y, x = np.nonzero(near)
    outline = np.zeros((edges.polygons, window.rows, window.columns), dtype=bool)
    outline[edges.polygon[edge], points[edge, 1, y], points[edge, 0, x]] = True
    return outline
