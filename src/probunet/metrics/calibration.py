"""Calibration of the samples' mean prediction: of the pixels given p, do graders mark a share p?

    ECE = sum over bins of (N_b / N) |mean prediction in b - share marked in b|

(Naeini et al. 2015; Guo et al. 2017, section 2) over the pixels of all graders: each grader's
answer at each pixel counts once. Bins are of equal width, and hold sums, so that the bins of many
images add up to those of a run.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.votes import Votes

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Sums over the pixels whose mean prediction lies in each bin of width 1 / `BINS`."""

    pixels: NDArray[np.int64]  # (..., bins), pixels times graders
    predicted: NDArray[np.float64]  # (..., bins), the sum of their mean predictions
    marked: NDArray[np.float64]  # (..., bins), how many of them the graders mark


def reliability(votes: Votes) -> Reliability:
    """Return the bins of each image, (images, bins)."""
    graders = votes.marked.shape[2]
    member = vote_bins(votes.pixels.shape[1] - 1)
    pixels = votes.pixels * graders
    return Reliability(
        pixels=pixels @ member,
        predicted=(pixels * votes.share) @ member,
        marked=(votes.marked.sum(axis=2) @ member).astype(np.float64),
    )


def vote_bins(n: int) -> NDArray[np.int64]:
    """Return 1 in (n + 1, bins) where k of n samples fall into a bin, else 0.

    Bin b holds b / bins <= k / n < (b + 1) / bins, the last one k = n too.
    """
    bins = np.minimum(np.arange(n + 1) * BINS // n, BINS - 1)  # exact, as k / n is not
    member: NDArray[np.int64] = (bins[:, None] == np.arange(BINS)).astype(np.int64)
    return member


def expected_calibration_error(bins: Reliability) -> NDArray[np.float64]:
    """Return ECE (...,) of bins (..., bins), from 0, calibrated, to 1; NaN without a pixel."""
    gap = np.abs(bins.predicted - bins.marked).sum(axis=-1)
    pixels = bins.pixels.sum(axis=-1)
    error = np.full(gap.shape, np.nan)
    np.divide(gap, pixels, out=error, where=pixels > 0)
    return error
