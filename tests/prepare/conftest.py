"""Real outlines by annotation and pylidc itself, and small manifests of slices made here."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from probunet.files import sha256
from probunet.manifest import Manifest, Series, SliceFile
from probunet.outlines import Annotation, LesionSlice, Scan, read_lesions, read_scans
from probunet.prepare import parts

SAMPLE = Path(__file__).parents[2] / "../shared/lidc-sample"


@pytest.fixture(scope="session")
def lesions() -> dict[str, list[LesionSlice]]:
    return read_lesions()


@pytest.fixture(scope="session")
def scans() -> dict[str, Scan]:
    return read_scans()


@pytest.fixture(scope="session")
def outlines_by_id(lesions) -> dict[int, dict[float, Annotation]]:
    """An annotation's outlines by z."""
    found: dict[int, dict[float, Annotation]] = {}
    for slices in lesions.values():
        for lesion in slices:
            for annotation in lesion.annotations:
                found.setdefault(annotation.id, {})[lesion.z] = annotation
    return found


@pytest.fixture
def pylidc(monkeypatch) -> ModuleType:
    """pylidc 0.2.3, with the aliases that NumPy dropped for as long as the test runs."""
    monkeypatch.setattr(np, "int", int, raising=False)
    monkeypatch.setattr(np, "float", float, raising=False)
    if "pylidc" in sys.modules:
        return sys.modules["pylidc"]
    return pytest.importorskip("pylidc")


@pytest.fixture(scope="session")
def sample() -> Path:
    if not SAMPLE.exists():
        pytest.skip("the real CT slices are not here: ../shared/lidc-sample")
    return SAMPLE.resolve()


@pytest.fixture(scope="session")
def sample_manifest(sample, tmp_path_factory) -> Path:
    """A manifest of the two real patients' slices."""
    series: dict[tuple[str, str], list[SliceFile]] = {}
    for path in sorted(sample.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        key = (str(header.PatientID), str(header.SeriesInstanceUID))
        entry = _entry(path, sample, float(header.ImagePositionPatient[2]))
        series.setdefault(key, []).append(entry)
    listed = [Series(patient=p, series=s, outlines_of=s, slices=f) for (p, s), f in series.items()]
    manifest = tmp_path_factory.mktemp("sample") / "manifest.json"
    _manifest(sample, listed).write(manifest)
    return manifest


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the tasks here and now: what is tested is what they do, not Dask."""
    monkeypatch.setattr(parts, "run_tasks", lambda client, f, tasks, label: map(f, tasks))


@pytest.fixture
def tree(tmp_path, lesions, scans) -> Callable[..., Path]:
    """Write a few small patients' slices and their manifest; return the manifest's path.

    `spoil` may change or damage a slice's file (after `dataset` is written) before it is listed.
    """

    def make(
        patients: int = 3,
        slices: int = 3,
        spoil: Callable[[int, int, Path], None] | None = None,
    ) -> Path:
        listed = []
        for p, uid in enumerate(sorted(lesions)[:patients]):
            fake, files = generate_uid(entropy_srcs=[uid]), []
            zs = sorted({lesion.z for lesion in lesions[uid]})
            for i, z in enumerate(zs):
                path = tmp_path / "raw" / f"P{p}" / f"{i}.dcm"
                if i < slices:
                    write_slice(path, series=fake, z=z, spacing=scans[uid].pixel_spacing, value=p)
                    if spoil:
                        spoil(p, i, path)
                    files.append(_entry(path, tmp_path / "raw", z))
            listed.append(Series(patient=f"P{p}", series=fake, outlines_of=uid, slices=files))
        manifest = tmp_path / "manifest.json"
        _manifest(tmp_path / "raw", listed).write(manifest)
        return manifest

    return make


def write_slice(path: Path, series: str, z: float, spacing: float = 0.7, value: int = 0) -> None:
    """Write a 512x512 slice whose HU grow by one per column, from -1000 + `value` on."""
    dataset = FileDataset(path, {}, preamble=b"\0" * 128, file_meta=FileMetaDataset())
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(
        entropy_srcs=[series, str(z)]
    )
    dataset.SeriesInstanceUID = series
    dataset.PixelSpacing = [spacing, spacing]
    dataset.ImagePositionPatient = [-170, -170, z]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation = z
    dataset.Rows = dataset.Columns = 512
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.SamplesPerPixel = 1
    dataset.PixelRepresentation = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    row = np.arange(512, dtype="<i2") + 24 + value
    dataset.PixelData = np.tile(row, (512, 1)).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _entry(path: Path, root: Path, z: float) -> SliceFile:
    there = path.exists()
    return SliceFile(
        path=path.relative_to(root).as_posix(),
        z=z,
        bytes=path.stat().st_size if there else 0,
        sha256=sha256(path) if there else "",
    )


def _manifest(root: Path, series: list[Series]) -> Manifest:
    return Manifest(
        dataset="lidc",
        source="local",
        synthetic=False,
        root=str(root),
        licence="CC BY 3.0",
        series=series,
    )
