"""Distances between samples and the modes of an image of Cityscapes.

    d(a, b) = 1 - mean over classes c in a or b of |a_c and b_c| / |a_c or b_c|

over the ten classes that the flips concern, five by two names; a class that is in neither has no
part in the mean (Kohl et al. 2018, section 3.2). Two samples with none of the ten are alike, d = 0.
An image whose label has none of the five classes is left out: all its distances are NaN.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import MODES
from probunet.metrics.distances import Distances
from probunet.metrics.overlaps import Overlaps, overlaps


def mode_distances(
    samples: NDArray[np.uint8], labels: NDArray[np.uint8], cpus: int | None = None
) -> Distances:
    """Return all pairs' distances, image by image; `graders` are the modes in order of `MODES`.

    Parameters
    ----------
    samples
        Class ids (images, n, H, W).
    labels
        Train ids (images, H, W), classes by their first names; 255: no part.
    cpus
        Threads; all CPUs that the process may use, unless given.

    Raises
    ------
    ValueError
        If the two do not agree in images, height and width.
    """
    return distances_of(overlaps(samples, labels, cpus))


def distances_of(shared: Overlaps) -> Distances:
    """Return the distances that overlaps amount to."""
    samples, between = _within(shared), _between(shared)
    left_out = ~shared.present.any(axis=1)
    samples[left_out] = between[left_out] = np.nan
    return Distances(samples, between, between_modes(shared.present))


def between_modes(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distances (images, modes, modes) between modes; present: (images, 5).

    Of P classes present, h go by another name: P - h classes agree, and 2 h stand on one side
    only, which makes d = 1 - (P - h) / (P + h).
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
    alike = np.divide(iou, classes, out=np.ones_like(iou), where=classes > 0)
    distance: NDArray[np.float64] = 1 - alike
    return distance


def _between(shared: Overlaps) -> NDArray[np.float64]:
    """Return the distances (images, n, modes) of samples from modes.

    IoUs and classes add up over the five classes, and what one of them adds depends only on the
    name that the mode has for it.
    """
    areas = shared.areas  # (images, 2, 5, n)
    union = areas + shared.pixels[:, None, :, None] - shared.label  # with a mode of that name
    iou = _ratio(shared.label, union)
    classes = (union > 0).astype(np.int64) + (areas[:, ::-1] > 0)  # that name, and the other one
    name = MODES.astype(np.int64)  # (modes, 5)
    k = np.arange(name.shape[1])
    # (images, modes, 5, n), in the same order for all modes: those that coincide are equal
    total, count = iou[:, name, k].sum(axis=2), classes[:, name, k].sum(axis=2)
    return (1 - _ratio(total, count)).swapaxes(1, 2)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole, and 0 where there is no whole."""
    out = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    np.divide(part, whole, out=out, where=whole > 0)
    return out
