"""Outlines of masks as SVG paths."""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

ZOOM_MARGIN = 10  # pixels around all masks
LEAST_ZOOM = 48  # pixels, the smallest side that is shown


def outline(mask: NDArray[np.bool_]) -> str:
    """Return a mask's outline as an SVG path, x and y in pixels; empty for an empty mask."""
    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):  # type: ignore[no-untyped-call]
        # a pixel's centre lies half a pixel from its corner, less the padding's pixel
        points = contour[:-1] - 0.5
        parts.append("M" + "L".join(f"{x:g} {y:g}" for y, x in points) + "Z")
    return "".join(parts)


def zoom_to(masks: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return left, top and side of a square that holds all masks (m, S, S), with a margin."""
    size = masks.shape[-1]
    rows, columns = np.nonzero(masks.any(axis=0))
    if len(rows) == 0:
        return 0, 0, size
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = int(np.clip(extent + 2 * ZOOM_MARGIN, min(LEAST_ZOOM, size), size))

    def start(indices: NDArray[np.int64]) -> int:
        middle = (indices.min() + indices.max() + 1) / 2
        return int(np.clip(round(middle - side / 2), 0, size - side))

    return start(columns), start(rows), side
