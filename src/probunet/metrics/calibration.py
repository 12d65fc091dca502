"""Expected calibration error (ECE) of the mean prediction of the samples.

    ECE = sum over bins of (N_b / N) |mean prediction in b - share marked in b|

(Naeini et al. 2015; Guo et al. 2017, section 2), over pixels and graders: each grader's label of
each pixel counts once. Bins have equal width and contain sums, so that the bins of several images
can be added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.votes import Votes

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Sums over the pixels in each of `BINS` bins of the mean prediction."""

    pixels: NDArray[np.int64]  # (..., bins), number of pixels times graders
    predicted: NDArray[np.float64]  # (..., bins), sum of the mean predictions
    marked: NDArray[np.float64]  # (..., bins), number of pixels that graders mark


def reliability(votes: Votes) -> Reliability:
    """Return the bins of each image, (images, bins)."""
    graders = votes.marked.shape[2]
    pixels = votes.pixels * graders
    if votes.weighted is not None:
        each = (votes.share * BINS).astype(np.int64).clip(max=BINS - 1)[..., None] == np.arange(
            BINS
        )
        marked = votes.marked.sum(axis=2)
        sums = (pixels, pixels * votes.share, marked.astype(np.float64))
        return Reliability(*(np.einsum("iv,ivb->ib", one, each) for one in sums))
    member = vote_bins(votes.pixels.shape[1] - 1)
    return Reliability(
        pixels=pixels @ member,
        predicted=(pixels * votes.share) @ member,
        marked=(votes.marked.sum(axis=2) @ member).astype(np.float64),
    )


def vote_bins(n: int) -> NDArray[np.int64]:
    """Return an array (n + 1, bins) that is 1 where k of n samples belong to a bin, else 0.

    Bin b contains b / bins <= k / n < (b + 1) / bins; the last bin contains k = n too.
    """
    bins = np.minimum(np.arange(n + 1) * BINS // n, BINS - 1)  # exact in integers
    member: NDArray[np.int64] = (bins[:, None] == np.arange(BINS)).astype(np.int64)
    return member


def expected_calibration_error(bins: Reliability) -> NDArray[np.float64]:
    """Return the ECE (...,) of bins (..., bins), 0 at best and 1 at worst; NaN without pixels."""
    gap = np.abs(bins.predicted - bins.marked).sum(axis=-1)
    pixels = bins.pixels.sum(axis=-1)
    error = np.full(gap.shape, np.nan)
    np.divide(gap, pixels, out=error, where=pixels > 0)
    return error


def total(bins: Sequence[Reliability]) -> Reliability:
    """Return the bins of all classes together."""
    names = ("pixels", "predicted", "marked")
    return Reliability(*(np.sum([getattr(one, name) for one in bins], axis=0) for name in names))


def calibration_columns(
    bins: Reliability,
    ece: str = "ece",
    names: Sequence[str] = ("bin_pixels", "bin_predicted", "bin_marked"),
) -> dict[str, object]:
    """Return the ECE and the bins of each image as columns of a table."""
    lists = (bins.pixels, bins.predicted, bins.marked)
    columns: dict[str, object] = {ece: expected_calibration_error(bins)}
    return columns | {name: list(of) for name, of in zip(names, lists, strict=True)}
