"""NCC as published: do a model's samples disagree where the graders disagree with them?

    NCC_y = ncc(E_s[CE(m, s)], E_s[CE(y, s)]),   CE(a, s) = -sum over classes of a log(s + 1e-8)

s is the softmax of a sample, m the mean of all, y a grader's mask, one-hot, and ncc the correlation
over pixels (Baumgartner et al. 2019, PHiSeg, section 3, and its released code). The published score
of an image is the mean over its graders. Samples with weights count by them in both means.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.flips import IGNORE

_EPSILON = 1e-8  # of the released code


class Moments(NamedTuple):
    """What the correlation of a map with those of graders depends on, of B images."""

    pixels: Tensor  # (B, 1)
    mean: Tensor  # (B, 1)
    mean_of: Tensor  # (B, G), of the graders' maps
    length: Tensor  # (B, 1), root of the summed squares of what differs from the mean
    length_of: Tensor  # (B, G)
    together: Tensor  # (B, G), sum of the products

    @property
    def correlation(self) -> Tensor:
        """The correlation (B, G); 0 / 0, of a constant map, is NaN."""
        return self.together / (self.length * self.length_of)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the moments of one image, of which all images of these are parts (Chan 1979)."""
        pixels, mean, mean_of, length, length_of, together = map(
            torch.cat, zip(*parts, strict=True)
        )
        seen = pixels[:, 0] > 0
        whole = pixels.sum(dim=0, keepdim=True)

        def total(values: Tensor) -> Tensor:
            return values[seen].sum(dim=0, keepdim=True)

        middle, middle_of = (total(pixels * one) / whole for one in (mean, mean_of))
        off, off_of = mean - middle, mean_of - middle_of
        return cls(
            whole,
            middle,
            middle_of,
            total(length**2 + pixels * off**2).sqrt(),
            total(length_of**2 + pixels * off_of**2).sqrt(),
            total(together + pixels * off * off_of),
        )


class SoftmaxNcc:
    """The NCC of the first 1, 2, ... samples of a batch of images with each grader.

    Per pixel it keeps two sums over the samples, of the softmax and of its logarithm, and no
    sample.

    Parameters
    ----------
    masks : (B, G, H, W) int64
        Class ids, of all graders; a pixel that any of them ignores has no part.
    """

    def __init__(self, masks: Tensor) -> None:
        ignored = (masks == IGNORE).any(dim=1)  # (B, H, W)
        self.scored = ~ignored if bool(ignored.any()) else None
        self.masks = masks.masked_fill(masks == IGNORE, 0)  # any class: not compared
        self.places: Tensor | None = None  # of the masks' classes in a flat (B, classes, H, W)
        self.softmax: Tensor | float = 0.0  # sum over the samples, (B, classes, H, W) float64
        self.logarithm: Tensor | float = 0.0  # sum over the samples, (B, classes, H, W) float64
        self.weight: Tensor | float = 0.0  # sum of their weights, if any, (B, 1, 1, 1)
        self.moments: list[Moments] = []  # for each n

    def see(self, logits: Tensor, weights: Tensor | None = None) -> None:
        """Add a sample's logits (B, classes, H, W), with its weights (B,) if it has any."""
        softmax = logits.double().contiguous().softmax(dim=1)
        logarithm = (softmax + _EPSILON).log()
        each = None if weights is None else weights.double()[:, None, None, None]
        if each is not None:
            softmax, logarithm = each * softmax, each * logarithm
        self.softmax = self.softmax + softmax
        self.logarithm = self.logarithm + logarithm
        # sums in place of means, and no minus signs: neither changes a correlation
        expected = (self.softmax * self.logarithm).sum(dim=1, keepdim=True)
        if self.places is None:
            self.places = _places(self.masks, logits.shape[1])
        met = self.logarithm.flatten().index_select(0, self.places)  # 20 times faster than gather
        met = met.view(self.masks.shape)
        if each is not None:  # the sums of the tiles of one image would have different scales
            self.weight = self.weight + each
            expected, met = expected / self.weight**2, met / self.weight
        self.moments.append(_moments(expected, met, self.scored))

    def result(self) -> NDArray[np.float64] | None:
        """Return the NCC (B, n, G), NaN where a map is constant; None if no logits were seen."""
        return _stacked(self.moments)


def joined_ncc(parts: Sequence[Sequence[Moments]]) -> NDArray[np.float64] | None:
    """Return the NCC (1, n, G) of one image, whose parts were seen as images of their own."""
    return _stacked([Moments.joined(of_n) for of_n in zip(*parts, strict=True)])


def _stacked(moments: Sequence[Moments]) -> NDArray[np.float64] | None:
    if not moments:
        return None
    values: NDArray[np.float64] = torch.stack([one.correlation for one in moments], 1).cpu().numpy()
    return values


def _places(masks: Tensor, classes: int) -> Tensor:
    """Return where a flat (B, classes, H, W) has the class of each pixel of (B, G, H, W) masks."""
    batch, _, height, width = masks.shape
    places = torch.arange(batch * classes * height * width, device=masks.device)
    return places.view(batch, classes, height, width).gather(1, masks).flatten()


def _moments(some: Tensor, others: Tensor, scored: Tensor | None = None) -> Moments:
    """Return the moments over the pixels of maps (B, 1, H, W) and (B, G, H, W).

    Only the `scored` ones (B, H, W) count; None stands for all.
    """
    if scored is not None:  # images differ in their number of pixels
        parts = zip(some, others, scored, strict=True)
        by_image = [_moments(a[None, :, of, None], b[None, :, of, None]) for a, b, of in parts]
        return Moments._make(torch.cat(values) for values in zip(*by_image, strict=True))
    some, others = (one.flatten(2) for one in (some, others))
    mean, mean_of = (one.mean(dim=2, keepdim=True) for one in (some, others))
    pixels = torch.full_like(mean[..., 0], some.shape[2])
    some, others = some - mean, others - mean_of
    together = (others @ some.mT).squeeze(2)
    length, length_of = some.norm(dim=2), others.norm(dim=2)
    return Moments(pixels, mean.squeeze(2), mean_of.squeeze(2), length, length_of, together)
