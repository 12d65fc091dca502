"""prepare from DICOM files to a sealed store, with real workers in a process of their own."""

import errno
import os
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from scipy.ndimage import binary_dilation

from probunet.datasets.lidc import plan
from probunet.datasets.lidc.crop import AIR, SPACING
from probunet.datasets.lidc.dicom import read_slice
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason
from probunet.datasets.lidc.plan import plan_crops
from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.errors import ProbunetError
from probunet.prepare import parts
from probunet.store import verify
from support.commands import PROBUNET, preparing
from support.folders import files_of


def make(manifest: Path, output: Path, on_error: str = "stop"):
    parts.fill_store(None, plan_crops(manifest), output, on_error)
    verify(output)
    return open_crops(output)


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def edit(path: Path, **fields) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


SPOILERS = {  # the other reasons why a slice is not read: test_dicom.py
    Reason.EMPTY: lambda path: cut(path, 0),
    Reason.TRUNCATED: lambda path: cut(path, path.stat().st_size - 2),
    Reason.WRONG_SERIES: lambda path: edit(path, SeriesInstanceUID="1.2.3"),
    Reason.GEOMETRY: lambda path: edit(path, PixelSpacing=None),
    Reason.RESCALE: lambda path: edit(path, RescaleIntercept=None),
    Reason.PIXEL_FORMAT: lambda path: edit(path, PhotometricInterpretation="MONOCHROME1"),
}


def test_a_store_of_whole_series(tree, lesions, in_this_process, tmp_path):
    crops = make(tree(patients=2, slices=99), tmp_path / "s.zarr")
    uids = sorted(lesions)[:2]
    expected = [lesion for uid in uids for lesion in lesions[uid]]
    assert len(crops) == len(expected)
    assert crops.columns.patient.tolist() == ["P0"] * len(lesions[uids[0]]) + ["P1"] * len(
        lesions[uids[1]]
    )
    keys = list(zip(crops.columns.patient, crops.columns.z, crops.columns.lesion, strict=True))
    assert keys == sorted(keys)
    assert crops.columns.annotations.sum() == sum(len(x.annotations) for x in expected)
    assert crops.attributes.left_out == {}
    assert sum(crops.attributes.annotations.values()) == len(expected)
    assert (crops.attributes.padding, crops.attributes.spacing) == (AIR, SPACING)
    assert crops.attributes.protocol_version == 2


def test_the_crop_lies_where_the_outlines_say(tree, lesions, scans, in_this_process, tmp_path):
    crops = make(tree(patients=1, slices=99), tmp_path / "s.zarr")
    uid = sorted(lesions)[0]
    by_place = {(x.z, x.lesion): x for x in lesions[uid]}
    assert len(crops)
    for row in range(len(crops)):
        lesion = by_place[crops.columns.z[row], crops.columns.lesion[row]]
        x0, x1, _, _ = lesion.box
        # HU are -1000 + column: they tell where a pixel was taken
        columns = crops.image[row][SIZE // 2].astype(float) + 1000
        seen = columns[SIZE // 2 - 1 : SIZE // 2 + 1].mean()
        assert seen * scans[uid].pixel_spacing == pytest.approx(
            (x0 + x1) / 2 * scans[uid].pixel_spacing, abs=0.5
        )


@pytest.mark.parametrize("reason", SPOILERS, ids=lambda reason: reason.name)
def test_a_bad_slice_is_left_out_and_counted(reason, tree, in_this_process, tmp_path):
    def spoil(patient: int, number: int, path: Path) -> None:
        if (patient, number) == (0, 1):
            SPOILERS[reason](path)

    whole = make(tree(patients=2, slices=99), tmp_path / "whole.zarr")
    crops = make(tree(patients=2, slices=99, spoil=spoil), tmp_path / "s.zarr")
    assert crops.attributes.left_out == {str(reason): 1}
    assert crops.attributes.left_out_patients == ()
    gone = sorted(set(whole.columns.z[whole.columns.patient == "P0"]))[1]
    stays = ~((whole.columns.patient == "P0") & (whole.columns.z == gone))
    assert len(crops) == stays.sum() < len(whole)
    np.testing.assert_array_equal(crops.image[:], whole.image[:][stays])
    np.testing.assert_array_equal(crops.masks[:], whole.masks[:][stays])


def test_missing_changed_and_doubled_slices_are_left_out(tree, in_this_process, tmp_path):
    path = tree(patients=2, slices=5)
    manifest = Manifest.read(path)
    files = list(manifest.series[0].slices)
    root = Path(manifest.root)
    (root / files[0].path).unlink()
    edit(root / files[1].path, PatientComments="touched after fetch")
    files.append(files[2].model_copy(update={"path": "P0/again.dcm"}))
    series = (manifest.series[0].model_copy(update={"slices": tuple(files)}), manifest.series[1])
    told = LeftOut(
        patient="P1",
        series=series[1].series,
        z=series[1].slices[0].z,
        reason=Reason.NOT_DICOM,
        path=series[1].slices[0].path,
    )
    manifest.model_copy(update={"series": series, "left_out": (told,)}).write(path)
    crops = make(path, tmp_path / "s.zarr")
    left_out = crops.attributes.left_out
    assert left_out.pop(str(Reason.MISSING)) > 1  # beside the file, slices that were not listed
    assert left_out == {
        str(Reason.CHANGED): 1,
        str(Reason.DUPLICATE_Z): 1,
        str(Reason.NOT_DICOM): 1,
    }


def test_a_slice_too_small_for_its_outlines_is_left_out(tree, in_this_process, tmp_path):
    def spoil(patient: int, number: int, path: Path) -> None:
        if (patient, number) == (0, 0):
            edit(path, Rows=64, Columns=64, PixelData=bytes(2 * 64 * 64))

    crops = make(tree(patients=2, spoil=spoil, slices=99), tmp_path / "s.zarr")
    assert crops.attributes.left_out == {str(Reason.GEOMETRY): 1}


def test_a_patient_without_a_usable_slice_stops_or_is_skipped(tree, in_this_process, tmp_path):
    def spoil(patient: int, number: int, path: Path) -> None:
        if patient == 1:
            cut(path, 0)

    manifest = tree(patients=3, slices=99, spoil=spoil)
    with pytest.raises(ProbunetError) as stopped:
        make(manifest, tmp_path / "stopped.zarr")
    counted = "of these patients, 1 in all; empty file: 6 slices:"
    for words in ("P1: P1/0.dcm: empty file", counted, "on_error: skip"):
        assert words in str(stopped.value)
    crops = make(manifest, tmp_path / "skipped.zarr", on_error="skip")
    assert crops.attributes.left_out_patients == ("P1",)
    assert set(crops.columns.patient) == {"P0", "P2"}


def test_no_crop_at_all_is_an_error(tree, in_this_process, tmp_path):
    manifest = tree(patients=1, slices=0)
    with pytest.raises(ProbunetError, match="no slice of it can be used; no slice at the"):
        make(manifest, tmp_path / "s.zarr", on_error="skip")


def test_unknown_outlines_are_an_error(tree, in_this_process, tmp_path):
    path = tree(patients=1)
    manifest = Manifest.read(path)
    other = manifest.series[0].model_copy(update={"outlines_of": "1.2.3"})
    manifest.model_copy(update={"series": (other,)}).write(path)
    with pytest.raises(ProbunetError, match=r"P0: series 1\.2\.3 has no outlines"):
        make(path, tmp_path / "s.zarr")


def test_a_series_is_compared_with_its_own_left_out_slices_only(monkeypatch, tmp_path):
    compared = 0

    class Uid(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    def left_out(series: int) -> SimpleNamespace:
        return SimpleNamespace(series=f"series-{series}", z=0.0)

    def series(number: int) -> SimpleNamespace:
        return SimpleNamespace(series=Uid(f"series-{number}"), outlines_of=str(number), slices=())

    source = SimpleNamespace(
        series=[series(number) for number in range(50)],
        left_out=[left_out(number) for number in range(50)],
    )
    monkeypatch.setattr(plan.Manifest, "read", lambda _: source)
    lesion = SimpleNamespace(z=0.0)
    monkeypatch.setattr(plan, "read_lesions", lambda names: {name: [lesion] for name in names})
    assert len(plan_crops(tmp_path / "m.json").left_out) == 50
    assert compared <= 2 * 50


def test_real_slices_make_sixteen_crops(sample_manifest, lesions, in_this_process, tmp_path):
    crops = make(sample_manifest, tmp_path / "s.zarr", on_error="skip")
    manifest = Manifest.read(sample_manifest)
    missing = crops.attributes.left_out.get(str(Reason.MISSING), 0)
    assert sum(len(lesions[s.outlines_of]) for s in manifest.series) == len(crops) + missing
    assert len(crops) == 16
    numbers = {
        patient: crops.columns.annotations[crops.columns.patient == patient].tolist()
        for patient in ("LIDC-IDRI-0001", "LIDC-IDRI-0002")
    }
    assert numbers["LIDC-IDRI-0001"].count(4) > len(numbers["LIDC-IDRI-0001"]) / 2
    assert set(numbers["LIDC-IDRI-0002"]) == {2}  # two masks of the four are empty
    images, masks = crops.image[:], crops.masks[:]
    files = {file.z: Path(manifest.root, file.path) for s in manifest.series for file in s.slices}
    for row in range(len(crops)):
        rows, columns = np.nonzero(masks[row])
        centre = rows.min() + rows.max(), columns.min() + columns.max()
        assert np.abs(np.array(centre) / 2 - (SIZE - 1) / 2).max() <= 2  # pixels of 0.5 mm
        hu = read_slice(files[crops.columns.z[row]])[1]
        assert images[row].min() >= min(hu.min(), AIR)
        lesion = masks[row] > 0
        around = binary_dilation(lesion, iterations=8) & ~binary_dilation(lesion, iterations=3)
        if crops.columns.patient[row] == "LIDC-IDRI-0001":  # within the lung: denser than it
            assert images[row][lesion].mean() > images[row][around].mean() + 100


def prepare_in_a_process(manifest: Path, output: Path, workers: int = 1) -> subprocess.Popen[str]:
    words = preparing("lidc", manifest, output, source="phantom")
    return subprocess.Popen(
        [*PROBUNET, *words, "--workers", str(workers)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(tree, in_this_process, tmp_path):
    def spoil(patient: int, number: int, path: Path) -> None:
        if (patient, number) == (2, 1):
            cut(path, 0)

    manifest = tree(patients=6, slices=99, spoil=spoil)
    make(manifest, tmp_path / "here.zarr")
    expected = files_of(tmp_path / "here.zarr")
    assert sum(name.startswith("image/c/") for name in expected) > 1
    for workers in (1, 3):
        output = tmp_path / f"{workers}.zarr"
        process = prepare_in_a_process(manifest, output, workers)
        process.communicate(timeout=120)
        assert process.returncode == 0
        assert files_of(output) == expected
        left = {p.name for p in tmp_path.iterdir() if f"{workers}.zarr" in p.name}
        assert left <= {output.name, f".{output.name}.lock"}


@pytest.mark.slow
def test_killed_in_the_middle_leaves_nothing_and_runs_again(tree, tmp_path):
    manifest, output = tree(patients=6, slices=99), tmp_path / "s.zarr"
    process = prepare_in_a_process(manifest, output)
    aside = tmp_path / ".s.zarr.partial"
    deadline = time.monotonic() + 60
    while not aside.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    again = prepare_in_a_process(manifest, output)
    again.communicate(timeout=120)
    assert again.returncode == 0
    open_crops(output)
    assert not aside.exists()


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_leaves_nothing(tree, small_disk):
    disk = small_disk("size=80k")
    process = prepare_in_a_process(tree(patients=6, slices=99), disk / "s.zarr")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the disk or quota is full; nothing was left behind" in told
    assert [path.name for path in disk.iterdir()] == [".s.zarr.lock"]


def test_an_error_of_the_pass_leaves_nothing(tree, monkeypatch, in_this_process, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts, "write_shard", full)
    monkeypatch.setattr(parts, "local_workers", lambda workers: nullcontext())
    manifest = tree(patients=1)
    with pytest.raises(ProbunetError, match="the disk or quota is full"):
        parts.prepare(plan_crops(manifest), tmp_path / "out" / "s.zarr", on_error="skip")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".s.zarr.lock"]
