"""Small pictures as data URIs; equal pixels give equal text."""

import base64
import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 85  # of photographs
LEVELS = 255  # the steps of a grey picture


def indexed(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return indices (H, W) into a palette (colours, 3) as a PNG."""
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    return _png(image, optimize=True)


def grey(values: NDArray[np.generic], low: float, high: float) -> str:
    """Return values (H, W) from `low` to `high` as a PNG of 8 bits; others are clipped."""
    levels = np.rint((values.astype(np.float64) - low) * (LEVELS / (high - low)))
    # noise repeats little: run lengths alone are smaller than a search for matches, and faster
    runs = zlib.Z_RLE
    return _png(Image.fromarray(np.clip(levels, 0, LEVELS).astype(np.uint8)), compress_type=runs)


def numbers(values: NDArray[np.uint8]) -> str:
    """Return values (H, W) as the grey values of a PNG."""
    return _png(Image.fromarray(values), optimize=True)


def one_bit(mask: NDArray[np.bool_]) -> str:
    """Return a mask (H, W) as a PNG of one bit a pixel."""
    return _png(Image.fromarray(mask))


def photograph(picture: NDArray[np.uint8]) -> str:
    """Return a picture (H, W, 3) as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    return _uri("jpeg", buffer)


def _png(image: Image.Image, **how: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **how)
    return _uri("png", buffer)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
