"""Binary NCC: correlation of the samples' disagreement with the graders' deviation from them.

    NCC = E_y[ ncc(E_s[CE(s_mean, s)], E_s[CE(y, s)]) ],   CE(a, b) = -sum over classes of a log b

(Baumgartner et al. 2019, PHiSeg, section 3): the correlation over pixels of the samples' expected
cross-entropy and that of a grader y, averaged over the graders; 1 at best.

In the paper, s is a sample's softmax; `sample.ncc` computes that score while samples are drawn.
Stored samples are binary and have infinite logarithms, so the score here uses the mean prediction
p = k / n, clipped to [1/2n, 1 - 1/2n]: it exists for every predictor, and its values are not
comparable with published ones. The first map is the entropy of p; the second is -log p where y
marks the pixel and -log(1 - p) elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.votes import Votes


def ncc(votes: Votes) -> NDArray[np.float64]:
    """Return the NCC (images,), from -1 to 1.

    NaN where the entropy is the same at every pixel, as for one sample or for equal samples.
    """
    n = votes.weighted or votes.pixels.shape[1] - 1
    p = np.clip(votes.share, 0.5 / n, 1 - 0.5 / n)
    exact = votes.weighted is None  # p reversed is 1 - p, to the last digit
    left_p = p[::-1] if exact else 1 - p
    marks, leaves = -np.log(p), -np.log(left_p)  # (n + 1,), by k, or (images, shares)
    entropy = p * marks + left_p * leaves
    # equal for p and 1 - p
    entropy = np.minimum(entropy, entropy[::-1]) if exact else entropy.round(12)

    # by image, share and grader: (images, n + 1, 1 or G)
    pixels, marked = votes.pixels[..., None], votes.marked
    left = pixels - marked
    total = pixels.sum(axis=1, keepdims=True)
    entropy, marks, leaves = entropy[..., None], marks[..., None], leaves[..., None]
    centred = entropy - (pixels * entropy).sum(axis=1, keepdims=True) / total
    mean = (marked * marks + left * leaves).sum(axis=1, keepdims=True) / total
    covariance = (centred * (marked * (marks - mean) + left * (leaves - mean))).sum(axis=1)
    variance = (pixels * centred**2).sum(axis=1)
    other = (marked * (marks - mean) ** 2 + left * (leaves - mean) ** 2).sum(axis=1)

    by_grader = np.full_like(covariance, np.nan)
    varies = _varies(votes.pixels, entropy[..., 0])[:, None]
    np.divide(covariance, np.sqrt(variance * other), out=by_grader, where=varies)
    mean_ncc: NDArray[np.float64] = by_grader.mean(axis=1)
    return mean_ncc


def _varies(pixels: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether the pixels (images, n + 1) of an image have several values.

    The values are (n + 1,), or those of each image.
    """
    exists = pixels > 0
    largest = np.where(exists, value, -np.inf).max(axis=1)
    smallest = np.where(exists, value, np.inf).min(axis=1)
    varies: NDArray[np.bool_] = largest > smallest
    return varies
