"""List a folder of your own images; its files are read and checked, never copied or changed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.image_files import (
    Decoded,
    common_dtype,
    decode_image,
    decode_mask,
    is_finite,
)
from probunet.datasets.folder.manifest import (
    FolderImage,
    ImageLeftOut,
    ImageManifest,
    ImageReason,
)
from probunet.datasets.folder.table import Row, read_table
from probunet.datasets.raw_file import (
    BadFileError,
    MissingFileError,
    RawFile,
    check_folder,
    log_left_out,
    read_content,
    reading,
)
from probunet.errors import ProbunetError
from probunet.files import locked
from probunet.manifest import count_reasons
from probunet.workers import in_processes

LICENCE = "unknown: your own images"
PERCENTILES = (0.5, 99.5)  # of the values; the window of images of more than 8 bits
_SAMPLED = 1009  # values per image for the percentiles; prime, so that all columns occur
_IMAGES_PER_PROCESS = 20

_log = logging.getLogger(__name__)


def fetch_folder(
    folder: Path,
    manifest: Path,
    dataset: str,
    table: str = "images.csv",
    workers: int | None = None,
) -> ImageManifest:
    """Return the manifest of the images and masks in a folder's table, see `table.py`.

    `workers` processes read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If the folder or the table cannot be read or is wrong, and as `list_images` does.
    """
    check_folder(folder, f"name the folder that holds your {table}")
    with locked(manifest):
        graders, rows, content = read_table(folder / table)
        listed = list_images(folder, dataset, graders, rows, workers=workers)
        listed.model_copy(update={"table": RawFile.of(table, content)}).write(manifest)
    return ImageManifest.read(manifest)


def list_images(
    folder: Path,
    dataset: str,
    graders: tuple[str, ...],
    rows: list[Row],
    *,
    source: str = "folder",
    licence: str = LICENCE,
    workers: int | None = None,
) -> ImageManifest:
    """Return the manifest of images and masks, after reading and hashing each file.

    Parameters
    ----------
    folder
        Folder that the rows' paths are relative to.
    dataset, source, licence
        Values of the manifest's fields.
    graders
        The graders' names, in the order of the rows' masks.
    rows
        The images with their subjects and masks.
    workers
        Processes that read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If images differ in their channels, or no image can be used.
    """
    root = folder.resolve()
    check = partial(_check, root)
    checked = in_processes(check, rows, workers, "checking images", _IMAGES_PER_PROCESS)
    left_out = [item for one in checked for item in one.left_out]
    images = [one.image for one in checked if one.image is not None]
    log_left_out(folder, left_out)
    if not images:
        counts = "; ".join(f"{reason}: {n}" for reason, n in count_reasons(left_out).items())
        raise ProbunetError(f"{folder}: no image can be used ({counts}).")
    usable = sum(1 if image.slices is None else len(image.slices) for image in images)
    subjects = len({image.subject for image in images})
    _log.info("%s: %d images of %d subjects", folder, usable, subjects)
    _check_channels(images)
    window, window_from = _window(images, [one.values for one in checked])
    return ImageManifest(
        dataset=dataset,
        source=source,
        synthetic=False,
        root=str(root),
        licence=licence,
        graders=graders,
        images=tuple(images),
        left_out=tuple(left_out),
        unmarked=sum(one.unmarked for one in checked),
        window=window,
        window_from=window_from,
    )


@dataclass(frozen=True)
class _Checked:
    """The result of checking a row of the table."""

    image: FolderImage | None = None
    left_out: list[ImageLeftOut] = field(default_factory=list)
    unmarked: int = 0  # slices
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


def _check(root: Path, row: Row) -> _Checked:
    """Return the manifest's entry of an image, after reading all of its files."""
    left_out = partial(ImageLeftOut, owner=row.subject, image=row.image)
    try:
        image, entry, marked, masks = _read_files(root, row)
    except BadFileError as error:
        return _Checked(left_out=[left_out(**error.entry())])
    wanted = np.flatnonzero(marked) if image.volume else np.array([0])
    finite = np.array([is_finite(image.pixels[k]) for k in wanted], bool)
    bad = [
        left_out(slice=k if image.volume else None, path=row.image, reason=ImageReason.NOT_FINITE)
        for k in wanted[~finite].tolist()
    ]
    used = wanted[finite]
    if len(used) == 0:
        return _Checked(left_out=bad)
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
    return _Checked(described, bad, unmarked, _some_values(image.pixels[used]))


def _read_files(
    root: Path, row: Row
) -> tuple[Decoded, RawFile, NDArray[np.bool_], list[RawFile | None]]:
    """Return an image, its entry, which slices any grader marked, and the entries of the masks."""
    if not any(row.masks):
        raise BadFileError(ImageReason.NO_MASK)
    image, entry = _read(root, row.image, decode_image)
    marked = np.zeros(len(image.pixels), bool)
    masks: list[RawFile | None] = []
    for path in row.masks:
        if path is None:
            masks.append(None)
            continue
        mask, mask_entry = _read(root, path, decode_mask)
        with reading(path):
            _compare(image, mask)
        marked |= mask.pixels.any(axis=(1, 2, 3))
        masks.append(mask_entry)
    if image.volume and not marked.any():
        raise BadFileError(ImageReason.UNMARKED, f"{len(marked)} slices", row.image)
    return image, entry, marked, masks


def _read(root: Path, path: str, decode: Callable[[bytes], Decoded]) -> tuple[Decoded, RawFile]:
    """Return a decoded file and its entry."""
    try:
        content = read_content(root / path)
    except MissingFileError:
        raise BadFileError(ImageReason.MISSING, path=path) from None
    with reading(path):
        return decode(content), RawFile.of(path, content)


def _compare(image: Decoded, mask: Decoded) -> None:
    """Raise BadFileError if a mask differs from its image in shape or orientation."""
    shapes = [" x ".join(map(str, one.pixels.shape[1 - one.volume : 3])) for one in (image, mask)]
    if shapes[0] != shapes[1]:
        raise BadFileError(ImageReason.SHAPES_DIFFER, f"{shapes[1]}, the image {shapes[0]}")
    if image.orientation and mask.orientation and image.orientation != mask.orientation:
        axes = ["".join(axis or "?" for axis in one.orientation or ()) for one in (mask, image)]
        raise BadFileError(ImageReason.ORIENTATION, f"{axes[0]}, the image {axes[1]}")


def _some_values(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return evenly spaced values of each image (images, H, W, C), equally many of each."""
    flat = pixels.reshape(len(pixels), -1)
    places = np.linspace(0, flat.shape[1] - 1, _SAMPLED).round().astype(np.int64)
    return flat[:, places].astype(np.float32).ravel()


def _window(
    images: Sequence[FolderImage], values: Sequence[NDArray[np.float32]]
) -> tuple[tuple[float, float], str]:
    """Return the values that become 0 and 1, and a description of how they were chosen."""
    if common_dtype({image.dtype for image in images}) == np.uint8:
        return (0.0, 255.0), "least and greatest value of 8 bits"
    low, high = (float(value) for value in np.percentile(np.concatenate(values), PERCENTILES))
    chosen = f"{PERCENTILES[0]}th and {PERCENTILES[1]}th percentile of the images' values"
    return (low, high if high > low else low + 1), chosen


def _check_channels(images: Sequence[FolderImage]) -> None:
    """Raise ProbunetError if some images are grey and others in colour."""
    first = images[0]
    other = next((image for image in images if image.channels != first.channels), None)
    if other is not None:
        counts = [f"{n} channel{'s' if n > 1 else ''}" for n in (first.channels, other.channels)]
        raise ProbunetError(
            f"{first.image.path} has {counts[0]}, and {other.image.path} has {counts[1]}, but all "
            "images of a data set must have the same; convert the images, or write two tables, "
            "one for each data set."
        )
