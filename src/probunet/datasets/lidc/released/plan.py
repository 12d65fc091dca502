"""Plan the store of a released set: its crops as they are, in the set's order by patient."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.datasets.lidc.released.arrays import read_arrays
from probunet.datasets.lidc.released.manifest import (
    CropLeftOut,
    CropReason,
    ReleasedCrop,
    ReleasedManifest,
)
from probunet.datasets.lidc.released.pictures import decode_crop
from probunet.datasets.lidc.released.sets import SETS, ReleasedSet
from probunet.datasets.lidc.released.store import (
    ReleasedAttributes,
    ReleasedColumns,
    create_released,
    create_released_images,
)
from probunet.datasets.raw_file import BadFileError
from probunet.manifest import Unusable
from probunet.prepare.plan import Plan, Read


@dataclass(frozen=True)
class ReleasedPlan(Plan[ReleasedCrop]):
    """The crops to copy from a manifest of a released set."""

    source: ReleasedManifest

    noun = "crop"
    unusable = CropLeftOut
    subjects = "patients"
    excused = (CropReason.NAME, CropReason.UNKNOWN_SERIES)  # of no known patient

    @property
    def released(self) -> ReleasedSet:
        """What is known of the set."""
        return SETS[self.source.source]

    @property
    def read(self) -> Read[ReleasedCrop]:
        """Function that reads crops; picklable."""
        return partial(read_crops, Path(self.source.root), self.released)

    def attributes(self) -> ReleasedAttributes:
        """Return the attributes of the store."""
        return ReleasedAttributes(
            protocol=self.source.source,
            side=self.released.side,
            values=self.released.values,
            window=self.released.window,
            spacing=self.released.spacing,
            annotations={
                str(marked): count
                for marked, count in sorted(Counter(crop.marked for crop in self.items).items())
            },
            parts=dict(sorted(Counter(crop.split for crop in self.items).items())),
            patients=self.source.patients,
            left_out_patients=tuple(self.lost),
            warnings=self.source.warnings,
            **self.origin("pillow"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the empty arrays of `count` crops."""
        create_released_images(group, count, self.released.side, self.released.values)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all crops, with empty images."""
        crops = self.items
        columns = ReleasedColumns(
            patient=np.array([crop.patient for crop in crops]),
            series=np.array([crop.series for crop in crops]),
            z=np.array([np.nan if crop.z is None else crop.z for crop in crops]),
            lesion=np.array([crop.lesion for crop in crops], dtype=np.int32),
            annotations=np.array([crop.marked for crop in crops], dtype=np.uint8),
            part=np.array([crop.split for crop in crops]),
            name=np.array([crop.name for crop in crops]),
        )
        create_released(store, columns, self.attributes())


def plan_released(manifest: Path) -> ReleasedPlan:
    """Return the crops to copy from a manifest, and its unusable ones."""
    source = ReleasedManifest.read(manifest)
    crops = sorted(source.crops, key=lambda crop: crop.patient)  # stable: else the set's order
    return ReleasedPlan(manifest, crops, list(source.left_out), source)


def read_crops(
    root: Path, released: ReleasedSet, crops: Sequence[ReleasedCrop]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these crops, and the unusable ones, whose rows are zero.

    Paths are relative to `root`.
    """
    side = released.side
    image = np.zeros((len(crops), side, side), released.values)
    masks = np.zeros((len(crops), side, side), np.uint8)
    bad: list[Unusable] = []
    for _, group in groupby(enumerate(crops), key=lambda item: item[1].paths):
        rows = list(group)
        first = rows[0][1]
        try:
            contents = {file.path: file.read(root, CropReason.CHANGED) for file in first.files}
            chosen = [row for row, _ in rows]
            if first.place is None:
                image[chosen], masks[chosen] = decode_crop(contents, side)
            else:
                places = [crop.place or 0 for _, crop in rows]
                image[chosen], masks[chosen] = read_arrays(
                    contents[first.files[0].path], places, side
                )
        except BadFileError as error:
            owner = {"patient": first.patient, "name": first.name}
            bad.append(CropLeftOut(**owner, **error.entry(first.files[0].path)))
    return {"image": image, "masks": masks}, bad
