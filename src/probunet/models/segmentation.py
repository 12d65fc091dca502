"""Convert logits to a likelihood and to class ids, and class ids to a network's input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probunet.flips import IGNORE
from probunet.models.base import See


class Logits(nn.Conv2d):
    """The convolution, usually 1x1, from features to logits; stays in float32 under autocast.

    It is a small part of the work, but bfloat16 here would cause most of the loss's error.
    """

    def __init__(self, features: int, outputs: int, size: int = 1) -> None:
        super().__init__(features, outputs, size, padding=size // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, H, W) float32 of features (B, features, H, W)."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of each image in nats, summed over its pixels: (B,) float32.

    Parameters
    ----------
    logits : (B, classes, H, W) float32
    mask : (B, H, W) int64
        Class ids; pixels of `IGNORE` do not count.
    """
    return cross_entropy_map(logits, mask).sum(dim=1)


def cross_entropy_map(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of each pixel, (B, H * W) float32; see `cross_entropy`."""
    pixels = logits.movedim(1, -1).flatten(0, 2)  # a view: channels come last in memory
    return pixelwise_cross_entropy(pixels, mask.flatten()).view(len(mask), -1)


def pixelwise_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of pixels (n, classes) whose class ids are (n,); 0 if `IGNORE`."""
    return F.cross_entropy(logits, mask, ignore_index=IGNORE, reduction="none")


def for_each_mask(x: Tensor, mask: Tensor) -> Tensor:
    """Return what images (B, ...) contribute to each of their masks, (B * G, ...).

    Parameters
    ----------
    x : (B, ...)
    mask : (B * G, H, W)
        The G masks of an image one after another.
    """
    each = len(mask) // len(x)
    return x if each == 1 else x[:, None].expand(-1, each, *x.shape[1:]).flatten(0, 1)


def most_likely(logits: Tensor, dim: int = 1) -> Tensor:
    """Return the class id of the largest logit along `dim`, uint8; the lowest id in a tie."""
    if logits.shape[dim] == 2:  # equal to argmax, also in a tie, and much faster
        return (logits.select(dim, 1) > logits.select(dim, 0)).to(torch.uint8)
    return logits.argmax(dim=dim).to(torch.uint8)


def sampled(logits: Tensor, see: See | None, dim: int = 1, weights: Tensor | None = None) -> Tensor:
    """Return the most likely classes of a sample's logits, and show the logits to `see`.

    `weights` (B,) are those of the sample, see `Hypotheses`.
    """
    if see is not None:
        see(logits.movedim(dim, 1), *(() if weights is None else (weights,)))
    return most_likely(logits, dim)


def as_input(mask: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return class ids (B, H, W) as the input of a posterior: one-hot - 0.5, (B, classes, H, W).

    A pixel of `IGNORE` has no class: -0.5 in every channel.
    """
    return one_hot(mask, classes, dtype) - 0.5


def one_hot(ids: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return class ids (B, H, W) as (B, classes, H, W); of another id, 0 in every channel."""
    return (ids[..., None] == torch.arange(classes, device=ids.device)).to(dtype).movedim(-1, 1)
