"""Images with binary masks of several graders, as the report shows them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import pack, unpack
from probunet.metrics.distances import distances
from probunet.pictures.encode import one_bit
from probunet.pictures.view import View

OFTEN = 0.25  # share of samples whose mark is worth enlarging: stray pixels are rarer

Masks = NDArray[np.bool_]  # (m, H, W)
Box = tuple[int, int, int, int]  # left, top, right and bottom, pixels


class ShownMasks:
    """What `view.Shown` asks for that does not depend on the data set."""

    def drawn(
        self, view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Return packed samples (n, bytes) and the deterministic mask (bytes,) as PNGs."""
        height, width = view.arrays["truth"].shape[1:]
        masks, single = unpack(samples, height, width), unpack(deterministic[None], height, width)
        often = masks.mean(axis=0, keepdims=True) >= OFTEN
        return {
            "samples": stacked(masks),
            "deterministic": stacked(single),
            "box": box(np.concatenate((often, single))),
        }


def view_masks(masks: Masks, graders: Sequence[int], **known: Any) -> View:
    """Return the view of an image with these graders' masks; `known` are its other fields."""
    return View(
        area=float(masks.sum() / len(masks)),
        disagreement=disagreement(masks),
        truth=stacked(masks),
        graders=graders,
        box=box(masks),
        arrays={"truth": masks},
        **known,
    )


def stacked(masks: Masks) -> str:
    """Return masks (m, H, W), one below the other, as a PNG of one bit a pixel."""
    return one_bit(masks.reshape(-1, masks.shape[-1]))


def squared(planes: NDArray[Any]) -> NDArray[Any]:
    """Return planes (..., H, W) as squares, with zeros on the right or below."""
    height, width = planes.shape[-2:]
    side = max(height, width)
    beyond = [(0, 0)] * (planes.ndim - 2) + [(0, side - height), (0, side - width)]
    return np.pad(planes, beyond)


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
