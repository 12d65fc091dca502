"""Label maps at another size: pixels are left out or repeated, never mixed."""

import numpy as np
from numpy.typing import NDArray


def thinned(classes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return every k-th row and column of class ids (H, W): about `width` columns, if it has more.

    The other rows and columns are left out.
    """
    every = max(1, round(classes.shape[1] / width))
    return classes[every // 2 :: every, every // 2 :: every]


def fitted(classes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return class ids (H, W) with about `width` columns: thinned, or each pixel repeated."""
    times = max(1, round(width / classes.shape[1]))
    return thinned(classes, width).repeat(times, axis=0).repeat(times, axis=1)
