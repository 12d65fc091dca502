"""Entropy of a model's samples: of their mean, and of each of them.

    H[m],  m = E_s[s]      entropy: all uncertainty
    E_s[H[s]]              expected entropy: what each sample leaves open
    H[m] - E_s[H[s]]       mutual information: what differs between samples

s is the softmax of a sample, H[p] = -sum over classes of p log p, in nats, averaged over the pixels
of an image (Kahl et al. 2024, ValUES, section 3; Depeweg et al. 2018). Stored samples have no
softmax, so this is computed while samples are drawn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.flips import IGNORE

Entropies = tuple[NDArray[np.float64], NDArray[np.float64]]


class SoftmaxEntropy:
    """The entropies of the first 1, 2, ... samples of a batch of images.

    Parameters
    ----------
    masks : (B, G, H, W) int64
        Class ids, of all graders; a pixel that any of them ignores has no part.
    """

    def __init__(self, masks: Tensor) -> None:
        self.scored = (masks != IGNORE).all(dim=1)  # (B, H, W)
        self.pixels = self.scored.sum(dim=(1, 2))  # (B,)
        self.mean: Tensor | float = 0.0  # sum over the samples, (B, classes, H, W)
        nothing = torch.zeros(len(masks), device=masks.device)
        self.within = nothing.double()  # sum of their entropies, (B,)
        self.weight = nothing  # sum of their weights, (B,)
        self.totals: list[Tensor] = []  # sums over the pixels, (B, 2) for each n

    def see(self, logits: Tensor, weights: Tensor | None = None) -> None:
        """Add a sample's logits (B, classes, H, W), with its weights (B,) if it has any."""
        logarithm = logits.float().log_softmax(dim=1)
        softmax = logarithm.exp()
        each = torch.ones_like(self.weight) if weights is None else weights
        self.weight = self.weight + each
        self.within = self.within + each * self._total(-(softmax * logarithm).sum(dim=1))
        self.mean = self.mean + each[:, None, None, None] * softmax
        mean = self.mean / self.weight[:, None, None, None]
        whole = self._total(-torch.xlogy(mean, mean).sum(dim=1))
        self.totals.append(torch.stack((whole, self.within / self.weight), dim=1))

    def result(self) -> Entropies | None:
        """Return entropy and expected entropy (B, n) each; None if no logits were seen.

        They are NaN without any scored pixel.
        """
        return _means(self.totals, self.pixels)

    def _total(self, entropy: Tensor) -> Tensor:
        """Return the sum over the scored pixels (B,) float64 of a map (B, H, W)."""
        return (entropy * self.scored).sum(dim=(1, 2), dtype=torch.float64)


def joined_entropy(parts: Sequence[SoftmaxEntropy]) -> Entropies | None:
    """Return the entropies (1, n) of one image, whose parts were seen as images of their own."""
    of_each_n = zip(*(part.totals for part in parts), strict=True)
    pixels = torch.cat([part.pixels for part in parts]).sum(dim=0, keepdim=True)
    return _means([torch.cat(of_n).sum(dim=0, keepdim=True) for of_n in of_each_n], pixels)


def _means(totals: Sequence[Tensor], pixels: Tensor) -> Entropies | None:
    if not totals:
        return None
    values: NDArray[np.float64] = (
        (torch.stack([*totals], dim=1) / pixels[:, None, None]).cpu().numpy()
    )
    return values[..., 0], values[..., 1]
