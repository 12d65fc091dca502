"""Bring images and masks to one size: scale them to fit, keep their aspect ratio, and pad them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probunet.flips import IGNORE

RESAMPLING = (
    "images of another size are scaled to fit, keep their aspect ratio, and are padded equally on "
    "both sides; values: bilinear, by Pillow, whose kernel is widened by the factor of shrinking, "
    "against aliasing, padded with the window's lower end; masks: nearest, padded with background"
)
LABELS_RESAMPLING = RESAMPLING.replace("with background", "with pixels that are ignored")
OWN_SIZES = "each image keeps its own size"
Size = tuple[int, int]  # height and width, pixels


def fit_image(image: NDArray[Any], size: Size, padding: float) -> NDArray[Any]:
    """Return an image (H, W, C) of the same type at `size`; unchanged if it has this size."""
    if image.shape[:2] == size:
        return image
    height, width = _inner(image.shape[:2], size)
    channels = [
        Image.fromarray(channel.astype(np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        for channel in np.moveaxis(image, -1, 0)
    ]
    scaled = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    filled = np.full((*size, image.shape[2]), padding, np.float32)
    filled[_place((height, width), size)] = scaled
    if image.dtype.kind == "f":
        return filled.astype(image.dtype)
    bounds = np.iinfo(image.dtype)
    return np.rint(filled).clip(bounds.min, bounds.max).astype(image.dtype)


def place_of(original: Size, size: Size) -> tuple[slice, slice]:
    """Return the rows and columns that an image of another size takes within `size`.

    >>> place_of((100, 50), (64, 64))
    (slice(0, 64, None), slice(16, 48, None))
    """
    return _place(_inner(original, size), size)


def fit_masks(masks: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return bit-packed masks (H, W) at `size`."""
    if masks.shape == size:
        return masks
    parts = np.ascontiguousarray(masks).view(np.uint8).reshape(*masks.shape, -1)  # bytes
    return _nearest(parts, size, outside=0).view(masks.dtype)[..., 0]


def fit_labels(maps: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return label maps (H, W, G) at `size`; pixels beyond the image have no class."""
    return maps if maps.shape[:2] == size else _nearest(maps, size, outside=IGNORE)


def _nearest(planes: NDArray[np.uint8], size: Size, outside: int) -> NDArray[np.uint8]:
    """Return planes (H, W, n) at `size`; no values are mixed."""
    height, width = _inner(planes.shape[:2], size)
    scaled = [
        Image.fromarray(plane).resize((width, height), Image.Resampling.NEAREST)
        for plane in np.ascontiguousarray(np.moveaxis(planes, -1, 0))
    ]
    filled = np.full((*size, planes.shape[-1]), outside, np.uint8)
    filled[_place((height, width), size)] = np.stack([np.asarray(one) for one in scaled], axis=-1)
    return filled


def _inner(original: tuple[int, ...], size: Size) -> Size:
    """Return the largest size within `size` with the same aspect ratio.

    >>> _inner((100, 50), (64, 64)), _inner((1, 100), (64, 64))
    ((64, 32), (1, 64))
    """
    factor = min(size[0] / original[0], size[1] / original[1])
    height, width = (max(1, round(length * factor)) for length in original)
    return height, width


def _place(inner: Size, size: Size) -> tuple[slice, slice]:
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return slice(top, top + inner[0]), slice(left, left + inner[1])
