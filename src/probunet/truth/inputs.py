"""From stored images to a network's input: read, crop the centre, scale to 0 to 1."""

from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Size
from probunet.truth.rows import read_rows


def read_values(image: "zarr.Array[Any]", rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return rows of an array of images as (n, H, W, C), of a type that torch supports."""
    values = supported(read_rows(image, rows))
    return values if values.ndim == 4 else values[..., None]


def supported(values: NDArray[Any]) -> NDArray[Any]:
    """Return integers of a type that torch computes with: it has few functions of uint16."""
    wider = {np.dtype(np.uint16): np.int32, np.dtype(np.uint32): np.int64}
    return values.astype(wider.get(values.dtype, values.dtype), copy=False)


def central(images: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return the centre (n, h, w, ...) of images (n, H, W, ...)."""
    top, left = ((a - b) // 2 for a, b in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + size[0], left : left + size[1]]


def windowed(values: Tensor, window: tuple[float, float]) -> Tensor:
    """Return images (n, H, W, C) as (n, C, H, W) float32, scaled to 0 to 1 and clipped."""
    low, high = window
    return (values.to(torch.float32) - low).div_(high - low).clamp_(0, 1).movedim(-1, 1)


def scaled(rgb: Tensor) -> Tensor:
    """Return images (..., H, W, 3) uint8 as (..., 3, H, W) float32 from 0 to 1, channels last."""
    return rgb.to(torch.float32).div_(255).movedim(-1, -3)
