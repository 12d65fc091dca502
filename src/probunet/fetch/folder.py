"""Images of one's own in a folder: checked and listed; never copied, never written to."""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.fetch.table import Row, read_table
from probunet.fetch.tree import in_processes
from probunet.files import locked
from probunet.image_files import (
    BadImageError,
    Decoded,
    common_dtype,
    decode_image,
    decode_mask,
    is_finite,
)
from probunet.image_manifest import (
    FolderImage,
    ImageFile,
    ImageLeftOut,
    ImageManifest,
    ImageReason,
)
from probunet.manifest import count_reasons

LICENCE = "not told: images of one's own"
PERCENTILES = (0.5, 99.5)  # of the values, where the window is not that of the type
_LOOKED_AT = 1009  # values of each image behind the percentiles; a prime, to meet all columns
_PER_PROCESS = 20  # images; fewer are read before another process has started
_TOLD = 10  # files left out that are named, for each reason

_log = logging.getLogger(__name__)


def fetch_folder(
    folder: Path,
    manifest: Path,
    dataset: str,
    table: str = "images.csv",
    workers: int | None = None,
) -> ImageManifest:
    """List a folder's images and masks, each read and hashed, and what had to be left out.

    Parameters
    ----------
    folder
        What the table's paths are relative to.
    manifest
        Where to write the manifest.
    dataset
        The name of the data set.
    table
        The table of images in that folder, see `fetch.table`.
    workers
        Processes that read files; as many as there are processors if None.

    Raises
    ------
    ProbunetError
        If the folder or the table cannot be read or is wrong, images differ in their channels, not
        one of them can be used, or another process writes the same manifest.
    """
    if not folder.is_dir():
        state = "not a folder" if folder.exists() else "no such folder"
        raise ProbunetError(f"{folder}: {state}; give the folder that holds your {table}.")
    with locked(manifest):
        graders, rows, content = read_table(folder / table)
        processes = workers or len(os.sched_getaffinity(0))
        check = partial(_checked, folder.resolve())
        checked = in_processes(check, rows, processes, "checking images", _PER_PROCESS)
        left_out = [item for one in checked for item in one.left_out]
        images = [one.image for one in checked if one.image is not None]
        _tell(folder, images, left_out)
        _check_channels(images)
        window, window_from = _window(images, [one.values for one in checked])
        made = ImageManifest(
            dataset=dataset,
            source="folder",
            synthetic=False,
            root=str(folder.resolve()),
            licence=LICENCE,
            table=_entry(table, content),
            graders=graders,
            images=tuple(images),
            left_out=tuple(left_out),
            unmarked=sum(one.unmarked for one in checked),
            window=window,
            window_from=window_from,
        )
        made.write(manifest)
    return ImageManifest.read(manifest)


@dataclass(frozen=True)
class _Checked:
    """What became of a row of the table."""

    image: FolderImage | None = None
    left_out: list[ImageLeftOut] = field(default_factory=list)
    unmarked: int = 0  # slices
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


def _checked(root: Path, row: Row) -> _Checked:
    """Return the manifest's entry of an image, after reading all of its files."""
    try:
        return _described(row, *_opened(root, row))
    except _BadFileError as error:
        return _Checked(left_out=[_left_out(row, error.path, error.reason, error.detail)])


class _BadFileError(BadImageError):
    """A file of the table that cannot be used."""

    def __init__(self, path: str | None, error: BadImageError) -> None:
        super().__init__(error.reason, error.detail)
        self.path = path


def _opened(
    root: Path, row: Row
) -> tuple[Decoded, ImageFile, NDArray[np.bool_], list[ImageFile | None]]:
    """Return an image, which slices any grader marked, and the entries of its files."""
    path: str | None = None
    try:
        if not any(row.masks):
            raise BadImageError(ImageReason.NO_MASK)
        path = row.image
        content = _read(root, path)
        image, entry = decode_image(content), _entry(path, content)
        marked = np.zeros(len(image.pixels), bool)
        masks: list[ImageFile | None] = []
        for path in row.masks:
            if path is None:
                masks.append(None)
                continue
            content = _read(root, path)
            mask = decode_mask(content)
            _compare(image, mask)
            marked |= mask.pixels.any(axis=(1, 2, 3))
            masks.append(_entry(path, content))
    except BadImageError as error:
        raise _BadFileError(path, error) from None
    return image, entry, marked, masks


def _described(
    row: Row,
    image: Decoded,
    entry: ImageFile,
    marked: NDArray[np.bool_],
    masks: list[ImageFile | None],
) -> _Checked:
    """Return the entry of an image whose files can be read, without slices that have no numbers."""
    wanted = np.flatnonzero(marked) if image.volume else np.array([0])
    if len(wanted) == 0:
        detail = f"{len(marked)} slices"
        return _Checked(left_out=[_left_out(row, row.image, ImageReason.UNMARKED, detail)])
    finite = np.array([is_finite(image.pixels[k]) for k in wanted])
    lost = [
        _left_out(row, row.image, ImageReason.NOT_FINITE, place=int(k) if image.volume else None)
        for k in wanted[~finite]
    ]
    used = wanted[finite]
    if len(used) == 0:
        return _Checked(left_out=lost)
    described = FolderImage(
        subject=row.subject,
        image=entry,
        masks=tuple(masks),
        size=image.pixels.shape[1:3],
        channels=image.pixels.shape[3],
        dtype=image.pixels.dtype.name,
        slices=tuple(used.tolist()) if image.volume else None,
    )
    unmarked = int((~marked).sum()) if image.volume else 0
    return _Checked(described, lost, unmarked, _some_values(image.pixels[used]))


def _left_out(
    row: Row, path: str | None, reason: ImageReason, detail: str = "", place: int | None = None
) -> ImageLeftOut:
    return ImageLeftOut(
        owner=row.subject,
        image=row.image,
        slice=place,
        reason=reason,
        path=path,
        detail=detail,
    )


def _read(root: Path, path: str) -> bytes:
    try:
        return (root / path).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadImageError(ImageReason.MISSING) from None
    except OSError as error:
        raise ProbunetError(f"{root / path}: cannot be read ({error.strerror}).") from None


def _entry(path: str, content: bytes) -> ImageFile:
    return ImageFile(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _compare(image: Decoded, mask: Decoded) -> None:
    """Refuse a mask that does not lie on its image pixel by pixel."""
    shapes = [
        " x ".join(map(str, pixels.shape[1 - volume : 3]))
        for pixels, volume in ((image.pixels, image.volume), (mask.pixels, mask.volume))
    ]
    if shapes[0] != shapes[1]:
        raise BadImageError(ImageReason.SHAPES_DIFFER, f"{shapes[1]}, the image {shapes[0]}")
    if image.orientation and mask.orientation and image.orientation != mask.orientation:
        axes = ["".join(axis or "?" for axis in one.orientation or ()) for one in (mask, image)]
        raise BadImageError(ImageReason.ORIENTATION, f"{axes[0]}, the image {axes[1]}")


def _some_values(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return values of each image (images, H, W, C), as many of each, spread evenly."""
    flat = pixels.reshape(len(pixels), -1)
    places = np.linspace(0, flat.shape[1] - 1, _LOOKED_AT).round().astype(np.int64)
    return flat[:, places].astype(np.float32).ravel()


def _window(
    images: Sequence[FolderImage], values: Sequence[NDArray[np.float32]]
) -> tuple[tuple[float, float], str]:
    """Return the values that become 0 and 1, and in words how they were found."""
    if common_dtype({image.dtype for image in images}) == np.uint8:
        return (0.0, 255.0), "least and greatest value of 8 bits"
    low, high = (float(value) for value in np.percentile(np.concatenate(values), PERCENTILES))
    told = f"{PERCENTILES[0]}th and {PERCENTILES[1]}th percentile of the images' values"
    return (low, high if high > low else low + 1), told


def _check_channels(images: Sequence[FolderImage]) -> None:
    """Refuse grey and coloured images in one data set."""
    first = images[0]
    other = next((image for image in images if image.channels != first.channels), None)
    if other is not None:
        raise ProbunetError(
            f"{first.image.path} has {_channels(first)}, and {other.image.path} has "
            f"{_channels(other)}: a network takes the one or the other; convert the images, or "
            "make two tables, each a data set of its own."
        )


def _channels(image: FolderImage) -> str:
    return f"{image.channels} channel{'s' if image.channels > 1 else ''}"


def _tell(folder: Path, images: Sequence[FolderImage], left_out: Sequence[ImageLeftOut]) -> None:
    """Log what was found and what was left out; refuse a folder of which nothing can be used."""
    for reason in count_reasons(left_out):
        own = [item for item in left_out if item.reason == reason]
        for item in own[:_TOLD]:
            _log.warning("%s: left out: %s: %s", folder, item.place, item.why)
        if len(own) > _TOLD:
            _log.warning("%s: left out: and %d more: %s", folder, len(own) - _TOLD, reason)
    if not images:
        counts = "; ".join(f"{reason}: {n}" for reason, n in count_reasons(left_out).items())
        raise ProbunetError(f"{folder}: not one image can be used ({counts}).")
    _log.info(
        "%s: %d images of %d subjects",
        folder,
        sum(1 if image.slices is None else len(image.slices) for image in images),
        len({image.subject for image in images}),
    )
