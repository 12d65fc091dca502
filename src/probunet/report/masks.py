"""Binary masks in the explorer: what crops and images of one's own share."""

import math

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import pack, unpack
from probunet.metrics.distances import distances
from probunet.report.images import one_bit

OFTEN = 0.25  # share of the samples behind the part that is enlarged: not every stray pixel's

Masks = NDArray[np.bool_]  # (m, H, W)
Box = tuple[int, int, int, int]  # left, top, right and bottom, pixels


def stacked(masks: Masks) -> str:
    """Return masks (m, H, W), one below the other, as a PNG of one bit a pixel."""
    return one_bit(masks.reshape(-1, masks.shape[-1]))


def segmentations(
    samples: NDArray[np.uint8], deterministic: NDArray[np.uint8], size: tuple[int, int]
) -> dict[str, str | Box | None]:
    """Return packed samples (n, bytes) and the deterministic mask (bytes,) as PNGs."""
    masks, single = unpack(samples, *size), unpack(deterministic[None], *size)
    often = masks.mean(axis=0, keepdims=True) >= OFTEN
    return {
        "samples": stacked(masks),
        "deterministic": stacked(single),
        "box": box(np.concatenate((often, single))),
    }


def disagreement(masks: Masks) -> float:
    """Return E[d(Y, Y')] of graders' masks (G, H, W); NaN for a single one.

    >>> disagreement(np.array([[[1, 0]], [[0, 1]]], bool))
    0.5
    """
    if len(masks) < 2:
        return math.nan
    packed = pack(masks)[None]
    return float(distances(packed[:, :1], packed).graders.mean())


def box(masks: Masks) -> Box | None:
    """Return left, top, right and bottom of what any of the masks (m, H, W) marks.

    >>> box(np.array([[[0, 0, 0], [0, 1, 1]]], bool))
    (1, 1, 3, 2)
    """
    rows, columns = np.nonzero(masks.any(axis=0))
    if len(rows) == 0:
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
