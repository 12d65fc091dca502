"""Images of one's own: what a worker makes of pictures, volumes and masks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.image_files import BadImageError, decode_image, decode_mask
from probunet.image_manifest import FolderImage, ImageFile, ImageLeftOut, ImageReason
from probunet.manifest import Unusable
from probunet.prepare.fit import fit_image, fit_masks


@dataclass(frozen=True)
class Form:
    """What all images of a store have in common."""

    size: tuple[int, int]  # height and width, pixels
    channels: int
    dtype: str
    padding: float  # the value beyond an image's edge


@dataclass(frozen=True)
class PlannedImage:
    """An image to make: a picture, or a slice of a volume."""

    image: FolderImage
    slice: int | None

    @property
    def subject(self) -> str:
        """Whose it is."""
        return self.image.subject

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it is made of."""
        return self.image.paths


def read_images(
    root: Path, form: Form, items: Sequence[PlannedImage]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these images, and the files that cannot be used: they are empty.

    Parameters
    ----------
    root
        The folder that the files' paths are relative to.
    form
        What all images are brought to.
    items
        What to make, the slices of one volume one after the other.
    """
    image = np.zeros((len(items), *form.size, form.channels), form.dtype)
    masks = np.zeros((len(items), *form.size), np.uint8)
    bad: list[Unusable] = []
    for _, group in groupby(enumerate(items), key=lambda item: item[1].image.image.path):
        rows, own = zip(*group, strict=True)
        files = own[0].image
        file = files.image
        try:
            pixels = decode_image(_read(root, file)).pixels
            bits = np.zeros(pixels.shape[:3], np.uint8)
            for g, file in enumerate(files.masks):
                if file is not None:
                    bits |= decode_mask(_read(root, file)).pixels[..., 0].astype(np.uint8) << g
        except BadImageError as error:
            bad.append(_left_out(files, file, error))
            continue
        for row, item in zip(rows, own, strict=True):
            k = item.slice or 0
            image[row] = fit_image(pixels[k].astype(form.dtype), form.size, form.padding)
            masks[row] = fit_masks(bits[k], form.size)
    return {"image": image, "masks": masks}, bad


def _read(root: Path, file: ImageFile) -> bytes:
    """Return a file's content, which must be what the manifest says."""
    try:
        content = (root / file.path).read_bytes()
    except FileNotFoundError:
        raise BadImageError(ImageReason.CHANGED, "is gone") from None
    except OSError as error:
        raise ProbunetError(f"{root / file.path}: cannot be read ({error.strerror}).") from None
    if len(content) != file.bytes:
        raise BadImageError(ImageReason.CHANGED, f"{len(content)} bytes instead of {file.bytes}")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise BadImageError(ImageReason.CHANGED, "has another sha256")
    return content


def _left_out(image: FolderImage, file: ImageFile | None, error: BadImageError) -> ImageLeftOut:
    return ImageLeftOut(
        owner=image.subject,
        image=image.image.path,
        reason=error.reason,
        path=None if file is None else file.path,
        detail=error.detail,
    )
