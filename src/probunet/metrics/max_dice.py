"""Max Dice: the Dice coefficient of each grader and the best sample for this grader."""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.distances import Distances


def max_dice(pairs: Distances, n: int) -> NDArray[np.float64]:
    """Return the highest Dice of the first `n` samples, averaged over graders, (images,).

    One sample can be the best one for several graders. Dice is 2 (1 - d) / (2 - d) with d = 1 -
    IoU; two empty masks have Dice 1.
    """
    smallest = pairs.between[:, :n].min(axis=1)
    best: NDArray[np.float64] = dice(smallest).mean(axis=1)
    return best


def dice(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Dice coefficients of masks from their distances d = 1 - IoU."""
    return 2 * (1 - distance) / (2 - distance)
