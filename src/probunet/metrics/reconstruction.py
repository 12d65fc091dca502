"""Reconstruction IoU: does the latent space hold what a grader drew?

The model is shown image and mask, and segments at the mean of its posterior; the score is the IoU
with that mask, averaged over the graders. It bounds what samples of the prior can reach. On
Cityscapes it is shown the label with its flips, and the IoU is the mean one of `modes`.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words
from probunet.metrics.modes import mode_distances


def reconstruction_iou(reconstruction: Packed, graders: Packed) -> NDArray[np.float64]:
    """Return the mean IoU (images,) of each grader's mask and its reconstruction.

    Two empty masks have IoU 1.

    Parameters
    ----------
    reconstruction, graders
        Packed masks (images, G, bytes), see `metrics.bits.pack`.

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    if reconstruction.shape != graders.shape:
        raise ValueError(f"{reconstruction.shape} reconstructed of {graders.shape}")
    a, b = words(reconstruction), words(graders)
    common = np.bitwise_count(a & b).sum(axis=-1, dtype=np.int64)  # (images, G)
    either = np.bitwise_count(a | b).sum(axis=-1, dtype=np.int64)
    iou = np.divide(common, either, out=np.ones(common.shape), where=either > 0)
    mean: NDArray[np.float64] = iou.mean(axis=1)
    return mean


def scene_reconstruction_iou(
    reconstruction: NDArray[np.uint8],
    shown: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    cpus: int | None = None,
) -> NDArray[np.float64]:
    """Return the mean IoU (images,) over the classes of what was shown and its reconstruction.

    NaN for an image that is left out, see `metrics.modes`.

    Parameters
    ----------
    reconstruction
        Class ids (images, H, W).
    shown
        The labels as they were flipped, (images, H, W).
    labels
        Train ids (images, H, W), classes by their first names; 255: no part.
    cpus
        Threads; all CPUs that the process may use, unless given.
    """
    both = np.stack((reconstruction, shown), axis=1)
    iou: NDArray[np.float64] = 1 - mode_distances(both, labels, cpus).samples[:, 0, 1]
    return iou
