"""Area under the risk-coverage curve (AURC): does a predictor know which images it segments badly?

    AURC = 1/N sum over k of the mean risk of the k images of greatest confidence
    E-AURC = AURC - that of the best order, by the risk itself

(Geifman et al. 2019; Kahl et al. 2024, ValUES, for segmentation). Here, risk is 1 - Dice of the
samples' mean, and confidence is low where an uncertainty is high. Images of equal confidence have
no order: the mean over all of their orders is taken.
"""

import numpy as np
from numpy.typing import NDArray


def aurc(risk: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> float:
    """Return the AURC of images with this risk and uncertainty (images,); NaN if there is none.

    Images without either have no part.
    """
    known = ~(np.isnan(risk) | np.isnan(uncertainty))
    if not known.any():
        return float("nan")
    _, place, ties = np.unique(uncertainty[known], return_inverse=True, return_counts=True)
    # in the place of each risk, the mean of those of equal uncertainty
    means = np.bincount(place, risk[known]) / ties
    ordered = means.repeat(ties)
    return float((ordered.cumsum() / np.arange(1, len(ordered) + 1)).mean())


def excess_aurc(risk: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> float:
    """Return the E-AURC, 0 at best."""
    known = np.where(np.isnan(uncertainty), np.nan, risk)
    return aurc(risk, uncertainty) - aurc(known, known)
