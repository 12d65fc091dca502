"""Tiles in which a network sees an image that is larger than those that it was trained on.

Tiles have one size and overlap by a quarter of their sides, at least; each pixel of the image is
taken from the tile in whose middle it is most. An image that is smaller than a tile is at the upper
left corner of its one tile.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BATCH = 16  # largest number of images or tiles at a time; it does not change any result
PIXELS = 16 * 128 * 128  # approximate largest number of pixels at a time
_OVERLAP = 4  # neighbouring tiles share a quarter of their sides, at least

Part = tuple[slice, slice]  # rows and columns
Size = tuple[int, int]  # height and width, pixels


class Tile(NamedTuple):
    """A tile of an image."""

    place: Part  # in the image, padded to the size of a tile at least
    part: Part  # of the image, that is taken from the tile
    inner: Part  # where this part is in the tile


def tiles_of(image: Size, size: Size) -> list[Tile]:
    """Return the tiles of this size of an image."""
    pieces = [_pieces(*lengths) for lengths in zip(image, size, strict=True)]
    return [
        Tile(
            (slice(top, top + size[0]), slice(left, left + size[1])),
            (rows, columns),
            (_moved(rows, -top), _moved(columns, -left)),
        )
        for (top, rows), (left, columns) in product(*pieces)
    ]


def batch_of(size: Sequence[int]) -> int:
    """Return how many images or tiles of a height and width are drawn at a time.

    >>> batch_of((64, 64)), batch_of((256, 256)), batch_of((2048, 2048))
    (16, 4, 1)
    """
    return min(_BATCH, max(1, PIXELS // (size[0] * size[1])))


def padded(image: NDArray[Any], size: Sequence[int], beyond: float) -> NDArray[Any]:
    """Return an image (H, W, ...) with at least this size, padded below and to the right."""
    more = [max(0, wanted - own) for wanted, own in zip(size, image.shape[:2], strict=True)]
    if not any(more):
        return image
    around = [(0, more[0]), (0, more[1]), *[(0, 0)] * (image.ndim - 2)]
    return np.pad(image, around, constant_values=np.asarray(beyond).astype(image.dtype))


def seen_in(image: Tensor, tiles: Sequence[Tile]) -> Tensor:
    """Return tiles (t, C, h, w) of an image (1, C, H, W), channels last in memory."""
    return torch.stack([image[0][(..., *tile.place)].movedim(0, -1) for tile in tiles]).movedim(
        -1, 1
    )


def inner_alone(maps: Tensor, tiles: Sequence[Tile], outside: int) -> Tensor:
    """Return maps (t, ..., h, w) of tiles with a value where no pixel is taken from them."""
    alone = torch.full_like(maps, outside)
    for into, one, tile in zip(alone, maps, tiles, strict=True):
        into[(..., *tile.inner)] = one[(..., *tile.inner)]
    return alone


def through_tiles(
    tiles: Sequence[Tile], size: Size, maps_of: Callable[[Sequence[Tile]], Sequence[Tensor]]
) -> list[Tensor]:
    """Return maps (..., H, W) of an image, each laid together from those of its tiles.

    Parameters
    ----------
    size
        H and W; pixels of no tile are 0.
    maps_of
        Returns maps (..., t, h, w) of t tiles.
    """
    whole: list[Tensor] = []
    rows, columns = tiles[0].place
    batch = batch_of((rows.stop - rows.start, columns.stop - columns.start))
    for start in range(0, len(tiles), batch):
        some = tiles[start : start + batch]
        found = maps_of(some)
        whole = whole or [one.new_zeros((*one.shape[:-3], *size)) for one in found]
        for into, one in zip(whole, found, strict=True):
            for tile, piece in zip(some, one.unbind(-3), strict=True):
                into[(..., *tile.part)] = piece[(..., *tile.inner)]
    return whole


class TileWeights:
    """The weights of an image's samples: the mean of those in its tiles, by their pixels."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.pixels: list[int] = []

    def add(self, weights: Tensor | None, tiles: Sequence[Tile]) -> None:
        """Add the weights (t, n) in t tiles; None if all samples count the same."""
        if weights is not None:
            self.parts.append(weights)
            self.pixels += [math.prod(part.stop - part.start for part in one.part) for one in tiles]

    def mean(self) -> Tensor | None:
        """Return the weights (1, n); None if all samples count the same."""
        if not self.parts:
            return None
        each = torch.cat(self.parts)
        share = each.new_tensor(self.pixels) / sum(self.pixels)
        return (share @ each)[None]


def _pieces(length: int, tile: int) -> list[tuple[int, slice]]:
    """Return where tiles of a length start, and which pixels are taken from each.

    >>> _pieces(20, 8)
    [(0, slice(0, 7, None)), (6, slice(7, 13, None)), (12, slice(13, 20, None))]
    """
    step = max(1, tile - tile // _OVERLAP)
    count = max(1, -(-(length - tile) // step) + 1)
    starts = np.linspace(0, max(0, length - tile), count).round().astype(int).tolist()
    middles = [(a + tile + b) // 2 for a, b in pairwise(starts)]
    edges = [0, *middles, length]
    return [(start, slice(*ends)) for start, ends in zip(starts, pairwise(edges), strict=True)]


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
