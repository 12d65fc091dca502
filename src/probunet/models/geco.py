"""GECO: minimise the KL under the constraint that the reconstruction is good enough.

    min over weights, max over lambda:  lambda (C - kappa K) + beta KL

C is the cross-entropy of K hard pixels, and kappa the largest mean cross-entropy allowed. The
multiplier lambda grows while the mean is larger than kappa, and shrinks while it is smaller
(Rezende and Viola 2018, "Taming VAEs", algorithm 1). Hard pixels are drawn with a probability
proportional to their cross-entropy (Kohl et al. 2019, appendix; Gumbel's trick).
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.models.noise import on_device


class Geco(nn.Module):
    """The constrained reconstruction; its state is the multiplier and a moving average.

    Parameters
    ----------
    kappa
        Mean cross-entropy of a hard pixel that is allowed, nats.
    hard
        Share of a batch's pixels that are drawn as hard pixels.
    decay
        Decay of the moving average of C - kappa K, which drives lambda.
    """

    average: Tensor

    def __init__(self, kappa: float, hard: float, decay: float) -> None:
        super().__init__()
        self.kappa, self.hard, self.decay = kappa, hard, decay
        self.register_buffer("average", torch.tensor(math.nan))  # NaN before the first batch
        # the multiplier is softplus(root)^2, as in the release; it starts at 1
        self.root = nn.Parameter(torch.tensor(math.log(math.expm1(1.0))))

    @property
    def multiplier(self) -> Tensor:
        """Return lambda, a scalar above zero."""
        return F.softplus(self.root).square()

    def forward(self, cross_entropy: Tensor, counted: Tensor, generator: Generator) -> Tensor:
        """Return lambda (C - kappa K) per image; its gradient makes gradient descent raise lambda.

        The value is that of the moving average, the gradient that of this batch.

        Parameters
        ----------
        cross_entropy : (B, pixels) float32
            Of each pixel, nats; 0 where the pixel is ignored.
        counted : (B, pixels) bool
            Pixels that are not ignored.
        """
        pixels, images = hard_pixels(cross_entropy, self.hard, generator), len(cross_entropy)
        cost = cross_entropy.flatten()[pixels].sum() / images
        allowed = self.kappa * counted.flatten()[pixels].sum() / images
        constraint = cost - allowed
        average = constraint + (self._averaged(constraint.detach()) - constraint).detach()
        multiplier = self.multiplier
        ascent = multiplier * average.detach()
        return multiplier.detach() * average - (ascent - ascent.detach())

    def _averaged(self, constraint: Tensor) -> Tensor:
        """Return the moving average after this batch, and keep it."""
        mixed = self.decay * self.average + (1 - self.decay) * constraint
        self.average = torch.where(self.average.isnan(), constraint, mixed)
        return self.average


def hard_pixels(cross_entropy: Tensor, share: float, generator: Generator) -> Tensor:
    """Return the flat indices of this share of all pixels, at least one.

    They are drawn without replacement, with a probability proportional to the cross-entropy.

    Parameters
    ----------
    cross_entropy : (B, pixels) float32
    """
    each = cross_entropy.detach().flatten()
    noise = torch.empty_like(each).exponential_(generator=on_device(generator, each.device))
    # the largest values of log(p) - log(exponential noise) are such a draw (Gumbel's trick)
    return (each.log() - noise.log()).topk(max(1, int(share * len(each)))).indices
