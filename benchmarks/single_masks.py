"""GED of a single mask per crop: what the best ones reach, and when an empty mask is better.

    GED^2 of one mask s = 2 E[d(s, Y)] - E[d(Y, Y')]

Only the first term depends on s, and d of an empty and another mask is 1. So an empty mask has
E[d] = r, the share of readers who outline a lesion, averaged over crops. A mask that is never empty
and has an IoU of q with the outlines has E[d] = 1 - r q: it is better only if q > (1 - r) / r.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import parser, prepared, with_crops, write
from probunet.datasets import open_data
from probunet.metrics.bits import Packed, pack, unpack_graders
from probunet.metrics.distances import Distances, distances
from probunet.metrics.ged import energy_distance
from probunet.truth.inputs import central

SIDE = 64  # of the scored central part, pixels
Values = NDArray[np.float64]
Masks = NDArray[np.bool_]


def main() -> None:
    arguments = with_crops(parser(__doc__))
    with tempfile.TemporaryDirectory() as folder:
        graders = graders_of(prepared(arguments.crops, Path(folder)))
    write(single_masks(graders), arguments.json)


def graders_of(store: Path) -> Masks:
    """Return all graders' masks (crops, graders, SIDE, SIDE) of a store, the central part."""
    data = open_data(store)
    return unpack_graders(central(np.asarray(data.masks[:]), (SIDE, SIDE)))


def single_masks(graders: Masks) -> dict[str, Any]:
    """Return the GED of several choices of one mask, over all crops and by number of outlines.

    Parameters
    ----------
    graders : (crops, graders, H, W)
        With two outlines of one crop at least.
    """
    packed, outlined = pack(graders), graders.any((2, 3))
    number, of = outlined.sum(1), graders.shape[1]
    votes = graders.sum(1, keepdims=True)
    most = votes.max((2, 3), keepdims=True)
    fixed = {
        "empty": votes > votes.max(),
        "marked by half of the readers": 2 * votes >= of,
        "marked by more than half": 2 * votes > of,
        "marked by any reader": votes >= 1,
        "marked by all readers": votes >= of,
        "marked by most, never empty": (2 * votes > of) | ((2 * most <= of) & (votes >= 1)),
    }
    found = {name: _ged(pack(mask), packed)[:, 0] for name, mask in fixed.items()}
    single = _ged(packed, packed)  # (crops, graders)
    found["one reader's"] = single.mean(1)
    drawn = np.where(outlined, single, 0).sum(1) / np.maximum(number, 1)
    found["one reader's outline, never empty"] = np.where(number > 0, drawn, single.mean(1))
    found["the best of these, crop by crop"] = np.min([*found.values(), *single.T], axis=0)
    share = float(outlined.mean())
    return {
        "crops": len(graders),
        "readers_with_an_outline": {str(k): float((number == k).mean()) for k in range(of + 1)},
        "share_of_readers_with_an_outline": share,
        "iou_at_which_a_mask_that_is_never_empty_equals_an_empty_one": (1 - share) / share,
        "iou_between_two_outlines": _iou_of_outlines(distances(packed, packed), outlined),
        "ged": {name: _by_number(ged, number, of) for name, ged in found.items()},
    }


def of_guesses(guesses: Packed, graders: Masks) -> dict[str, float]:
    """Return how a predictor's single masks (crops, bytes) stand to the readers' outlines.

    `expected_distance` is E[d], and `of_an_empty_mask` that of an empty one; `iou_with_outlines`
    is the mean over all outlines, with 0 where the guess is empty.
    """
    outlined = graders.any((2, 3))
    between = distances(guesses[:, None], pack(graders)).between[:, 0]
    return {
        "share_empty": float((guesses == 0).all(1).mean()),
        "iou_with_outlines": float((1 - between)[outlined].mean()),
        "expected_distance": float(between.mean()),
        "of_an_empty_mask": float(outlined.mean()),
    }


def _ged(masks: Packed, graders: Packed) -> Values:
    """Return the GED (crops, m) of each single one of masks (crops, m, bytes)."""
    each = [
        energy_distance(distances(one[:, None], graders), 1).ged for one in masks.swapaxes(0, 1)
    ]
    return np.stack(each, axis=1)


def _iou_of_outlines(pairs: Distances, outlined: NDArray[np.bool_]) -> float:
    """Return the mean IoU of two different readers' outlines of a crop, over all such pairs."""
    both = outlined[:, :, None] & outlined[:, None] & ~np.eye(outlined.shape[1], dtype=bool)
    return float((1 - pairs.graders)[both].mean())


def _by_number(ged: Values, number: NDArray[np.int64], of: int) -> dict[str, float]:
    """Return the mean over all crops, and over those with 1, 2, ... outlines."""
    parts = {
        str(k): float(ged[number == k].mean()) for k in range(1, of + 1) if (number == k).any()
    }
    return {"all": float(ged.mean())} | parts


if __name__ == "__main__":
    main()
