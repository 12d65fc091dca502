"""Adaptive calibration error (ACE) of the samples' mean: ECE with equally many pixels per bin.

    ACE = 1/R sum over bins r of |mean prediction in r - share marked in r|,   R = 10

(Nixon et al. 2019): the pixels of an image are sorted by their prediction and divided
into R equal parts. Pixels of equal predictions are many, as n samples have n + 1 shares: if a bin
ends among them, each bin has its part of all of them.
"""

import numpy as np

from probunet.metrics.calibration import BINS
from probunet.metrics.seen import Values
from probunet.metrics.votes import Votes


def adaptive_calibration_error(votes: Votes) -> Values:
    """Return the ACE (images,), 0 at best and 1 at worst; NaN without pixels."""
    share = np.broadcast_to(votes.share, votes.pixels.shape)
    pixels = votes.pixels.astype(np.float64)
    total = pixels.sum(axis=1, keepdims=True)
    # places of the pixels of each share among all, from 0 to BINS
    end = BINS * np.divide(pixels.cumsum(axis=1), total, out=np.zeros_like(pixels), where=total > 0)
    start = np.concatenate((np.zeros_like(total), end[:, :-1]), axis=1)
    first = np.arange(BINS)
    inside = np.minimum(end[..., None], first + 1) - np.maximum(start[..., None], first)
    inside = inside.clip(min=0)  # (images, n + 1, bins), part of a bin
    marked = np.zeros_like(pixels)
    np.divide(votes.marked.mean(axis=2), pixels, out=marked, where=pixels > 0)
    gap = np.abs((inside * (share - marked)[..., None]).sum(axis=1)).mean(axis=1)
    error: Values = np.where(total[:, 0] > 0, gap, np.nan)
    return error
