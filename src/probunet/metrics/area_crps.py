"""Continuous ranked probability score (CRPS) of the area, averaged over graders, in pixels.

    CRPS(y) = E|A - a_y| - 1/2 E|A - A'|

A and A' are areas of samples, a_y that of a grader (Gneiting and Raftery 2007, equation 21; CURVAS
2024 scores volumes by it). Lowest where the samples have the graders' areas, each as often.
"""

import numpy as np

from probunet.metrics.sample_weights import mean_over_samples
from probunet.metrics.seen import Seen, Values


def area_crps(seen: Seen) -> Values:
    """Return the CRPS of the area (images,), pixels."""
    samples, graders = seen.sample_areas, seen.grader_areas
    apart = np.abs(samples[:, :, None] - graders[:, None]).mean(axis=2)  # (images, n)
    among = np.abs(samples[:, :, None] - samples[:, None])  # (images, n, n)
    within = mean_over_samples(mean_over_samples(among, seen.weights), seen.weights)
    return mean_over_samples(apart, seen.weights) - within / 2
