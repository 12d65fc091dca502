"""Transport of the graders' mass to a model's samples, as MoSE's loss needs it.

Graders have equal weights, which add up to 1. A sample takes at most the share gamma. The released
code's greedy rule: graders in the order of their distance to the nearest sample, each of which
gives its mass to the nearest samples that have room (Gao et al. 2023, appendix, and its code). With
gamma = 1 each grader's mass goes to the nearest sample, which is the best transport.
"""

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def transport(costs: Tensor, there: Tensor, limit: Tensor) -> Tensor:
    """Return the mass (B, G, N) that goes from each grader to each sample.

    All of it arrives if N times the limit is at least 1.

    Parameters
    ----------
    costs : (B, G, N)
        Of a grader and a sample.
    there : (B, G) bool
        Which graders an image has; the others have no mass.
    limit : ()
        gamma, the largest mass of a sample.
    """
    images, _, samples = costs.shape
    mass = there.to(costs.dtype) / there.sum(dim=1, keepdim=True).clamp(min=1)
    nearest = costs.amin(dim=2).masked_fill(~there, math.inf)
    order = nearest.argsort(dim=1, stable=True)
    room = limit.to(costs.dtype).expand(images, samples)
    masses = torch.zeros_like(costs)
    for i in range(order.shape[1]):
        turn = order[:, i : i + 1]  # (B, 1)
        grader = turn[..., None].expand(-1, -1, samples)  # (B, 1, N)
        by_cost = costs.gather(1, grader)[:, 0].argsort(dim=1, stable=True)
        left = room.gather(1, by_cost)
        before = left.cumsum(dim=1) - left
        taken = (mass.gather(1, turn) - before).clamp(min=0).minimum(left)
        given = torch.zeros_like(room).scatter(1, by_cost, taken)
        room = room - given
        masses.scatter_(1, grader, given[:, None])
    return masses


class Limit(nn.Module):
    """gamma: `start`, and 1 once the loss stands still.

    Its state is in buffers, so that a resumed training goes on with it. No value is read from the
    device.

    Parameters
    ----------
    patience
        Steps after which gamma is 1 unless the loss's moving average reached a new lowest value.
    """

    average: Tensor
    lowest: Tensor
    waited: Tensor

    def __init__(self, start: float, patience: int, decay: float = 0.99) -> None:
        super().__init__()
        self.start, self.patience, self.decay = start, patience, decay
        self.register_buffer("average", torch.tensor(math.nan))  # NaN before the first step
        self.register_buffer("lowest", torch.tensor(math.nan))
        self.register_buffer("waited", torch.tensor(0))  # steps since then

    @property
    def value(self) -> Tensor:
        """Return gamma, a scalar."""
        return torch.where(self.waited < self.patience, self.start, 1.0)

    def see(self, loss: Tensor) -> None:
        """Take note of a step's loss."""
        mixed = self.decay * self.average + (1 - self.decay) * loss
        self.average = torch.where(self.average.isnan(), loss, mixed)
        lower = ~(self.average >= self.lowest)  # the first one, too
        self.lowest = torch.where(lower, self.average, self.lowest)
        again = lower & (self.waited < self.patience)
        self.waited = torch.where(again, 0, self.waited + 1)
