"""Stored images as a network sees them: rows of a store, the central part, from 0 to 1."""

from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from probunet.store import SHARD


def read_rows(array: "zarr.Array[Any]", rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return these rows of an array; besides them, one shard at a time is in memory."""
    out = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for shard in np.unique(rows // SHARD):
        within = rows // SHARD == shard
        start = int(shard) * SHARD
        out[within] = np.asarray(array[start : start + SHARD])[rows[within] - start]
    return out


def central(crops: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the central part (..., side, side) of crops (..., H, W)."""
    top, left = ((length - side) // 2 for length in crops.shape[-2:])
    return crops[..., top : top + side, left : left + side]


def windowed(hu: Tensor, window: tuple[float, float]) -> Tensor:
    """Return Hounsfield units as float32 from 0 to 1; what lies outside the window is clipped."""
    low, high = window
    return (hu.to(torch.float32) - low).div_(high - low).clamp_(0, 1)


def scaled(rgb: Tensor) -> Tensor:
    """Return pictures (..., H, W, 3) uint8 as (..., 3, H, W) float32 from 0 to 1.

    A view of another order of axes: in memory the channels stay last.
    """
    return rgb.to(torch.float32).div_(255).movedim(-1, -3)
