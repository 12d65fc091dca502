"""Packed binary masks: 8 pixels per byte, padded with zeros to whole 64-bit words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRADERS = 4  # of LIDC-IDRI
MOST_GRADERS = 32  # bits per pixel of stored masks
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


def upper_left(packed: Packed, stored: tuple[int, ...], size: tuple[int, ...]) -> Packed:
    """Return the upper left part of height and width `size` of masks of another, `stored`."""
    if stored == size:
        return packed
    return pack(unpack(packed, *stored)[..., : size[0], : size[1]])


def mask_dtype(graders: int) -> np.dtype[Any]:
    """Return the type of stored masks of so many graders, 1 to MOST_GRADERS: a bit for each.

    >>> mask_dtype(8), mask_dtype(10), mask_dtype(32)
    (dtype('uint8'), dtype('uint16'), dtype('uint32'))
    """
    return np.dtype(f"u{1 if graders <= 8 else 2 if graders <= 16 else 4}")


def pack_graders(
    masks: NDArray[np.unsignedinteger[Any]], graders: Sequence[int] = range(GRADERS)
) -> Packed:
    """Return masks (images, H, W), bit g = grader g, as (images, graders, bytes)."""
    return pack(unpack_graders(masks, graders))


def unpack_graders(
    masks: NDArray[np.unsignedinteger[Any]], graders: Sequence[int] = range(GRADERS)
) -> NDArray[np.bool_]:
    """Return masks (images, H, W), bit g = grader g, as (images, graders, H, W)."""
    return np.stack([(masks >> grader & 1).astype(bool) for grader in graders], axis=1)


def check_packed(samples: Packed, graders: Packed) -> tuple[int, int]:
    """Return the numbers of images and samples; raise ValueError if the masks do not agree."""
    images, n, width = samples.shape
    if (graders.shape[0], graders.shape[2]) != (images, width):
        raise ValueError(f"samples {samples.shape} and graders {graders.shape} do not agree")
    return images, n


def bits_of(number: int) -> list[int]:
    """Return the positions of the bits that are set.

    >>> bits_of(0b1011)
    [0, 1, 3]
    """
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def words(packed: Packed) -> NDArray[np.uint64]:
    """Return a view of packed masks (..., bytes) as 64-bit words (..., bytes / 8)."""
    return np.ascontiguousarray(packed).view(np.uint64)


def intersections(masks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the number of pixels (m, m) in each two of the masks (m, words).

    The diagonal contains the areas. Each pair is counted once; words that are zero in all masks are
    skipped.
    """
    masks = np.compress(masks.any(axis=0), masks, axis=1)  # contiguous rows, unlike an index
    m = len(masks)
    shared = np.zeros((m, m), np.int64)
    common = np.empty_like(masks)
    counts = np.empty(masks.shape, np.uint8)
    for i in range(m):  # with itself and the masks after it
        np.bitwise_and(masks[i:], masks[i], out=common[i:])
        np.bitwise_count(common[i:], out=counts[i:])
        shared[i, i:] = counts[i:].sum(axis=-1, dtype=np.uint32)
    return shared + np.triu(shared, 1).T
