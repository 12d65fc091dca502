"""NCC: does the samples' disagreement lie where the graders depart from the samples?

    NCC = E_y[ ncc(E_s[CE(s_mean, s)], E_s[CE(y, s)]) ],   CE(a, b) = -sum over classes of a log b

(Baumgartner et al. 2019, PHiSeg, section 3): the correlation over pixels between the cross-entropy
that the samples expect and the one that a grader y meets, averaged over the graders; 1 at best.

There, s is each sample's softmax. Stored samples are binary, their logarithm infinite, hence what
was chosen here: s is the mean prediction p = k / n, clipped to [1/2n, 1 - 1/2n], so that what no
sample shows counts as half a sample. The first map becomes the entropy of p, the second
-log p where y marks the pixel and -log(1 - p) elsewhere. Values do not compare with published ones.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.votes import Votes


def ncc(votes: Votes) -> NDArray[np.float64]:
    """Return NCC (images,), from -1 to 1.

    NaN where the samples' map is the same at every pixel, as it is for one sample or for equal
    ones: there is no correlation with a constant.
    """
    n = votes.pixels.shape[1] - 1
    likely = np.clip(votes.share, 0.5 / n, 1 - 0.5 / n)
    marks, leaves = -np.log(likely), -np.log(likely[::-1])  # (n + 1,), by k; 1 - p is p reversed
    entropy = likely * marks + likely[::-1] * leaves
    entropy = np.minimum(entropy, entropy[::-1])  # p and 1 - p alike to the last bit

    # sums over k, by image and grader: (images, n + 1, 1 or G)
    pixels, marked = votes.pixels[..., None], votes.marked
    left = pixels - marked
    total = pixels.sum(axis=1, keepdims=True)
    entropy, marks, leaves = entropy[:, None], marks[:, None], leaves[:, None]
    expected = entropy - (pixels * entropy).sum(axis=1, keepdims=True) / total
    met = (marked * marks + left * leaves).sum(axis=1, keepdims=True) / total
    covariance = (expected * (marked * (marks - met) + left * (leaves - met))).sum(axis=1)
    of_expected = (pixels * expected**2).sum(axis=1)
    of_met = (marked * (marks - met) ** 2 + left * (leaves - met) ** 2).sum(axis=1)

    by_grader = np.full_like(covariance, np.nan)
    varies = _varies(votes.pixels, entropy[:, 0])[:, None]  # and then each grader's map does too
    np.divide(covariance, np.sqrt(of_expected * of_met), out=by_grader, where=varies)
    mean_ncc: NDArray[np.float64] = by_grader.mean(axis=1)
    return mean_ncc


def _varies(pixels: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether an image's pixels (images, n + 1) have more than one value (n + 1,)."""
    there = pixels > 0
    most = np.where(there, value, -np.inf).max(axis=1)
    least = np.where(there, value, np.inf).min(axis=1)
    varies: NDArray[np.bool_] = most > least
    return varies
