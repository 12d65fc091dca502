"""Brier score and negative log-likelihood (NLL) of the samples' mean p, over pixels and graders.

    Brier = mean of (p - y)^2,   NLL = mean of -log p where y marks the pixel, else -log(1 - p)

(Brier 1950; Gneiting and Raftery 2007, section 3). Both are lowest where p is the share of graders
that mark the pixel. A share of samples can be 0 or 1, so NLL clips p to [c, 1 - c], c = `CLIP`: the
same for each n, so that predictors compare.
"""

import numpy as np

from probunet.metrics.seen import Values
from probunet.metrics.votes import Votes

CLIP = 1e-3


def brier(votes: Votes) -> Values:
    """Return the Brier score (images,), 0 at best; NaN without pixels."""
    return _mean_loss(votes, (1 - votes.share) ** 2, votes.share**2)


def nll(votes: Votes) -> Values:
    """Return the NLL (images,) in nats; NaN without pixels."""
    share = np.clip(votes.share, CLIP, 1 - CLIP)
    return _mean_loss(votes, -np.log(share), -np.log(1 - share))


def _mean_loss(votes: Votes, marked_loss: Values, other_loss: Values) -> Values:
    """Return the mean over pixels and graders of losses by the mean prediction."""
    answers = votes.pixels * votes.marked.shape[2]
    marked = votes.marked.sum(axis=2)
    total = (marked * marked_loss + (answers - marked) * other_loss).sum(axis=1)
    mean = np.full(len(total), np.nan)
    count = answers.sum(axis=1)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
