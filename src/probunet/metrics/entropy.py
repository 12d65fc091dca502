"""Entropy of the samples' mean p, averaged over the pixels of an image.

    H = mean over pixels of -p log p - (1 - p) log(1 - p)

in nats: how much the samples disagree. It exists for every predictor; `sample.entropy` computes
that of the softmax, and what of it is within each sample.
"""

import numpy as np

from probunet.metrics.seen import Values
from probunet.metrics.votes import Votes


def entropy(votes: Votes) -> Values:
    """Return the mean entropy (images,), from 0 to log 2; NaN without pixels."""
    share = votes.share
    of_share = -sum(p * np.log(p, out=np.zeros_like(p), where=p > 0) for p in (share, 1 - share))
    total, pixels = (votes.pixels * of_share).sum(axis=1), votes.pixels.sum(axis=1)
    mean = np.full(len(total), np.nan)
    np.divide(total, pixels, out=mean, where=pixels > 0)
    return mean
