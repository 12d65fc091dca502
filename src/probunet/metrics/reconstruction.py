"""Reconstruction IoU: how well the latent space represents the graders' masks.

The model segments at the mean of its posterior given image and mask; the score is the IoU of the
result and the mask, averaged over the graders. Samples of the prior can hardly exceed it. On
Cityscapes the mask is a flipped label, and the IoU is the mean over classes of `modes`.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words
from probunet.metrics.modes import mode_distances


def reconstruction_iou(reconstruction: Packed, graders: Packed) -> NDArray[np.float64]:
    """Return the mean IoU (images,) of packed masks (images, G, bytes) and their reconstructions.

    Two empty masks have IoU 1.
    """
    if reconstruction.shape != graders.shape:
        raise ValueError(
            f"reconstruction {reconstruction.shape} and graders {graders.shape} do not agree"
        )
    a, b = words(reconstruction), words(graders)
    common = np.bitwise_count(a & b).sum(axis=-1, dtype=np.int64)  # (images, G)
    either = np.bitwise_count(a | b).sum(axis=-1, dtype=np.int64)
    iou = np.divide(common, either, out=np.ones(common.shape), where=either > 0)
    mean: NDArray[np.float64] = iou.mean(axis=1)
    return mean


def scene_reconstruction_iou(
    reconstruction: NDArray[np.uint8],
    flipped: NDArray[np.uint8],
    labels: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """Return the mean IoU (images,) over classes of flipped labels and their reconstructions.

    All are (images, H, W): class ids, class ids and train ids. NaN for images without scores, see
    `metrics.modes`.
    """
    both = np.stack((reconstruction, flipped), axis=1)
    iou: NDArray[np.float64] = 1 - mode_distances(both, labels).samples[:, 0, 1]
    return iou
