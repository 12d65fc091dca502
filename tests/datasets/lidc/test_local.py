import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, JPEGLossless

from probunet.datasets.lidc import tree as tree_module
from probunet.datasets.lidc.local import fetch_local
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason
from probunet.datasets.lidc.outlines import read_lesions, read_scans
from probunet.datasets.lidc.series import read_series
from probunet.datasets.lidc.verify import verify_tree
from probunet.errors import ProbunetError
from probunet.files import sha256
from support.slices import OTHER, PATIENT, SERIES, ZS, write_slice


@pytest.fixture
def tree(tmp_path):
    """A tree with one whole series, its files numbered from z -130 on."""
    for number in range(12):
        write_slice(tmp_path / f"tree/ct/1-{number:03}.dcm", -130 + 2.5 * number)
    return tmp_path / "tree"


def slice_at(tree: Path, z: float) -> Path:
    return tree / f"ct/1-{round((z + 130) / 2.5):03}.dcm"


def fetch(tree: Path, **options: Any) -> Manifest:
    return fetch_local(tree, tree.parent / "raw.json", workers=1, **options)


def only(manifest: Manifest) -> LeftOut:
    """The one slice that was left out; the others are all there."""
    assert len(manifest.left_out) == 1
    left_out = manifest.left_out[0]
    assert (left_out.patient, left_out.series) == (PATIENT, SERIES)
    assert [file.z for file in manifest.series[0].slices] == [z for z in ZS if z != left_out.z]
    return left_out


def test_constants_are_what_the_database_says():
    assert sorted({lesion.z for lesion in read_lesions([SERIES])[SERIES]}) == ZS
    assert read_scans()[SERIES].patient == PATIENT


def test_whole_series(tree):
    manifest = fetch(tree)
    assert (manifest.source, manifest.synthetic, manifest.left_out) == ("local", False, ())
    assert Path(manifest.root) == tree.resolve()
    assert manifest.absent_patients == 874
    [series] = manifest.series
    assert (series.patient, series.series, series.outlines_of) == (PATIENT, SERIES, SERIES)
    assert [file.z for file in series.slices] == ZS
    for file in series.slices:
        path = tree / file.path
        assert path == slice_at(tree, file.z)
        assert (path.stat().st_size, sha256(path)) == (file.bytes, file.sha256)


def test_names_do_not_matter(tree):
    for number, path in enumerate(sorted((tree / "ct").iterdir())):
        suffix = ["", ".DCM", ".6001"][number % 3]
        path.rename(tree / "ct" / f"{number}{suffix}")
    (tree / "ct" / "LICENSE").write_text("CC BY 3.0")
    (tree / "ct" / "071.xml").write_text("<xml/>")
    assert fetch(tree).left_out == ()


def test_series_mixed_in_one_folder(tree):
    zs = sorted({lesion.z for lesion in read_lesions([OTHER])[OTHER]})
    for number, z in enumerate(zs):
        write_slice(tree / f"ct/0-{number:03}.dcm", z, OTHER, PixelSpacing=[0.681641] * 2)
    for number in range(40):
        write_slice(tree / f"ct/2-{number:03}.dcm", -300.0 + number, "1.2.3")
    manifest = fetch(tree)
    assert manifest.left_out == ()
    assert [len(series.slices) for series in manifest.series] == [len(ZS), len(zs)]


def test_first_patients_only(tree, monkeypatch):
    for number in range(6):
        write_slice(tree / f"second/{number}.dcm", -90.0 + number, OTHER)
    looked: list[Path] = []
    look = tree_module.look
    monkeypatch.setattr(tree_module, "look", lambda path: looked.append(path) or look(path))
    manifest = fetch(tree, patients=1)
    assert [series.patient for series in manifest.series] == [PATIENT]
    assert manifest.absent_patients == 873
    assert sum(path.parent.name == "second" for path in looked) == 3
    assert len(looked) == len(set(looked))


def test_links_in_a_circle(tree):
    (tree / "ct" / "loop").symlink_to(tree, target_is_directory=True)
    assert fetch(tree).left_out == ()


def test_missing(tree):
    slice_at(tree, -115.0).unlink()
    left_out = only(fetch(tree))
    assert (left_out.z, left_out.reason, left_out.path) == (-115.0, Reason.MISSING, None)


def test_two_slices_at_one_z(tree):
    write_slice(tree / "ct/twin.dcm", -115.02)
    left_out = only(fetch(tree))
    assert (left_out.z, left_out.reason) == (-115.0, Reason.DUPLICATE_Z)
    assert "ct/twin.dcm" in left_out.detail
    assert f"ct/{slice_at(tree, -115.0).name}" in left_out.detail


def other_pixels(value: int) -> bytes:
    return np.full((16, 16), value, "<i2").tobytes()


# a second file at z -115 that is not the same slice
TWINS = {
    "another instance": {"SOPInstanceUID": "2.25.7"},
    "other pixels": {"PixelData": other_pixels(1)},
    "other rescaling": {"RescaleIntercept": -1000},
    "other spacing": {"PixelSpacing": [0.703125] * 2},
}


def test_files_without_an_instance_uid_are_equal_by_their_bytes_only(tree):
    good = slice_at(tree, -115.0)
    edit(good, SOPInstanceUID="")
    shutil.copy(good, tree / "ct/copy.dcm")
    assert fetch(tree).left_out == ()
    edit(tree / "ct/copy.dcm", PatientComments="another")
    assert only(fetch(tree)).reason is Reason.DUPLICATE_Z


@pytest.mark.parametrize("kind", TWINS)
def test_two_files_at_one_z_that_differ_are_refused(tree, kind):
    write_slice(tree / "again/twin.dcm", -115.0, **TWINS[kind])
    left_out = only(fetch(tree))
    assert (left_out.z, left_out.reason) == (-115.0, Reason.DUPLICATE_Z)
    assert "again/twin.dcm" in left_out.detail


def test_a_third_file_that_differs_is_refused_beside_two_equal_ones(tree):
    shutil.copy(slice_at(tree, -115.0), tree / "ct/copy.dcm")
    write_slice(tree / "ct/other.dcm", -115.0, PixelData=other_pixels(9))
    assert only(fetch(tree)).reason is Reason.DUPLICATE_Z


# how a copy of a slice can differ and still be the same slice
COPIES = {
    "bytes": lambda path: None,
    "comment": lambda path: edit(path, PatientComments="copied by another tool"),
    "syntax": lambda path: edit(path, syntax=ImplicitVRLittleEndian),
    "rounded z": lambda path: edit(path, ImagePositionPatient=[0, 0, "-115.01"]),
}


def edit(path: Path, syntax: str | None = None, **fields: Any) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(dataset, name, value)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)


@pytest.mark.parametrize("kind", COPIES)
def test_one_copied_file_counts_once(tree, kind):
    alone = fetch(tree)
    copied = tree / "ct/a copy.dcm"
    shutil.copy(slice_at(tree, -115.0), copied)
    COPIES[kind](copied)
    twice = fetch(tree)
    assert twice.left_out == ()
    assert [file.z for file in twice.series[0].slices] == [
        file.z for file in alone.series[0].slices
    ]


def test_two_whole_copies_count_once_and_say_so(tree, caplog):
    alone = fetch(tree)
    shutil.copytree(tree / "ct", tree / "old/second copy")
    caplog.set_level(logging.INFO)
    assert fetch(tree) == alone
    told = [record.getMessage() for record in caplog.records]
    assert sum(f"{len(ZS)} slices are in more than one file" in line for line in told) == 1


@pytest.mark.parametrize("first", ["a.dcm", "z.dcm"])
def test_a_damaged_copy_beside_a_good_slice_does_no_harm(tree, first):
    good = slice_at(tree, -115.0)
    shutil.copy(good, tree / "ct" / first)
    cut(tree / "ct" / first, good.stat().st_size - 100)
    manifest = fetch(tree)
    assert manifest.left_out == ()
    assert manifest.series[0].slices[ZS.index(-115.0)].path == f"ct/{good.name}"


def test_two_damaged_copies_say_what_is_wrong(tree):
    good = slice_at(tree, -115.0)
    cut(good, good.stat().st_size - 100)
    shutil.copy(good, tree / "ct/copy.dcm")
    assert only(fetch(tree)).reason is Reason.TRUNCATED


DOUBLED = {  # patients with doubled positions in the publisher's data, and slices there
    "LIDC-IDRI-0085": 1,
    "LIDC-IDRI-0146": 1,
    "LIDC-IDRI-0572": 1,
}


@pytest.mark.parametrize("patient", DOUBLED)
def test_doubled_positions_of_the_publisher_are_refused_where_they_matter(tmp_path, patient):
    """The publisher has one instance more than positions; which one, its table does not say.

    Patients 0418 and 0979 have five each, but no outlines.
    """
    lesions, scans, rows = read_lesions(), read_scans(), read_series()
    uid = next(u for u in lesions if scans[u].patient == patient)
    scan, zs = scans[uid], sorted({lesion.z for lesion in lesions[uid]})
    assert rows[uid].instances - len(scan.z) == DOUBLED[patient]
    beside = next(float(z) for z in scan.z if min(abs(z - np.array(zs))) > 0.1)
    for number, z in enumerate([*zs, zs[0], beside, beside]):
        write_slice(
            tmp_path / f"tree/{number:03}.dcm",
            z,
            uid,
            scan.pixel_spacing,
            SOPInstanceUID=f"2.25.{number + 1}",
            InstanceNumber=number + 1,
            PixelData=other_pixels(number),
        )
    manifest = fetch(tmp_path / "tree")
    [left_out] = manifest.left_out
    assert (left_out.z, left_out.reason) == (zs[0], Reason.DUPLICATE_Z)
    assert [file.z for file in manifest.series[0].slices] == zs[1:]


def test_two_copies_of_the_real_sample_count_once(sample, tmp_path):
    alone = fetch_local(sample, tmp_path / "alone.json")
    for copy in ("first", "second"):
        shutil.copytree(sample, tmp_path / "tree" / copy)
    twice = fetch(tmp_path / "tree")
    assert [len(series.slices) for series in twice.series] == [9, 7]
    assert twice.left_out == alone.left_out
    listed = [[one.sha256 for s in m.series for one in s.slices] for m in (alone, twice)]
    assert listed[0] == listed[1]


def test_reasons_are_counted_before_they_are_listed(tree, caplog):
    for z in ZS[:4]:
        slice_at(tree, z).unlink()
    write_slice(slice_at(tree, -115.0), -115.0, RescaleSlope=None)
    fetch(tree)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told[0].endswith(f"5 cannot be used: {Reason.RESCALE}: 1; {Reason.MISSING}: 4")
    assert len(told) == 6


def test_verify_tells_the_same(tree):
    write_slice(slice_at(tree, -115.0), -115.0, RescaleIntercept=None)
    shutil.copy(slice_at(tree, -110.0), tree / "ct/copy.dcm")
    write_slice(tree / "ct/other.dcm", -105.0, SOPInstanceUID="2.25.7")
    [state] = [one for one in verify_tree(tree, workers=1) if one.scan.series == SERIES]
    assert {fault.z: fault.reason for fault in state.faults} == {
        -115.0: Reason.RESCALE,
        -105.0: Reason.DUPLICATE_Z,
    }


@pytest.mark.parametrize(
    ("asked", "says"), [(5, True), (2, True), (1, False), (None, False)], ids=str
)
def test_more_patients_than_the_tree_has(tree, caplog, asked, says):
    manifest = fetch(tree, patients=asked)
    assert manifest.absent_patients == 874
    told = [record.getMessage() for record in caplog.records]
    line = f"datasets.lidc.patients: {asked}, but the tree has 1 patient with outlines"
    assert any(line in one for one in told) == says


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


# what happens to the slice at -115, and the reason that is to be told
DAMAGE = {
    "empty": (lambda path: cut(path, 0), Reason.EMPTY),
    "text": (lambda path: path.write_text("no DICOM\n" * 50), Reason.NOT_DICOM),
    "cut preamble": (lambda path: cut(path, 100), Reason.NOT_DICOM),
    "cut header": (lambda path: cut(path, 350), Reason.TRUNCATED),
    "cut pixels": (lambda path: cut(path, path.stat().st_size - 100), Reason.TRUNCATED),
    "no pixels": (lambda path: write_slice(path, -115.0, PixelData=None), Reason.NO_PIXELS),
    "location": (
        lambda path: write_slice(path, -115.0, SliceLocation=115.9),
        Reason.SLICE_LOCATION,
    ),
    "spacing": (lambda path: write_slice(path, -115.0, PixelSpacing=None), Reason.GEOMETRY),
    "position": (
        lambda path: write_slice(path, -115.0, ImagePositionPatient=None),
        Reason.GEOMETRY,
    ),
    "sagittal": (
        lambda path: write_slice(path, -115.0, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        Reason.GEOMETRY,
    ),
    "other series": (lambda path: write_slice(path, -115.0, OTHER), Reason.WRONG_SERIES),
    "unknown series": (lambda path: write_slice(path, -115.0, "1.2.3"), Reason.WRONG_SERIES),
    "no slope": (lambda path: write_slice(path, -115.0, RescaleSlope=None), Reason.RESCALE),
    "no intercept": (lambda path: write_slice(path, -115.0, RescaleIntercept=None), Reason.RESCALE),
    "inverted": (
        lambda path: write_slice(path, -115.0, PhotometricInterpretation="MONOCHROME1"),
        Reason.PIXEL_FORMAT,
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_bad_slice_is_left_out_with_its_reason_and_file(tree, kind):
    damage, reason = DAMAGE[kind]
    path = slice_at(tree, -115.0)
    damage(path)
    manifest = fetch(tree)
    left_out = next(out for out in manifest.left_out if out.series == SERIES)
    assert (left_out.z, left_out.reason) == (-115.0, reason)
    assert left_out.path == str(path.relative_to(tree))
    listed = {file.z for series in manifest.series for file in series.slices}
    assert listed == set(ZS) - {-115.0}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_bad_file_beside_a_good_slice_does_no_harm(tree, kind):
    damage, _ = DAMAGE[kind]
    shutil.copy(slice_at(tree, -115.0), tree / "ct/kept.dcm")
    damage(slice_at(tree, -115.0))
    assert [file.z for file in fetch(tree).series[0].slices] == ZS


def test_compressed_slice_that_no_decoder_reads(tree):
    path = slice_at(tree, -115.0)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no picture \xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLossless
    dataset.save_as(path, enforce_file_format=True)
    left_out = only(fetch(tree))
    # which one depends on the decoders that are installed
    assert left_out.reason in (Reason.CANNOT_DECODE, Reason.TRUNCATED)
    assert left_out.detail


def test_what_lies_beside_missing_slices_is_named_not_guessed(tree):
    slice_at(tree, -115.0).write_bytes(b"")
    slice_at(tree, -110.0).write_text("text")
    manifest = fetch(tree)
    assert [(out.z, out.reason) for out in manifest.left_out] == [
        (-115.0, Reason.MISSING),
        (-110.0, Reason.MISSING),
    ]
    for out in manifest.left_out:
        assert f"{slice_at(tree, -115.0).name}: empty file" in out.detail
        assert f"{slice_at(tree, -110.0).name}: not a DICOM file" in out.detail


@pytest.mark.parametrize("name", [SERIES, PATIENT])
def test_a_patient_without_one_readable_file_is_not_forgotten(tree, name):
    (tree / "ct").rename(tree / name)
    for path in (tree / name).iterdir():
        path.write_bytes(b"")
    write_slice(tree / "good.dcm", -90.0, OTHER)
    manifest = fetch(tree)
    lost = next(series for series in manifest.series if series.series == SERIES)
    assert lost.slices == ()
    told = [out for out in manifest.left_out if out.series == SERIES]
    assert [out.z for out in told] == ZS
    assert all("empty file" in out.detail for out in told)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tree: tree.mkdir(), "no DICOM file in it"),
        (lambda tree: write_slice(tree / "a/b.dcm", 1.0, "1.2.3"), r"1 series \(1\.2\.3"),
        (lambda tree: (tree.mkdir(), (tree / "b.dcm").touch()), "1 files: empty file"),
    ],
)
def test_a_tree_that_will_not_do(tmp_path, make, message):
    make(tmp_path / "tree")
    with pytest.raises(ProbunetError, match=message) as error:
        fetch(tmp_path / "tree")
    assert str(tmp_path / "tree") in str(error.value)
    assert not (tmp_path / "raw.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tree):
    (tree / "ct").chmod(0)
    try:
        with pytest.raises(ProbunetError, match="cannot be read"):
            fetch(tree)
    finally:
        (tree / "ct").chmod(0o755)


def test_any_number_of_processes_lists_the_same(tree, monkeypatch):
    alone = fetch(tree)
    monkeypatch.setattr(tree_module, "_FILES_PER_PROCESS", 4)
    assert fetch_local(tree, tree.parent / "raw.json", workers=2) == alone


def test_the_real_sample(sample, tmp_path):
    manifest = fetch_local(sample, tmp_path / "raw.json")
    assert [series.patient for series in manifest.series] == ["LIDC-IDRI-0001", "LIDC-IDRI-0002"]
    assert [len(series.slices) for series in manifest.series] == [9, 7]
    assert len(manifest.left_out) == 21
    assert {(out.patient, out.reason) for out in manifest.left_out} == {
        ("LIDC-IDRI-0002", Reason.MISSING)
    }
    assert manifest.absent_patients == 873
    assert manifest == Manifest.read(tmp_path / "raw.json")
