"""Stored images as a network sees them: rows of a store, the central part, from 0 to 1."""

from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.store import SHARD, Graded, Images

Size = tuple[int, int]  # height and width, pixels


def read_rows(array: "zarr.Array[Any]", rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return these rows of an array; besides them, one shard at a time is in memory."""
    out = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for shard in np.unique(rows // SHARD):
        within = rows // SHARD == shard
        start = int(shard) * SHARD
        out[within] = np.asarray(array[start : start + SHARD])[rows[within] - start]
    return out


def read_values(data: Graded, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the images (n, H, W, C) of these rows, of a type that networks' libraries count in."""
    values = read_rows(data.image, rows)
    if values.dtype == np.uint16:
        values = values.astype(np.int32)
    return values if values.ndim == 4 else values[..., None]


def central(images: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return the central part (n, h, w, ...) of images (n, H, W, ...)."""
    top, left = ((a - b) // 2 for a, b in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + size[0], left : left + size[1]]


def windowed(values: Tensor, window: tuple[float, float]) -> Tensor:
    """Return images (n, H, W, C) as (n, C, H, W) float32 from 0 to 1, what lies outside clipped."""
    low, high = window
    return (values.to(torch.float32) - low).div_(high - low).clamp_(0, 1).movedim(-1, 1)


def window_of(data: Graded, settings: Settings) -> tuple[float, float]:
    """Return the values that become 0 and 1: of CT the settings', of other images the store's."""
    return data.attributes.window if isinstance(data, Images) else settings.intensity.window


def scored_size(data: Graded, settings: Settings) -> Size:
    """Return the size of what is sampled and scored: the centre of crops, all of other images."""
    side = settings.evaluation.crop
    return data.attributes.size if isinstance(data, Images) else (side, side)


def scaled(rgb: Tensor) -> Tensor:
    """Return pictures (..., H, W, 3) uint8 as (..., 3, H, W) float32 from 0 to 1.

    A view of another order of axes: in memory the channels stay last.
    """
    return rgb.to(torch.float32).div_(255).movedim(-1, -3)
