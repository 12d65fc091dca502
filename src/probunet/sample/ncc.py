"""NCC as published: do a model's samples disagree where the graders disagree with them?

    NCC_y = ncc(E_s[CE(m, s)], E_s[CE(y, s)]),   CE(a, s) = -sum over classes of a log(s + 1e-8)

s is the softmax of a sample, m the mean of all, y a grader's mask, one-hot, and ncc the correlation
over pixels (Baumgartner et al. 2019, PHiSeg, section 3, and its released code). The published score
of an image is the mean over its graders.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_EPSILON = 1e-8  # of the released code


class SoftmaxNcc:
    """The NCC of the first 1, 2, ... samples of a batch of images with each grader.

    Per pixel it keeps two sums over the samples, of the softmax and of its logarithm, and no
    sample.

    Parameters
    ----------
    masks : (B, G, H, W) int64
        Class ids, of all graders.
    """

    def __init__(self, masks: Tensor) -> None:
        self.masks = masks
        self.places: Tensor | None = None  # of the masks' classes in a flat (B, classes, H, W)
        self.softmax: Tensor | float = 0.0  # sum over the samples, (B, classes, H, W) float64
        self.logarithm: Tensor | float = 0.0  # sum over the samples, (B, classes, H, W) float64
        self.values: list[Tensor] = []  # (B, G) for each n

    def see(self, logits: Tensor) -> None:
        """Add a sample's logits (B, classes, H, W)."""
        softmax = logits.double().contiguous().softmax(dim=1)
        self.softmax = self.softmax + softmax
        self.logarithm = self.logarithm + (softmax + _EPSILON).log()
        # sums in place of means, and no minus signs: neither changes a correlation
        expected = (self.softmax * self.logarithm).sum(dim=1, keepdim=True)
        if self.places is None:
            self.places = _places(self.masks, logits.shape[1])
        met = self.logarithm.flatten().index_select(0, self.places)  # 20 times faster than gather
        self.values.append(_correlation(expected, met.view(self.masks.shape)))

    def result(self) -> NDArray[np.float64] | None:
        """Return the NCC (B, n, G), NaN where a map is constant; None if no logits were seen."""
        if not self.values:
            return None
        values: NDArray[np.float64] = torch.stack(self.values, dim=1).cpu().numpy()
        return values


def _places(masks: Tensor, classes: int) -> Tensor:
    """Return where a flat (B, classes, H, W) has the class of each pixel of (B, G, H, W) masks."""
    batch, _, height, width = masks.shape
    places = torch.arange(batch * classes * height * width, device=masks.device)
    return places.view(batch, classes, height, width).gather(1, masks).flatten()


def _correlation(some: Tensor, others: Tensor) -> Tensor:
    """Return the correlation over the pixels of maps (B, 1 or G, H, W): (B, G)."""
    some, others = (one.flatten(2) for one in (some, others))
    some, others = (one - one.mean(dim=2, keepdim=True) for one in (some, others))
    together: Tensor = (others @ some.mT).squeeze(2)
    lengths: Tensor = some.norm(dim=2) * others.norm(dim=2)
    return together / lengths  # 0 / 0, of a constant map, is NaN
