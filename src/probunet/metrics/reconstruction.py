"""Reconstruction IoU: does the latent space hold what a grader drew?

The model is shown image and mask, and segments at the mean of its posterior; the score is the IoU
with that mask, averaged over the graders. It bounds what samples of the prior can reach.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words


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
