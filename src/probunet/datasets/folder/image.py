"""Read your own images, volumes and masks, and bring them to the form of the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.fit import fit_image
from probunet.datasets.folder.image_files import decode_image
from probunet.datasets.folder.manifest import FolderImage, ImageLeftOut, ImageReason
from probunet.datasets.folder.mask_kinds import MaskKind
from probunet.datasets.raw_file import BadFileError, reading
from probunet.manifest import Unusable


@dataclass(frozen=True)
class Form:
    """What all images of a store have in common."""

    size: tuple[int, int]  # height and width of the arrays, pixels
    channels: int
    dtype: str
    padding: float  # the value beyond an image's edge
    graders: int
    masks: MaskKind
    own: bool = False  # whether each image keeps its own size, in the upper left corner


@dataclass(frozen=True)
class PlannedImage:
    """An image to make: a picture, or a slice of a volume."""

    image: FolderImage
    slice: int | None

    @property
    def subject(self) -> str:
        """The subject."""
        return self.image.subject

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the image and its masks."""
        return self.image.paths


def read_images(
    root: Path, form: Form, items: Sequence[PlannedImage]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these images, and the unusable files, whose rows are zero.

    Paths are relative to `root`. The slices of one volume must be neighbours.
    """
    image = np.zeros((len(items), *form.size, form.channels), form.dtype)
    masks = form.masks.empty(len(items), *form.size, graders=form.graders)
    bad: list[Unusable] = []
    for _, group in groupby(enumerate(items), key=lambda item: item[1].image.image.path):
        rows = list(group)
        files = rows[0][1].image
        try:
            pixels, gathered = _read(root, form, files)
        except BadFileError as error:
            owner = {"owner": files.subject, "image": files.image.path}
            bad.append(ImageLeftOut(**owner, **error.entry()))
            continue
        for row, item in rows:
            k = item.slice or 0
            if form.own:
                height, width = pixels.shape[1:3]
                image[row, :height, :width] = pixels[k]
                masks[row, :height, :width] = gathered[k]
                continue
            image[row] = fit_image(pixels[k].astype(form.dtype), form.size, form.padding)
            masks[row] = form.masks.fit(gathered[k], form.size)
    return {"image": image, form.masks.array: masks}, bad


def _read(root: Path, form: Form, files: FolderImage) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values (slices, H, W, C), and the masks of all graders, see `MaskKind`."""
    with reading(files.image.path):
        pixels = decode_image(files.image.read(root, ImageReason.CHANGED)).pixels
    gathered = form.masks.empty(*pixels.shape[:3], graders=form.graders)
    for g, file in enumerate(files.masks):
        if file is not None:
            with reading(file.path):
                content = file.read(root, ImageReason.CHANGED)
                mask = form.masks.decode(content).pixels
            form.masks.add(gathered, g, mask)
    return pixels, gathered
