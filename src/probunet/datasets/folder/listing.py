"""List a folder of your own images; its files are read and checked, never copied or changed."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.agreement import Marks, check_graders, count_marks, describe_check
from probunet.datasets.folder.image_files import (
    Decoded,
    common_dtype,
    decode_image,
    decode_mask,
    is_finite,
)
from probunet.datasets.folder.manifest import (
    FolderImage,
    GraderCheck,
    ImageLeftOut,
    ImageManifest,
    ImageReason,
)
from probunet.datasets.folder.mask_values import ADVICE, Values
from probunet.datasets.folder.table import Row, mark_shared, read_table
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
from probunet.metrics.bits import mask_dtype
from probunet.workers import in_processes

LICENCE = "unknown: your own images"
SWAPPED = "are the columns image and mask swapped?"
PERCENTILES = (0.5, 99.5)  # of the values; the window of images of more than 8 bits
_SAMPLED = 1009  # values per image for the percentiles; prime, so that all columns occur
_IMAGES_PER_PROCESS = 20
_TOLERANCE = 0.1  # voxels between a place in a mask and in its image
_SAME = 0.5  # cosine of 60 degrees
_PLANES = {
    **dict.fromkeys("SI", "axial"),
    **dict.fromkeys("RL", "sagittal"),
    **dict.fromkeys("AP", "coronal"),
}

_log = logging.getLogger(__name__)


def fetch_folder(
    folder: Path,
    manifest: Path,
    dataset: str,
    table: str = "images.csv",
    workers: int | None = None,
    *,
    licence: str | None = None,
    threshold: float | None = None,
) -> ImageManifest:
    """Return the manifest of the images and masks in a folder's table, see `table.py`.

    `workers` processes read files; by default one per processor. `licence` is the images', and
    `threshold` the least grey level that is foreground in a mask.

    Raises
    ------
    ProbunetError
        If the folder or the table cannot be read or is wrong, and as `list_images` does.
    """
    check_folder(folder, f"name the folder that holds your {table}")
    with locked(manifest):
        graders, rows, content = read_table(folder / table)
        listed = list_images(
            folder,
            dataset,
            graders,
            rows,
            licence=licence or LICENCE,
            threshold=threshold,
            workers=workers,
        )
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
    threshold: float | None = None,
    workers: int | None = None,
) -> ImageManifest:
    """Return the manifest of images and masks, after reading and hashing each file.

    It logs what was left out, what each grader's masks contain, and what is unlikely about them.

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
    threshold
        Least grey level that is foreground in a mask; None: 0 is background, and a mask has one
        other value at most.
    workers
        Processes that read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If images differ in their channels, volumes in the direction of their slices, a mask of
        several images marks anything, or no image can be used.
    """
    root = folder.resolve()
    check = partial(_check, root, threshold)
    checked = in_processes(
        check, mark_shared(rows), workers, "checking images", _IMAGES_PER_PROCESS
    )
    left_out = [item for one in checked for item in one.left_out]
    images = [one.image for one in checked if one.image is not None]
    log_left_out(folder, left_out)
    _refuse_shared(folder, left_out)
    usable = sum(1 if image.slices is None else len(image.slices) for image in images)
    subjects = len({image.subject for image in images})
    _log.info("%s: %d images of %d subjects", folder, usable, subjects)
    checks = _check_graders(graders, rows, checked)
    for grader in checks:
        _log.info("%s: %s", folder, describe_check(grader))
    if not images:
        counts = "; ".join(f"{reason}: {n}" for reason, n in count_reasons(left_out).items())
        raise ProbunetError(
            f"{folder}: no image can be used ({counts}); the first: {left_out[0].place}: "
            f"{left_out[0].why}."
        )
    _check_channels(images)
    warnings = [*_check_volumes(checked), *_check_turned(checked), *_check_values(checked)]
    warned = [f"{one.grader} {warning}" for one in checks for warning in one.warnings]
    for warning in [*warned, *warnings]:
        _log.warning("%s: warning: %s", folder, warning)
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
        threshold=threshold,
        checks=checks,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class _Checked:
    """The result of checking a row of the table."""

    image: FolderImage | None = None
    left_out: list[ImageLeftOut] = field(default_factory=list)
    unmarked: int = 0  # slices
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    marks: list[Marks] = field(default_factory=list)
    axes: str = ""  # of a NIfTI volume, "RAS"
    directions: NDArray[np.float64] | None = None  # (3, 3), a unit vector in each column
    two_values: bool = False  # whether the image has exactly two
    turned: bool = False  # the image or a mask, by an orientation tag
    turned_apart: bool = False  # the image or a mask, but not both


@dataclass(frozen=True)
class _Files:
    """An image and its masks."""

    image: Decoded
    entry: RawFile
    masks: list[RawFile | None]  # entries, by grader
    bits: NDArray[Any]  # (slices, H, W), bit g = grader g
    values: dict[int, Values]  # those in the masks' files, by grader
    turned: set[bool]  # of the image and of each mask: whether an orientation tag turned it


def _check(root: Path, threshold: float | None, row: Row) -> _Checked:
    """Return the manifest's entry of an image, after reading all of its files."""
    left_out = partial(ImageLeftOut, owner=row.subject, image=row.image)
    try:
        files = _read_files(root, threshold, row)
    except BadFileError as error:
        return _Checked(left_out=[left_out(**error.entry())])
    image, marked = files.image, files.bits.any(axis=(1, 2))
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
        image=files.entry,
        masks=tuple(files.masks),
        size=image.pixels.shape[1:3],
        channels=image.pixels.shape[3],
        dtype=image.pixels.dtype.name,
        slices=tuple(used.tolist()) if image.volume else None,
    )
    return _Checked(
        described,
        bad,
        unmarked=int((~marked).sum()) if image.volume else 0,
        values=_some_values(image.pixels[used]),
        marks=count_marks(files.bits[used], files.values),
        axes=_named(image.orientation),
        directions=_directions(image) if image.volume else None,
        two_values=_has_two_values(image.pixels[used]),
        turned=True in files.turned,
        turned_apart=len(files.turned) > 1,
    )


def _read_files(root: Path, threshold: float | None, row: Row) -> _Files:
    """Return an image and its masks."""
    if not any(row.masks):
        raise BadFileError(ImageReason.NO_MASK)
    image, entry = _read(root, row.image, decode_image)
    files = _Files(
        image,
        entry,
        masks=[],
        bits=np.zeros(image.pixels.shape[:3], mask_dtype(len(row.masks))),
        values={},
        turned={image.turned},
    )
    for g, path in enumerate(row.masks):
        if path is None:
            files.masks.append(None)
            continue
        mask, mask_entry = _read_mask(root, path, threshold, image)
        if path in row.shared and mask.pixels.any():
            raise BadFileError(ImageReason.SHARED, f"line {row.line}" if row.line else "", path)
        with reading(path):
            _compare(image, mask)
        files.masks.append(mask_entry)
        files.bits[:] |= mask.pixels[..., 0].astype(files.bits.dtype) << g
        files.values[g] = mask.values
        files.turned.add(mask.turned)
    if image.volume and not files.bits.any():
        raise BadFileError(ImageReason.UNMARKED, f"{len(image.pixels)} slices", row.image)
    return files


def _read_mask(
    root: Path, path: str, threshold: float | None, image: Decoded
) -> tuple[Decoded, RawFile]:
    """Return the mask of an image and its entry."""
    try:
        return _read(root, path, partial(decode_mask, threshold=threshold))
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
        raise BadFileError(ImageReason.SHAPES_DIFFER, f"{shapes[1]}, the image {shapes[0]}")
    if image.affine is None or mask.affine is None:
        return
    if image.orientation != mask.orientation:
        axes = [_named(one.orientation) for one in (mask, image)]
        raise BadFileError(ImageReason.ORIENTATION, f"{axes[0]}, the image {axes[1]}")
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)  # of a voxel
    slices, height, width = image.pixels.shape[:3]
    ends = ((0, width - 1), (0, height - 1), (0, slices - 1), (1,))
    corners = np.stack(np.meshgrid(*ends)).reshape(4, -1)
    apart = float(np.linalg.norm((mask.affine - image.affine) @ corners, axis=0).max())
    if not apart <= _TOLERANCE * sizes.min():
        places = [_place_of(one.affine) for one in (mask, image)]
        raise BadFileError(ImageReason.PLACE, f"{places[0]}, the image {places[1]}")


def _named(axes: tuple[str | None, ...] | None) -> str:
    return "".join(axis or "?" for axis in axes or ())


def _directions(volume: Decoded) -> NDArray[np.float64] | None:
    """Return the directions of the axes of a NIfTI volume, (3, 3), a unit vector in each column."""
    if volume.affine is None:
        return None
    columns = volume.affine[:3, :3]
    directions: NDArray[np.float64] = columns / np.linalg.norm(columns, axis=0)
    return directions


def _place_of(affine: NDArray[np.float64] | None) -> str:
    """Return origin and voxel size, mm, as text."""
    if affine is None:
        return "unknown"
    origin, size = affine[:3, 3], np.linalg.norm(affine[:3, :3], axis=0)
    parts = [", ".join(f"{value:.5g}" for value in values) for values in (origin, size)]
    return f"origin ({parts[0]}), voxels ({parts[1]})"


def _has_two_values(pixels: NDArray[Any]) -> bool:
    """Return whether there are exactly two values, as in a mask."""
    low, high = pixels.min(), pixels.max()
    return bool(low < high and ((pixels == low) | (pixels == high)).all())


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


def _refuse_shared(folder: Path, left_out: Sequence[ImageLeftOut]) -> None:
    """Raise ProbunetError if a mask is named for several images, or graders, and not all 0."""
    for item in left_out:
        if item.reason is ImageReason.SHARED:
            raise ProbunetError(
                f"{folder}: {item.place}: {item.why}; name each file once, except a mask that is "
                "all 0."
            )


def _check_volumes(checked: Sequence[_Checked]) -> Iterator[str]:
    """Yield a warning if volumes differ in their axes; raise ProbunetError if slices do.

    Oblique volumes of several subjects are never parallel: directions differ beyond 60 degrees.
    """
    volumes = [
        (one.image.image.path, one.axes, one.directions)
        for one in checked
        if one.image is not None and one.directions is not None
    ]
    others = []
    for path, axes, directions in volumes:
        first, first_axes, first_directions = volumes[0]
        cosines = (first_directions * directions).sum(axis=0)
        if abs(cosines[2]) < _SAME:
            raise ProbunetError(
                f"{first} has {_PLANES.get(first_axes[2])} slices (axes {first_axes}), and {path} "
                f"has {_PLANES.get(axes[2])} slices (axes {axes}), but all volumes of a data set "
                "must be sliced alike; turn the volumes, or write two tables, one for each data "
                "set."
            )
        if (cosines < _SAME).any():
            others.append(axes)
    if others:
        yield (
            f"{len(others)} of {len(volumes)} volumes have the axes "
            f"{', '.join(sorted(set(others)))}, and {first} {first_axes}: their slices are "
            "mirrored or turned against each other"
        )


def _check_graders(
    graders: Sequence[str], rows: Sequence[Row], checked: Sequence[_Checked]
) -> tuple[GraderCheck, ...]:
    """Return what each grader's masks contain."""
    left_out = Counter(
        row.masks.index(item.path)
        for row, one in zip(rows, checked, strict=True)
        for item in one.left_out
        if item.path is not None and item.path in row.masks
    )
    return check_graders(graders, [mark for one in checked for mark in one.marks], left_out)


def _check_turned(checked: Sequence[_Checked]) -> Iterator[str]:
    """Log how many images were turned; yield a warning if some masks were not."""
    turned = sum(one.turned for one in checked)
    if turned:
        _log.info("%d images or masks of them were turned upright by an orientation tag", turned)
    apart = sum(one.turned_apart for one in checked)
    if apart:
        yield (
            f"of {apart} image{'s' if apart > 1 else ''}, the orientation tag turns the image or a "
            "mask, but not both; check that they fit"
        )


def _check_values(checked: Sequence[_Checked]) -> Iterator[str]:
    """Yield a warning if most images look like masks."""
    images = [one for one in checked if one.image is not None]
    count = sum(one.two_values for one in images)
    if 2 * count > len(images):
        yield f"{count} of {len(images)} images have only two values, as masks have: {SWAPPED}"
