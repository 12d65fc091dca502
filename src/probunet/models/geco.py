"""GECO: as little KL as goes with a reconstruction that is good enough.

    min over weights, max over lambda:  lambda (C - kappa K) + beta KL

C is the cross-entropy of K hard pixels, and kappa what each of them may cost at the most: the
multiplier lambda grows for as long as they cost more, and shrinks when they cost less (Rezende and
Viola 2018, "Taming VAEs", algorithm 1). Hard pixels are drawn, a pixel's chance being in proportion
to its cross-entropy (Kohl et al. 2019, appendix; Gumbel's trick).
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.models.noise import on_device


class Geco(nn.Module):
    """The constrained reconstruction; it keeps the multiplier and a moving average between steps.

    Parameters
    ----------
    kappa
        Cross-entropy that a hard pixel may have on average, nats.
    hard
        Share of a batch's pixels that are drawn as hard ones.
    decay
        Of the moving average of C - kappa K, by which lambda is moved.
    """

    average: Tensor

    def __init__(self, kappa: float, hard: float, decay: float) -> None:
        super().__init__()
        self.kappa, self.hard, self.decay = kappa, hard, decay
        self.register_buffer("average", torch.tensor(math.nan))  # until there is one
        # as in the release, the multiplier is softplus(root)^2, and 1 at the start
        self.root = nn.Parameter(torch.tensor(math.log(math.expm1(1.0))))

    @property
    def multiplier(self) -> Tensor:
        """Return lambda, a scalar above zero."""
        return F.softplus(self.root).square()

    def forward(self, cross_entropy: Tensor, counted: Tensor, generator: Generator) -> Tensor:
        """Return lambda (C - kappa K) per image, whose gradient lets lambda ascend.

        Its value is that of the moving average, its gradient that of this batch.

        Parameters
        ----------
        cross_entropy : (B, pixels) float32
            Of each pixel, 0 where it is ignored.
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
    """Return this share of all pixels, one at least, drawn without replacement: indices, flat.

    Each draw takes a pixel with a probability in proportion to its cross-entropy.
    """
    each = cross_entropy.detach().flatten()
    noise = torch.empty_like(each).exponential_(generator=on_device(generator, each.device))
    # the largest of log(p) - log(exponential noise) are such a draw (Gumbel's trick)
    return (each.log() - noise.log()).topk(max(1, int(share * len(each)))).indices
