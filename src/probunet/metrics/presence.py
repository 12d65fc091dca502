"""Is there a lesion at all? Calibration and Brier score of the share of samples that mark one.

    p = share of samples that mark a pixel,   y = whether a grader marks a pixel

Each grader of each image counts once. The bins are those of `metrics.calibration`, over images in
place of pixels; the Brier score is the mean of (p - y)^2 over graders.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.calibration import BINS, Reliability
from probunet.metrics.sample_weights import mean_over_samples
from probunet.metrics.seen import Seen, Values

_EQUAL = 1e-9  # shares that differ by less are equal: 3/10 is in the bin from .3


def presence_brier(seen: Seen) -> Values:
    """Return the Brier score of the presence (images,), 0 at best."""
    predicted, marked = _shares(seen)
    score: Values = predicted**2 - 2 * predicted * marked + marked
    return score


def presence_reliability(seen: Seen) -> Reliability:
    """Return the bins (images, bins) of each image: graders in place of pixels."""
    predicted, marked = _shares(seen)
    bins = np.minimum((predicted * BINS + _EQUAL).astype(np.int64), BINS - 1)
    graders = seen.grader_areas.shape[1] * (bins[:, None] == np.arange(BINS))
    return Reliability(graders, graders * predicted[:, None], graders * marked[:, None])


def _shares(seen: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares (images,) of samples and of graders that mark a pixel."""
    marked: NDArray[np.float64] = (seen.grader_areas > 0).mean(axis=1)
    return mean_over_samples(seen.sample_areas > 0, seen.weights), marked
