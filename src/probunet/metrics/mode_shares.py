"""How often samples take each mode, and each name of a class, against how often they should.

A sample is of the mode that it is nearest to; modes at one distance share it in proportion to
their probabilities, as those do that differ only in a class which the image does not have. Name by
name, pixels tell more: of those labelled with a class, how many does a sample call by its first
and by its second name (Kohl et al. 2018, section 4.2 and its figure of Cityscapes)?
"""

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import MODE_PROBABILITIES
from probunet.metrics.distances import Distances
from probunet.metrics.overlaps import Overlaps

EQUAL = 1e-12  # distances that rounding alone sets apart


def mode_shares(pairs: Distances, n: int) -> NDArray[np.float64]:
    """Return the share (images, modes) of the first `n` samples that are of each mode.

    NaN for an image that is left out, see `modes`.
    """
    between = pairs.between[:, :n]
    nearest = between <= between.min(axis=2, keepdims=True) + EQUAL
    weight = nearest * MODE_PROBABILITIES
    total = weight.sum(axis=2, keepdims=True)
    share = np.full_like(weight, np.nan)
    np.divide(weight, total, out=share, where=total > 0)
    shares: NDArray[np.float64] = share.mean(axis=1)
    return shares


def named_pixels(shared: Overlaps, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many sample pixels go by the first and by the second name, (images, 5) each.

    Of the pixels labelled with a class, in the first `n` samples; a pixel counts in each sample.
    """
    first, second = shared.label[..., :n].sum(axis=-1).swapaxes(0, 1)
    return first, second
