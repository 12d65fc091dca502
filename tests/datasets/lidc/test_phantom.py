from pathlib import Path

import numpy as np
import pydicom
import pytest

from probunet.datasets.lidc import phantom
from probunet.datasets.lidc.dicom import read_slice
from probunet.datasets.lidc.manifest import Manifest
from probunet.datasets.lidc.outlines import read_lesions, read_scans
from probunet.datasets.lidc.phantom import fetch_phantom
from probunet.errors import ProbunetError
from probunet.files import sha256


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    fetch_phantom(folder / "raw/lidc", folder / "raw/lidc.json", patients=2, seed=3, workers=1)
    return folder


@pytest.fixture(scope="module")
def manifest(data):
    return Manifest.read(data / "raw/lidc.json")


def test_fewer_patients_are_the_first_of_more_and_seeds_differ():
    def real(patients: int, seed: int) -> list[tuple[str, str]]:
        return [(p.patient, p.scan.series) for p in phantom._phantoms(patients, seed)]

    assert real(12, 0) == real(24, 0)[: len(real(12, 0))]
    assert real(12, 0) != real(12, 1)


def test_every_series_of_a_patient_is_taken_once():
    scans = read_scans()
    phantoms = phantom._phantoms(875, 0)
    assert sorted(p.scan.series for p in phantoms) == sorted(read_lesions())
    invented = {p.patient: scans[p.scan.series].patient for p in phantoms}
    assert len(invented) == len(set(invented.values())) == 875
    assert all(scans[p.scan.series].patient == invented[p.patient] for p in phantoms)


def test_manifest_lists_every_outlined_slice_whole(manifest):
    assert (manifest.source, manifest.synthetic) == ("phantom", True)
    lesions, scans = read_lesions([s.outlines_of for s in manifest.series]), read_scans()
    for series in manifest.series:
        outlined = sorted({lesion.z for lesion in lesions[series.outlines_of]})
        assert [file.z for file in series.slices] == outlined
        for file in series.slices:
            path = Path(manifest.root, file.path)
            assert (path.stat().st_size, sha256(path)) == (file.bytes, file.sha256)
            header, hu = read_slice(path, series.series)
            assert header.z == pytest.approx(file.z, abs=1e-5)
            spacing = scans[series.outlines_of].pixel_spacing
            assert header.spacing == pytest.approx(spacing, abs=1e-6)
            assert hu.shape == (512, 512)


def test_neighbours_of_outlined_slices_are_in_the_tree_only(manifest):
    series = manifest.series[0]
    listed = {Path(file.path) for file in series.slices}
    folder = next(iter(listed)).parent
    there = {path.relative_to(manifest.root) for path in Path(manifest.root, folder).iterdir()}
    zs = read_scans()[series.outlines_of].z
    outlined = np.isin(zs, [file.z for file in series.slices])
    neighbour = ~outlined & (np.append(outlined[1:], False) | np.append(False, outlined[:-1]))
    assert listed <= there
    assert sorted(float(path.stem) for path in there - listed) == pytest.approx(zs[neighbour])


def test_files_call_themselves_synthetic_and_carry_no_real_uid(manifest):
    real = set(read_scans())
    uids: list[str] = []
    for path in Path(manifest.root).rglob("*.dcm"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        said = f"{dataset.PatientName} {dataset.SeriesDescription} {dataset.ImageComments}"
        assert said.upper().count("NOT A PATIENT") == 3
        assert "synthetic" in dataset.Manufacturer
        assert dataset.ImageType[0] == "DERIVED"
        assert str(dataset.PatientID).startswith("PHANTOM-")
        assert not {element.value for element in dataset if element.VR == "UI"} & real
        assert "1.3.6.1.4.1.14519" not in str(dataset)
        uids.append(dataset.SOPInstanceUID)
        assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in uids)
    assert len(set(uids)) == len(uids) > 0


@pytest.mark.parametrize("patients", [0, 876])
def test_as_many_patients_as_have_outlines(tmp_path, patients):
    with pytest.raises(ProbunetError, match=r"choose 1 to 875"):
        fetch_phantom(tmp_path / "raw", tmp_path / "raw.json", patients=patients)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_call_leaves_no_manifest(tmp_path, monkeypatch):
    render = phantom.Chest.render
    calls = []

    def stop_at_third(chest: phantom.Chest, z: float) -> object:
        calls.append(z)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(chest, z)

    monkeypatch.setattr(phantom.Chest, "render", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        fetch_phantom(tmp_path / "raw", tmp_path / "raw.json", patients=1, workers=1)
    assert not (tmp_path / "raw.json").exists()
    names = [path.name for path in (tmp_path / "raw").rglob("*") if path.is_file()]
    assert len(names) == 2
    assert all(name.endswith(".dcm") and not name.startswith(".") for name in names)
