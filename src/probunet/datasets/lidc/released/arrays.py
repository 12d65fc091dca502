"""Crops as NumPy arrays, in files that `fetch` writes for sets that are one large pickle."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.released.manifest import CropReason
from probunet.datasets.raw_file import BadFileError, RawFile
from probunet.files import written_whole
from probunet.memory import raise_if_memory_lacks


def write_arrays(
    root: Path, path: str, image: NDArray[np.float32], masks: NDArray[np.uint8]
) -> RawFile:
    """Write images (k, H, W) and masks (k, H, W), bit g = mask g; return the file's entry."""
    buffer = io.BytesIO()
    np.save(buffer, image)
    np.save(buffer, masks)
    content = buffer.getvalue()
    with written_whole(root / path, lasting=False) as aside:
        aside.write_bytes(content)
    return RawFile.of(path, content)


def read_arrays(
    content: bytes, places: Sequence[int], side: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return images (n, side, side) and masks (n, side, side) of a file of `write_arrays`.

    `places` are those of the n crops in the file.

    Raises
    ------
    BadFileError
        If the file contains anything else.
    """
    buffer = io.BytesIO(content)
    try:
        image, masks = (np.load(buffer, allow_pickle=False)[list(places)] for _ in range(2))
        if (image.shape, str(image.dtype)) != ((len(places), side, side), "float32"):
            raise ValueError(f"images {image.shape} of {image.dtype}")
        if (masks.shape, str(masks.dtype)) != (image.shape, "uint8"):
            raise ValueError(f"masks {masks.shape} of {masks.dtype}")
    except Exception as error:  # NumPy raises many types for damaged files
        raise_if_memory_lacks(error)
        raise BadFileError(CropReason.UNREADABLE, str(error)) from None
    return image, masks
