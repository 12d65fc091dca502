"""Binary masks, packed: 8 pixels a byte, padded with zeros to whole 64-bit words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GRADERS = 4  # bits in use of a pixel of LIDC's masks
MOST_GRADERS = 8  # of images of one's own
Packed = NDArray[np.uint8]  # (..., bytes), bytes a multiple of 8


def pack(masks: NDArray[np.bool_]) -> Packed:
    """Return masks (..., H, W) packed to (..., bytes)."""
    *lead, height, width = masks.shape
    bits = np.packbits(masks.reshape(*lead, height * width), axis=-1)
    padding = -bits.shape[-1] % 8
    return np.pad(bits, [(0, 0)] * len(lead) + [(0, padding)])


def unpack(packed: Packed, height: int, width: int) -> NDArray[np.bool_]:
    """Return packed masks (..., bytes) as (..., H, W)."""
    bits = np.unpackbits(packed, axis=-1, count=height * width)
    return bits.reshape(*packed.shape[:-1], height, width).astype(bool)


def pack_graders(masks: NDArray[np.uint8], graders: Sequence[int] = range(GRADERS)) -> Packed:
    """Return masks (images, H, W), bit g = grader g, as (images, graders, bytes)."""
    return pack(unpack_graders(masks, graders))


def unpack_graders(
    masks: NDArray[np.uint8], graders: Sequence[int] = range(GRADERS)
) -> NDArray[np.bool_]:
    """Return masks (images, H, W), bit g = grader g, as (images, graders, H, W)."""
    return np.stack([(masks >> grader & 1).astype(bool) for grader in graders], axis=1)


def bits_of(number: int) -> list[int]:
    """Return which bits of a number are set.

    >>> bits_of(0b1011)
    [0, 1, 3]
    """
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def words(packed: Packed) -> NDArray[np.uint64]:
    """Return packed masks (..., bytes) as 64-bit words (..., bytes / 8), without a copy."""
    return np.ascontiguousarray(packed).view(np.uint64)


def intersections(masks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the pixels (m, m) that each two of the masks (m, words) share; areas are diagonal.

    Each pair is intersected once, by counting bits, in those words alone in which any mask has one.
    """
    masks = np.compress(masks.any(axis=0), masks, axis=1)  # row by row, as an index would not be
    m = len(masks)
    shared = np.zeros((m, m), np.int64)
    common = np.empty_like(masks)
    counts = np.empty(masks.shape, np.uint8)
    for i in range(m):  # against itself and those after it
        np.bitwise_and(masks[i:], masks[i], out=common[i:])
        np.bitwise_count(common[i:], out=counts[i:])
        shared[i, i:] = counts[i:].sum(axis=-1, dtype=np.uint32)
    return shared + np.triu(shared, 1).T
