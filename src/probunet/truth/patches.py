"""Random patches of images that keep their own sizes, for training.

A patch is a window with a margin, as wide as its deformation can reach; so the deformed patch shows
the image itself up to its edge, whose pixels beyond it are padding (as in nnU-Net, Isensee et al.
2021). All places at which the patch without its margin lies within the image are equally likely; of
an image that is smaller than the patch, all that hold the whole image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.config import Augmentation, Size
from probunet.seeding import seed_of

# of an image by its number, and of rows and columns: (h, w, C) and its masks or labels (..., h, w)
ReadPart = Callable[[int, slice, slice], tuple[Tensor, ...]]
_ELASTIC = 4  # standard deviations of the elastic displacement within the margin


def margin_of(augmentation: Augmentation, side: int) -> int:
    """Return how far a deformation reaches beyond the edges of a patch, pixels.

    >>> margin_of(Augmentation(rotation=0, shear=0, scale=0, elastic=0), 128)
    0
    """
    angle = math.radians(min(augmentation.rotation, 45))
    turned = (math.cos(angle) + math.sin(angle)) * (1 + math.tan(math.radians(augmentation.shear)))
    factor = turned * (1 + augmentation.scale)
    return math.ceil((factor - 1) * side / 2 + _ELASTIC * augmentation.elastic)


@dataclass(frozen=True)
class Patches:
    """Windows around patches of one side."""

    extents: NDArray[np.int64]  # (images, 2), height and width
    side: int  # of a patch, pixels
    margin: int  # on each side of it, pixels
    beyond: float  # the value of an image's pixels beyond its edge
    outside: int  # that of its masks' or labels'

    @property
    def size(self) -> Size:
        """Height and width of a window."""
        return self.side + 2 * self.margin, self.side + 2 * self.margin

    def cut(self, read: ReadPart, seed: int, step: int, chosen: Tensor) -> tuple[Tensor, ...]:
        """Return windows of a step's images, (batch, h, w, C), and masks, (batch, ..., h, w)."""
        generator = Generator().manual_seed(seed_of(seed, "patch", step))
        shares = torch.rand(len(chosen), 2, generator=generator).tolist()
        both = zip(chosen.tolist(), shares, strict=True)
        windows = [self._window(read, k, *share) for k, share in both]
        image, truth = (torch.stack(parts) for parts in zip(*windows, strict=True))
        return image.movedim(1, -1), truth

    def _window(self, read: ReadPart, k: int, down: float, across: float) -> tuple[Tensor, Tensor]:
        """Return a window of image `k` at shares, 0 to 1, of its ranges: (C, h, w), (..., h, w)."""
        height, width = self.extents[k].tolist()
        rows, above = self._inner(height, down)
        columns, before = self._inner(width, across)
        image, truth = read(k, rows, columns)
        window = self._filled(image.movedim(-1, 0), above, before, self.beyond)
        return window, self._filled(truth, above, before, self.outside)

    def _inner(self, length: int, share: float) -> tuple[slice, int]:
        """Return which pixels of an image's side a window has, and how many are before them."""
        room = length - self.side
        start = min(0, room) + math.floor(share * (abs(room) + 1)) - self.margin
        first = max(start, 0)
        return slice(first, min(start + self.size[0], length)), first - start

    def _filled(self, maps: Tensor, above: int, before: int, value: float) -> Tensor:
        """Return maps (..., H, W) within a window (..., h, w) that has a value around them."""
        window = maps.new_full((*maps.shape[:-2], *self.size), value)
        height, width = maps.shape[-2:]
        window[..., above : above + height, before : before + width] = maps
        return window
