"""Stores of LIDC crops: of arrays, and of discs that graders outline."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.store import (
    PROTOCOL_VERSION,
    SIZE,
    Columns,
    CropAttributes,
    Crops,
    create_crops,
)
from probunet.files import written_whole
from probunet.store import SHARD, seal, write_shard

PATIENTS = ("a", "b", "c", "d")
CROPS = 24  # of discs, six of each patient


def crop_attributes(**changed: Any) -> CropAttributes:
    """Return what a store of crops says of itself."""
    usual = {
        "dataset": "lidc",
        "source": "phantom",
        "synthetic": True,
        "protocol": "kohl2018",
        "protocol_version": PROTOCOL_VERSION,
        "spacing": 0.5,
        "outlines": "",
        "more_than_four": "",
        "annotations": {},
        "left_out": {},
        "left_out_patients": (),
        "manifest_sha256": "",
        "licence": "",
        "versions": {},
    }
    return CropAttributes(**usual | changed)


def columns_of(patients: list[str]) -> Columns:
    """Return the columns of a crop of each patient; those of one patient are of one series."""
    count = len(patients)
    return Columns(
        patient=np.array(patients),
        series=np.array([f"1.2.{patient}" for patient in patients]),
        z=np.arange(count) * 1.25,
        lesion=np.zeros(count, np.int32),
        annotations=np.full(count, 3, np.uint8),
    )


def crops_of(patients: list[str], **attributes: Any) -> Crops:
    """Return an open store of a crop of each patient, without images."""
    nothing = np.zeros((len(patients), 1))
    about = crop_attributes(**attributes)
    return Crops(Path("data/lidc.zarr"), about, "", columns_of(patients), nothing, nothing)


def write_crops(
    path: Path,
    image: NDArray[np.int16],
    masks: NDArray[np.uint8],
    patients: list[str],
    sealed: bool = True,
    **attributes: Any,
) -> Path:
    """Write a store of crops (n, 180, 180), whole or not at all."""
    count = len(patients)
    with written_whole(path) as aside:
        create_crops(aside, columns_of(patients), crop_attributes(**attributes))
        for shard, start in enumerate(range(0, count, SHARD)):
            part = slice(start, start + SHARD)
            write_shard(aside, shard, image=image[part], masks=masks[part])
        if sealed:
            seal(aside)
    return path


def write_discs(path: Path, seed: int) -> Path:
    """Write crops with a bright disc each; grader g outlines it g pixels wider, the last none."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = random.uniform(4, 12, CROPS)[:, None, None]
    distance = np.hypot(x, y)
    image = np.where(distance < radius, 50, -800)
    image = (image + random.normal(0, 20, image.shape)).astype(np.int16)
    masks = np.zeros(image.shape, np.uint8)
    for grader in range(3):
        masks |= ((distance < radius + grader) << grader).astype(np.uint8)
    patients = [PATIENTS[i * len(PATIENTS) // CROPS] for i in range(CROPS)]
    return write_crops(path, image, masks, patients, dataset=path.stem)
