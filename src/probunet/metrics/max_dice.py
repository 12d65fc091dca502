"""Max Dice per grader: how well the best sample agrees with each grader."""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.distances import Distances


def max_dice(pairs: Distances, n: int) -> NDArray[np.float64]:
    """Return, per image, the best Dice among the first `n` samples, averaged over the graders.

    For each grader the sample of highest Dice is chosen anew, so that one sample may serve
    several. Dice follows from d = 1 - IoU as 2 (1 - d) / (2 - d) and falls with d; two empty masks
    have Dice 1.
    """
    least = pairs.between[:, :n].min(axis=1)
    dice: NDArray[np.float64] = (2 * (1 - least) / (2 - least)).mean(axis=1)
    return dice
