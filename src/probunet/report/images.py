"""Small pictures as data URIs, equal whenever they are made."""

import base64
import io

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray
from PIL import Image

QUALITY = 85  # of photographs


def shaded(values: NDArray[np.generic], low: float, high: float, colours: str) -> str:
    """Return values (H, W) from `low` to `high` as a PNG in one of matplotlib's colour maps."""
    buffer = io.BytesIO()
    imsave(
        buffer,
        values,
        vmin=low,
        vmax=high,
        cmap=colours,
        format="png",
        pil_kwargs={"optimize": True},
    )
    return _uri("png", buffer)


def indexed(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return indices (H, W) into a palette (colours, 3) as a PNG."""
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _uri("png", buffer)


def photograph(picture: NDArray[np.uint8]) -> str:
    """Return a picture (H, W, 3) as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    return _uri("jpeg", buffer)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
