"""List a folder of your own images; its files are read and checked, never copied or changed."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.agreement import check_graders, describe_check
from probunet.datasets.folder.classes import Classes
from probunet.datasets.folder.image_files import common_dtype
from probunet.datasets.folder.manifest import (
    ClassTable,
    FolderImage,
    GraderCheck,
    ImageLeftOut,
    ImageManifest,
    ImageReason,
)
from probunet.datasets.folder.mask_kinds import BinaryMasks, LabelMaps
from probunet.datasets.folder.row import SWAPPED, Checked, check_row
from probunet.datasets.folder.space import compare_planes
from probunet.datasets.folder.table import Row, mark_shared, read_table
from probunet.datasets.raw_file import RawFile, check_folder, log_left_out
from probunet.errors import ProbunetError
from probunet.files import locked
from probunet.folds import describe_alike
from probunet.manifest import count_reasons
from probunet.truth.labels import BACKGROUND
from probunet.workers import in_processes

LICENCE = "unknown: your own images"
PERCENTILES = (0.5, 99.5)  # of the values; the window of images of more than 8 bits
_IMAGES_PER_PROCESS = 20

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
    classes: ClassTable | None = None,
) -> ImageManifest:
    """Return the manifest of the images and masks in a folder's table, see `table.py`.

    `workers` processes read files; by default one per processor. `licence` is the images', and
    `threshold` the least grey level that is foreground in a mask; `classes` are those of masks that
    have more than two.

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
            classes=classes,
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
    classes: ClassTable | None = None,
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
    classes
        The classes of masks that have more than two; None: masks are binary.
    workers
        Processes that read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If images differ in their channels, volumes in the direction of their slices, a mask of
        several images marks anything, a mask has a value of no class, or no image can be used.
    """
    root = folder.resolve()
    kind = BinaryMasks(threshold) if classes is None else LabelMaps(Classes(classes))
    check = partial(check_row, root, kind)
    checked = in_processes(
        check, mark_shared(rows), workers, "checking images", _IMAGES_PER_PROCESS
    )
    left_out = [item for one in checked for item in one.left_out]
    images = [one.image for one in checked if one.image is not None]
    log_left_out(folder, left_out)
    _refuse_shared(folder, left_out)
    _refuse_values(folder, dataset, left_out)
    usable = sum(1 if image.slices is None else len(image.slices) for image in images)
    subjects = {image.subject for image in images}
    _log.info("%s: %d images of %d subjects", folder, usable, len(subjects))
    names = classes.names if classes else ()
    checks = _check_graders(graders, rows, checked, names)
    for grader in checks:
        _log.info("%s: %s", folder, describe_check(grader))
    if not images:
        counts = "; ".join(f"{reason}: {n}" for reason, n in count_reasons(left_out).items())
        raise ProbunetError(
            f"{folder}: no image can be used ({counts}); the first: {left_out[0].place}: "
            f"{left_out[0].why}."
        )
    _check_channels(images)
    volumes = [(one.image.image.path, one.axes) for one in checked if one.image and one.axes]
    warnings = [*compare_planes(volumes), *_check_turned(checked), *_check_values(checked)]
    warnings += [*_check_same(checked), *filter(None, [describe_alike(subjects)])]
    warnings += _check_classes(names, checked)
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
        classes=classes,
    )


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


def _refuse_values(folder: Path, dataset: str, left_out: Sequence[ImageLeftOut]) -> None:
    """Raise ProbunetError if masks have values of no class."""
    wrong = [item for item in left_out if item.reason is ImageReason.NO_CLASS]
    if wrong:
        count = f"{len(wrong)} masks have" if len(wrong) > 1 else "a mask has"
        raise ProbunetError(
            f"{folder}: {count} values that no class has; the first: {wrong[0].place}: "
            f"{wrong[0].detail}; name them under datasets.{dataset}.classes, set "
            f"datasets.{dataset}.ignore to a value that has no part, or correct the mask."
        )


def _check_classes(names: Sequence[str], checked: Sequence[Checked]) -> Iterator[str]:
    """Yield a warning if masks never have a class; log if all classes are scored."""
    if not names:
        return
    if BACKGROUND not in names:
        _log.info("no class is called %s, so all classes are scored", BACKGROUND)
    counts = np.sum([mark.of_class for one in checked for mark in one.marks], axis=0)
    if never := [name for name, count in zip(names, counts, strict=False) if not count]:
        yield f"no mask has the class{'es' if len(never) > 1 else ''} {', '.join(never)}"


def _check_graders(
    graders: Sequence[str],
    rows: Sequence[Row],
    checked: Sequence[Checked],
    classes: Sequence[str],
) -> tuple[GraderCheck, ...]:
    """Return what each grader's masks contain."""
    left_out = Counter(
        row.masks.index(item.path)
        for row, one in zip(rows, checked, strict=True)
        for item in one.left_out
        if item.path is not None and item.path in row.masks
    )
    marks = [mark for one in checked for mark in one.marks]
    return check_graders(graders, marks, left_out, classes)


def _check_turned(checked: Sequence[Checked]) -> Iterator[str]:
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


def _check_values(checked: Sequence[Checked]) -> Iterator[str]:
    """Yield a warning if most images look like masks."""
    images = [one for one in checked if one.image is not None]
    count = sum(one.two_values for one in images)
    if 2 * count > len(images):
        yield f"{count} of {len(images)} images have only two values, as masks have: {SWAPPED}"


def _check_same(checked: Sequence[Checked]) -> Iterator[str]:
    """Yield a warning if images are equal under several names, and if their subjects differ."""
    same: dict[tuple[object, ...], list[FolderImage]] = {}
    for one in checked:
        if one.image is not None and one.picture:
            key = (one.picture, one.image.size, one.image.channels, one.image.dtype)
            same.setdefault(key, []).append(one.image)
    groups = [images for images in same.values() if len(images) > 1]
    if not groups:
        return
    count = sum(len(images) - 1 for images in groups)
    apart = sum(len({image.subject for image in images}) > 1 for images in groups)
    first, second = groups[0][:2]
    leak = f"; {apart} of them belong to several subjects, which folds may divide" if apart else ""
    yield (
        f"{count} image{'s' if count > 1 else ''} equal{'' if count > 1 else 's'} another one "
        f"under another name ({second.image.path} and {first.image.path}){leak}"
    )
