"""Masks as the scores of the registry see them."""

from probunet.metrics.bits import pack
from probunet.metrics.seen import Seen
from probunet.metrics.votes import votes
from support.masks import Masks


def seen_of(samples: Masks, graders: Masks) -> Seen:
    """Return what a score sees of masks (images, n, H, W) and (images, G, H, W)."""
    some, others = pack(samples), pack(graders)
    return Seen(some, others, votes(some, others, samples.shape[-1] * samples.shape[-2]))


def dice_of(a: Masks, b: Masks) -> float:
    """Return the Dice of two masks; two empty ones have 1."""
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0
