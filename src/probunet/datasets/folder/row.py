"""Read and check a row of the table of your own images: an image and its masks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.agreement import Marks
from probunet.datasets.folder.image_files import Decoded, decode_image, is_finite
from probunet.datasets.folder.manifest import FolderImage, ImageLeftOut, ImageReason
from probunet.datasets.folder.mask_kinds import MaskKind
from probunet.datasets.folder.mask_values import ADVICE, Values
from probunet.datasets.folder.space import Axes, compare_places
from probunet.datasets.folder.table import Row
from probunet.datasets.raw_file import (
    BadFileError,
    MissingFileError,
    RawFile,
    read_content,
    reading,
)

SWAPPED = "are the columns image and mask swapped?"
_SAMPLED = 1009  # values per image for the percentiles; prime, so that all columns occur


@dataclass(frozen=True)
class Checked:
    """The result of checking a row of the table."""

    image: FolderImage | None = None
    left_out: list[ImageLeftOut] = field(default_factory=list)
    unmarked: int = 0  # slices
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    marks: list[Marks] = field(default_factory=list)
    axes: Axes | None = None  # of a NIfTI image
    picture: bytes = b""  # a digest of the image's values, if it has more than two
    two_values: bool = False  # whether the image has exactly two
    turned: bool = False  # the image or a mask, by an orientation tag
    turned_apart: bool = False  # the image or a mask, but not both


@dataclass(frozen=True)
class _Files:
    """An image and its masks."""

    image: Decoded
    entry: RawFile
    masks: list[RawFile | None]  # entries, by grader
    gathered: NDArray[Any]  # the masks of all graders, see `MaskKind`
    values: dict[int, Values]  # those in the masks' files, by grader
    turned: set[bool]  # of the image and of each mask: whether an orientation tag turned it


def check_row(root: Path, kind: MaskKind, row: Row) -> Checked:
    """Return the manifest's entry of an image, after reading all of its files."""
    left_out = partial(ImageLeftOut, owner=row.subject, image=row.image)
    try:
        files = _read_files(root, kind, row)
    except BadFileError as error:
        return Checked(left_out=[left_out(**error.entry())])
    image, marked = files.image, kind.marked(files.gathered)
    wanted = np.flatnonzero(marked) if image.volume else np.array([0])
    finite = np.array([is_finite(image.pixels[k]) for k in wanted], bool)
    bad = [
        left_out(slice=k if image.volume else None, path=row.image, reason=ImageReason.NOT_FINITE)
        for k in wanted[~finite].tolist()
    ]
    used = wanted[finite]
    if len(used) == 0:
        return Checked(left_out=bad)
    described = FolderImage(
        subject=row.subject,
        image=files.entry,
        masks=tuple(files.masks),
        size=image.pixels.shape[1:3],
        channels=image.pixels.shape[3],
        dtype=image.pixels.dtype.name,
        slices=tuple(used.tolist()) if image.volume else None,
    )
    return Checked(
        described,
        bad,
        unmarked=int((~marked).sum()) if image.volume else 0,
        values=_some_values(image.pixels[used]),
        marks=kind.count(files.gathered[used], files.values),
        axes=Axes.of(image),
        picture=_digest(image.pixels),
        two_values=_has_two_values(image.pixels[used]),
        turned=True in files.turned,
        turned_apart=len(files.turned) > 1,
    )


def _read_files(root: Path, kind: MaskKind, row: Row) -> _Files:
    """Return an image and its masks."""
    if not any(row.masks):
        raise BadFileError(ImageReason.NO_MASK)
    image, entry = _read(root, row.image, decode_image)
    files = _Files(
        image,
        entry,
        masks=[],
        gathered=kind.empty(*image.pixels.shape[:3], graders=len(row.masks)),
        values={},
        turned={image.turned},
    )
    for g, path in enumerate(row.masks):
        if path is None:
            files.masks.append(None)
            continue
        mask, mask_entry = _read_mask(root, path, kind, image)
        if path in row.shared and kind.marks(mask.pixels):
            raise BadFileError(ImageReason.SHARED, f"line {row.line}" if row.line else "", path)
        with reading(path):
            _compare(image, mask)
        files.masks.append(mask_entry)
        kind.add(files.gathered, g, mask.pixels)
        files.values[g] = mask.values
        files.turned.add(mask.turned)
    if image.volume and not kind.marked(files.gathered).any():
        raise BadFileError(ImageReason.UNMARKED, f"{len(image.pixels)} slices", row.image)
    return files


def _read_mask(root: Path, path: str, kind: MaskKind, image: Decoded) -> tuple[Decoded, RawFile]:
    """Return the mask of an image and its entry."""
    try:
        return _read(root, path, kind.decode)
    except BadFileError as error:
        is_image = error.reason in (ImageReason.VALUES, ImageReason.JPEG_MASK)
        if is_image and _has_two_values(image.pixels):
            error.detail = error.detail.replace(ADVICE, f"the image has only two values: {SWAPPED}")
        raise


def _read(root: Path, path: str, decode: Callable[[bytes], Decoded]) -> tuple[Decoded, RawFile]:
    """Return a decoded file and its entry."""
    try:
        content = read_content(root / path)
    except MissingFileError:
        raise BadFileError(ImageReason.MISSING, path=path) from None
    with reading(path):
        return decode(content), RawFile.of(path, content)


def _compare(image: Decoded, mask: Decoded) -> None:
    """Raise BadFileError if a mask differs from its image in shape, or in its place in space."""
    shapes = [" x ".join(map(str, one.pixels.shape[1 - one.volume : 3])) for one in (image, mask)]
    if shapes[0] != shapes[1]:
        detail = f"{shapes[1]}, the image {shapes[0]}"
        if image.turned != mask.turned:
            detail += f"; an orientation tag turned the {'image' if image.turned else 'mask'} only"
        raise BadFileError(ImageReason.SHAPES_DIFFER, detail)
    compare_places(image, mask)


def _has_two_values(pixels: NDArray[Any]) -> bool:
    """Return whether there are exactly two values, as in a mask."""
    low, high = pixels.min(), pixels.max()
    return bool(low < high and ((pixels == low) | (pixels == high)).all())


def _digest(pixels: NDArray[Any]) -> bytes:
    """Return a digest of the values; b"" if there are no three of them, as in blank images."""
    if pixels.min() == pixels.max() or _has_two_values(pixels):
        return b""
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def _some_values(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return evenly spaced values of each image (images, H, W, C), equally many of each."""
    flat = pixels.reshape(len(pixels), -1)
    places = np.linspace(0, flat.shape[1] - 1, _SAMPLED).round().astype(np.int64)
    return flat[:, places].astype(np.float32).ravel()
