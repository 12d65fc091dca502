"""From stored images to a network's input: read, crop the centre, scale colours to 0 to 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Size
from probunet.models.tiles import Tile, padded, tiles_of
from probunet.truth.rows import read_rows


@dataclass(frozen=True)
class InTiles:
    """How a network sees images of their own sizes: one at a time, in tiles."""

    extents: NDArray[np.int64]  # (n, 2), height and width of the store's images
    stored: Size  # height and width of the store's arrays
    size: Size  # of a tile
    beyond: float  # the value of an image's pixels beyond its edge

    def of(self, row: int) -> list[Tile]:
        """Return the tiles of an image."""
        height, width = self.extents[row].tolist()
        return tiles_of((height, width), self.size)

    def read(self, array: "zarr.Array[Any]", row: int, beyond: float) -> NDArray[Any]:
        """Return an image, masks or labels (1, H, W, ...) of at least the size of a tile."""
        parts = (slice(length) for length in self.extents[row].tolist())
        return padded(read_rows(array, np.array([row]), *parts)[0], self.size, beyond)[None]


def read_values(image: "zarr.Array[Any]", rows: NDArray[np.int64], *parts: slice) -> NDArray[Any]:
    """Return rows of an array of images as (n, H, W, C), of a type that torch supports.

    `parts` are the rows and columns of each, all if left out.
    """
    values = supported(read_rows(image, rows, *parts))
    return values if values.ndim == 4 else values[..., None]


def stacked(images: Tensor | list[Tensor]) -> Tensor:
    """Return images of one size as one tensor."""
    return images if isinstance(images, Tensor) else torch.stack(images)


def read_seen(
    image: "zarr.Array[Any]", rows: NDArray[np.int64], size: Size, in_tiles: InTiles | None
) -> Tensor | list[Tensor]:
    """Return what a network sees of images, each (h, w, C): their centre, or all of it in tiles."""
    if in_tiles is None:
        return torch.from_numpy(np.ascontiguousarray(central(read_values(image, rows), size)))
    whole = (in_tiles.read(image, row, in_tiles.beyond)[0] for row in rows.tolist())
    return [torch.from_numpy(supported(one)) for one in whole]


def channels(image: "zarr.Array[Any]") -> int:
    """Return the number of channels of images (n, H, W) or (n, H, W, C)."""
    return int(image.shape[3]) if image.ndim == 4 else 1


def supported(values: NDArray[Any]) -> NDArray[Any]:
    """Return integers of a type that torch computes with: it has few functions of uint16."""
    wider = {np.dtype(np.uint16): np.int32, np.dtype(np.uint32): np.int64}
    return values.astype(wider.get(values.dtype, values.dtype), copy=False)


def central(images: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return the centre (n, h, w, ...) of images (n, H, W, ...)."""
    top, left = ((a - b) // 2 for a, b in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + size[0], left : left + size[1]]


def scaled(rgb: Tensor) -> Tensor:
    """Return images (..., H, W, 3) uint8 as (..., 3, H, W) float32 from 0 to 1, channels last."""
    return rgb.to(torch.float32).div_(255).movedim(-1, -3)
