"""Distances between samples and the modes of an image of Cityscapes.

    d(a, b) = 1 - mean over classes c in a or b of |a_c and b_c| / |a_c or b_c|

over the ten classes of the flips, five with two names each (Kohl et al. 2018, section 3.2). Two
samples without any of the ten have d = 0. An image whose label contains none of the five classes
has no scores: its distances are NaN.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.flips import MODES
from probunet.metrics.distances import Distances
from probunet.metrics.overlaps import Overlaps, overlaps


def mode_distances(samples: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Distances:
    """Return the distances between samples and modes, in the order of `MODES`.

    Samples are class ids (images, n, H, W), labels train ids (images, H, W); 255 is not scored.
    """
    return distances_of(overlaps(samples, labels))


def distances_of(shared: Overlaps) -> Distances:
    """Return the distances that follow from overlaps."""
    samples, between = _within(shared), _between(shared)
    without_scores = ~shared.present.any(axis=1)
    samples[without_scores] = between[without_scores] = np.nan
    return Distances(samples, between, between_modes(shared.present))


def between_modes(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distances (images, modes, modes) between modes; present: (images, 5) bool.

    If h of P present classes have different names in two modes, P - h classes are equal and 2 h
    exist in one mode only: d = 1 - (P - h) / (P + h).
    """
    differs = (MODES[:, None] != MODES).astype(np.int64)  # (modes, modes, 5)
    h = np.einsum("mnk,ik->imn", differs, present.astype(np.int64))
    distance = _ratio(2 * h, present.sum(axis=1)[:, None, None] + h)
    distance[~present.any(axis=1)] = np.nan
    return distance


def _within(shared: Overlaps) -> NDArray[np.float64]:
    """Return the distances (images, n, n) between samples."""
    areas = shared.areas
    union = areas[..., :, None] + areas[..., None, :] - shared.samples
    iou = _ratio(shared.samples, union).sum(axis=(1, 2))
    classes = (union > 0).sum(axis=(1, 2))
    mean_iou = np.divide(iou, classes, out=np.ones_like(iou), where=classes > 0)
    distance: NDArray[np.float64] = 1 - mean_iou
    return distance


def _between(shared: Overlaps) -> NDArray[np.float64]:
    """Return the distances (images, n, modes) between samples and modes.

    The sums over the five classes have terms that depend only on the mode's name for the class.
    """
    areas = shared.areas  # (images, 2, 5, n)
    union = areas + shared.pixels[:, None, :, None] - shared.label  # for modes with this name
    iou = _ratio(shared.label, union)
    classes = (union > 0).astype(np.int64) + (areas[:, ::-1] > 0)  # this name, and the other one
    name = MODES.astype(np.int64)  # (modes, 5)
    k = np.arange(name.shape[1])
    # (images, modes, 5, n); the order of summation is the same for all modes
    total, count = iou[:, name, k].sum(axis=2), classes[:, name, k].sum(axis=2)
    return (1 - _ratio(total, count)).swapaxes(1, 2)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole, and 0 where the whole is 0."""
    out = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    np.divide(part, whole, out=out, where=whole > 0)
    return out
