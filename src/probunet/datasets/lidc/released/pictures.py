"""Released crops as PNG files: an image and four masks of each."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mode
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.released.manifest import CropLeftOut, CropReason, ReleasedCrop
from probunet.datasets.picture import open_picture
from probunet.datasets.raw_file import (
    BadFileError,
    MissingFileError,
    RawFile,
    read_content,
    reading,
)
from probunet.errors import ProbunetError
from probunet.memory import raise_if_memory_lacks
from probunet.metrics.bits import GRADERS
from probunet.workers import in_processes

_CROPS_PER_PROCESS = 200


@dataclass
class Files:
    """The files of a crop by what they are, relative to the folder of the set."""

    patient: str
    z: float | None = None
    lesion: int = -1
    split: str = ""
    image: str | None = None
    masks: dict[int, str] = field(default_factory=dict)  # by the set's number

    def add(self, mask: int | None, path: str) -> CropLeftOut | None:
        """Add the image (None) or a mask; return it as left out if there is one already."""
        first = self.image if mask is None else self.masks.get(mask)
        if first is not None:
            return CropLeftOut(
                patient=self.patient,
                name=path,
                path=path,
                reason=CropReason.SECOND,
                detail=f"the first: {first}",
            )
        if mask is None:
            self.image = path
        else:
            self.masks[mask] = path
        return None


def find_pictures(root: Path) -> list[str]:
    """Return the PNG files below a folder, relative to it; links to folders are followed.

    Raises
    ------
    ProbunetError
        If a folder cannot be listed.
    """

    def fail(error: OSError) -> NoReturn:
        raise ProbunetError(f"{error.filename}: cannot be read ({error.strerror}).")

    found: list[str] = []
    seen: set[str] = set()  # links may form loops
    for folder, below, names in os.walk(root, followlinks=True, onerror=fail):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        found += [
            (Path(folder) / name).relative_to(root).as_posix() for name in filter(is_png, names)
        ]
    return found


def is_png(name: str) -> bool:
    """Return whether a file is a PNG by its name."""
    return name.lower().endswith(".png")


def check_pictures(
    root: Path, side: int, found: Sequence[Files], workers: int | None = None
) -> tuple[list[ReleasedCrop], list[CropLeftOut]]:
    """Return the usable crops of these files below `root`, after reading each, and the others.

    Images and masks must be 8-bit grey, side x side; masks are 0 and 255, four with the numbers
    that the set's begin with. `workers` processes read files; by default one per processor.
    """
    # masks count from 0, or from 1
    first = mode([min(files.masks) for files in found if files.masks] or [0])
    check = partial(_check, root, side, range(first, first + GRADERS))
    checked = in_processes(check, found, workers, "checking crops", _CROPS_PER_PROCESS)
    crops = [one for one in checked if isinstance(one, ReleasedCrop)]
    return crops, [one for one in checked if isinstance(one, CropLeftOut)]


def _check(root: Path, side: int, numbers: range, files: Files) -> ReleasedCrop | CropLeftOut:
    """Return the manifest's entry of a crop."""
    name = files.image or next(iter(files.masks.values()))
    try:
        if files.image is None:
            raise BadFileError(CropReason.NO_IMAGE, path=name)
        if lacking := sorted({*numbers} - files.masks.keys()):
            raise BadFileError(CropReason.FEWER_MASKS, f"no mask {lacking[0]}", files.image)
        if more := sorted(files.masks.keys() - {*numbers}):
            raise BadFileError(CropReason.MORE_MASKS, f"a mask {more[0]}", files.image)
        paths = [files.image, *(files.masks[number] for number in numbers)]
        contents = {path: _content(root, path) for path in paths}
        _, bits = decode_crop(contents, side)
    except BadFileError as error:
        return CropLeftOut(patient=files.patient, name=name, **error.entry(name))
    return ReleasedCrop(
        name=name,
        patient=files.patient,
        z=files.z,
        lesion=files.lesion,
        marked=count_marked(bits),
        split=files.split,
        files=tuple(RawFile.of(path, content) for path, content in contents.items()),
    )


def count_marked(bits: NDArray[np.uint8]) -> int:
    """Return how many of the masks, bit g = mask g, are not empty."""
    return int(np.bitwise_or.reduce(bits, axis=None)).bit_count()


def _content(root: Path, path: str) -> bytes:
    try:
        return read_content(root / path)
    except MissingFileError:
        raise BadFileError(CropReason.CHANGED, "is gone", path) from None


def decode_crop(
    contents: Mapping[str, bytes], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return image and masks (side, side), bit g = mask g, of the files of a crop by path.

    Raises
    ------
    BadFileError
        If a file is not a PNG of that form and size, or a mask has other values than 0 and 255.
    """
    (first, image), *masks = contents.items()
    pixels = _decode(first, image, side, CropReason.IMAGE_FORM)
    bits = np.zeros((side, side), np.uint8)
    for g, (path, content) in enumerate(masks):
        mask = _decode(path, content, side, CropReason.MASK_FORM)
        marked = mask == 255
        if (mask[~marked] != 0).any():
            other = mask[~marked & (mask != 0)][0]
            raise BadFileError(CropReason.MASK_VALUES, f"{other}, not 0 or 255", path)
        bits |= marked.view(np.uint8) << g
    return pixels, bits


def _decode(path: str, content: bytes, side: int, form: CropReason) -> NDArray[Any]:
    """Return the pixels of a PNG of 8-bit grey."""
    try:
        with open_picture(content, ("PNG",)) as picture:
            mode, size = picture.mode, picture.size
            pixels = np.asarray(picture) if (mode, size) == ("L", (side, side)) else None
    except Exception as error:  # decoders raise anything on damaged data
        raise_if_memory_lacks(error)
        raise BadFileError(CropReason.UNREADABLE, str(error), path) from None
    with reading(path):
        if mode != "L":
            raise BadFileError(form, f"PNG of mode {mode}, not 8-bit grey")
        if pixels is None:
            raise BadFileError(
                CropReason.SIZE, f"{size[1]} x {size[0]} pixels, not {side} x {side}"
            )
    return pixels
