"""Hungarian-matched IoU: how well samples and graders pair off one to one.

Both sets are repeated to the least common multiple of their sizes and matched at the least total
1 - IoU; the score is the mean IoU of the matched pairs, 1 at best.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from probunet.metrics.distances import Distances


def matched_iou(pairs: Distances, n: int) -> NDArray[np.float64]:
    """Return HM-IoU (images,) of the first `n` samples against the graders.

    Two empty masks have IoU 1.
    """
    between = pairs.between[:, :n]
    graders = between.shape[2]
    size = math.lcm(n, graders)
    cost = between.repeat(size // n, axis=1).repeat(size // graders, axis=2)
    return np.array([1 - image[linear_sum_assignment(image)].mean() for image in cost])
