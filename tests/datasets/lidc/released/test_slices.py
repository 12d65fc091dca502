"""The set LIDC-IDRI-slices: its folder, its zip, damaged files, and the real crops bit for bit."""

import re
import shutil
import stat
import zipfile
from collections import defaultdict
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from probunet.datasets import open_data
from probunet.datasets.lidc.released.plan import plan_released
from probunet.datasets.lidc.released.slices import fetch_slices
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack_graders
from probunet.prepare.parts import prepare
from support.released import write, write_slices_crop

FIRST, SECOND = "LIDC-IDRI-0001", "LIDC-IDRI-0002"


@pytest.fixture
def tree(tmp_path):
    """Two patients with five crops, and their arrays by lesion and slice."""
    root = tmp_path / "set"
    crops = {
        (FIRST, lesion, place): write_slices_crop(root, FIRST, lesion, place, marked=place + 1)
        for lesion, place in ((0, 2), (0, 0), (10, 0), (2, 1))
    }
    crops[SECOND, 0, 0] = write_slices_crop(root, SECOND, 0, 0)
    return root, crops


def fetched(tmp_path, path, patients=None):
    return fetch_slices(path, tmp_path / "raw", tmp_path / "raw.manifest.json", patients, 1)


def stored(tmp_path, on_error="stop"):
    prepare(plan_released(tmp_path / "raw.manifest.json"), tmp_path / "lidc.zarr", 1, on_error)
    return open_data(tmp_path / "lidc.zarr")


def test_a_folder_goes_into_the_store_bit_for_bit(tree, tmp_path):
    root, crops = tree
    fetched(tmp_path, root)
    data = stored(tmp_path)
    assert len(data) == 5
    order = [(FIRST, 0, 0), (FIRST, 0, 2), (FIRST, 2, 1), (FIRST, 10, 0), (SECOND, 0, 0)]
    for row, key in enumerate(order):
        image, masks = crops[key]
        assert (np.asarray(data.image[row]) == image).all()
        assert (unpack_graders(np.asarray(data.masks[row])[None])[0] == masks).all()
    assert data.attributes.protocol == "slices"
    assert data.image.dtype == np.uint8
    assert data.columns.annotations.tolist() == [1, 3, 2, 1, 4]
    assert data.attributes.annotations == {"1": 2, "2": 1, "3": 1, "4": 1}


def test_a_zip_gives_the_same_store_as_its_folder(tree, tmp_path):
    root, _ = tree
    shutil.make_archive(str(tmp_path / "crops"), "zip", root)
    listed = fetched(tmp_path, tmp_path / "crops.zip")
    assert listed.archives[0].path == "crops.zip"
    data = stored(tmp_path)
    digests = [file.sha256 for crop in listed.crops for file in crop.files]
    of_folder = fetched(tmp_path, root)
    assert digests == [file.sha256 for crop in of_folder.crops for file in crop.files]
    assert len(data) == 5


def test_the_first_patients_can_be_asked_for(tree, tmp_path):
    listed = fetched(tmp_path, tree[0], patients=1)
    assert {crop.patient for crop in listed.crops} == {FIRST}
    assert stored(tmp_path).attributes.patients == 1


def test_a_set_of_other_counts_is_told(tree, tmp_path, caplog):
    listed = fetched(tmp_path, tree[0])
    assert "5 usable crops of 2 patients; the released set has 15,548 of 875" in caplog.text
    assert stored(tmp_path).attributes.warnings == listed.warnings


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "mask-3/slice-0.png").unlink(), "fewer than four masks"),
        (
            lambda folder: write(folder / "mask-4/slice-0.png", np.zeros((128, 128), np.uint8)),
            "more than four masks",
        ),
        (lambda folder: (folder / "images/slice-0.png").unlink(), "masks without an image"),
        (
            lambda folder: write(folder / "images/slice-0.png", np.zeros((180, 128), np.uint8)),
            "image or mask of another size",
        ),
        (
            lambda folder: write(folder / "mask-1/slice-0.png", np.zeros((64, 64), np.uint8)),
            "image or mask of another size",
        ),
        (
            lambda folder: write(folder / "images/slice-0.png", np.zeros((128, 128, 3), np.uint8)),
            "image of another type",
        ),
        (
            lambda folder: write(folder / "mask-1/slice-0.png", np.zeros((128, 128), bool)),
            "mask of another type",
        ),
        (
            lambda folder: write(folder / "mask-1/slice-0.png", np.full((128, 128), 7, np.uint8)),
            "mask with values other than background and foreground",
        ),
        (
            lambda folder: (folder / "mask-1/slice-0.png").write_bytes(b""),
            "not a readable file",
        ),
        (
            lambda folder: (folder / "images/slice-0.png").write_bytes(
                (folder / "images/slice-0.png").read_bytes()[:900]
            ),
            "not a readable file",
        ),
    ],
)
def test_a_damaged_crop_is_left_out_and_counted(tree, tmp_path, damage, reason):
    root, _ = tree
    damage(root / f"LIDC-IDRI-slices/{FIRST}/nodule-10")
    listed = fetched(tmp_path, root)
    assert [item.reason for item in listed.left_out] == [reason]
    data = stored(tmp_path)
    assert len(data) == 4
    assert data.attributes.left_out == {reason: 1}


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        f"{FIRST}/nodule-x/images/slice-0.png",
        f"{FIRST}/NODULE-2/images/slice-0.png",
        f"{FIRST}/nodule-2/images/slice-0.PNG",
        f"__MACOSX/{FIRST}/nodule-2/images/._slice-1.png",
    ],
)
def test_a_name_of_another_layout_is_left_out_and_counted(tree, tmp_path, name):
    root, _ = tree
    write(root / "LIDC-IDRI-slices" / name, np.zeros((128, 128), np.uint8))
    fetched(tmp_path, root)
    data = stored(tmp_path)  # it costs no patient
    assert len(data) == 5
    assert data.attributes.left_out == {"name that is not of the set's layout": 1}


def test_a_second_copy_of_a_crop_is_left_out(tree, tmp_path):
    root, _ = tree
    shutil.copytree(root / "LIDC-IDRI-slices", root / "copy")
    listed = fetched(tmp_path, root)
    assert len(listed.crops) == 5
    assert len(listed.left_out) == 25


def test_a_patient_without_a_usable_crop_stops_or_is_skipped(tree, tmp_path):
    root, _ = tree
    (root / f"LIDC-IDRI-slices/{SECOND}/nodule-0/mask-0/slice-0.png").unlink()
    fetched(tmp_path, root)
    with pytest.raises(ProbunetError, match=f"{SECOND}.*fewer than four masks"):
        stored(tmp_path)
    assert stored(tmp_path, "skip").attributes.left_out_patients == (SECOND,)


def test_a_file_that_changes_after_fetch_is_left_out(tree, tmp_path):
    root, _ = tree
    fetched(tmp_path, root)
    write(root / f"LIDC-IDRI-slices/{FIRST}/nodule-2/mask-0/slice-1.png", np.zeros((128, 128)) > 1)
    assert stored(tmp_path).attributes.left_out == {"file changed since it was fetched": 1}


def test_a_folder_without_crops_and_a_page_instead_of_a_zip_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProbunetError, match="empty: holds no usable crop of the set slices"):
        fetched(tmp_path, tmp_path / "empty")
    page = tmp_path / "crops.zip"
    page.write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(ProbunetError, match='a web page "Sign in" instead of a zip'):
        fetched(tmp_path, page)
    with pytest.raises(ProbunetError, match="no such folder; name the folder or the zip"):
        fetched(tmp_path, tmp_path / "nothing")


def _linked(file, name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    file.writestr(member, "/etc/passwd")


@pytest.mark.parametrize(
    ("add", "change", "match"),
    [
        (lambda file, name: file.writestr(f"/{name}", b""), None, "has an absolute name"),
        (lambda file, name: file.writestr(f"../{name}", b""), None, "lie outside of the folder"),
        (_linked, None, "is a link or another special file"),
        (
            lambda file, name: file.writestr(name, bytes(2**24), zipfile.ZIP_DEFLATED),
            None,
            "as a zip bomb does",
        ),
        (None, lambda whole: whole[: len(whole) // 2], "not a complete zip file"),
        (None, lambda whole: whole[:-1], "not a complete zip file"),
        (None, lambda whole: _flagged(whole, 1), "is encrypted"),
        (None, lambda whole: b"\x1f\x8b" + whole, "not a zip file"),
    ],
)
def test_a_hostile_or_cut_zip_is_refused_before_anything_is_written(
    tree, tmp_path, add, change, match
):
    path = tmp_path / "crops.zip"
    shutil.make_archive(str(path.with_suffix("")), "zip", tree[0])
    if add is not None:
        with zipfile.ZipFile(path, "a") as file:
            add(file, f"{FIRST}/nodule-3/images/slice-0.png")
    if change is not None:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ProbunetError, match=match):
        fetched(tmp_path, path)
    assert not list((tmp_path / "raw").rglob("*.png"))


def _flagged(whole, flag):
    """Return a zip with a flag set in the list's entry of its first member."""
    at = whole.index(b"PK\1\2") + 8
    return whole[:at] + bytes([whole[at] | flag]) + whole[at + 1 :]


def test_a_zip_of_a_wrapping_folder_with_what_macos_adds(tree, tmp_path):
    shutil.move(tree[0], tmp_path / "wrap/set")
    write(tmp_path / f"wrap/__MACOSX/{FIRST}/nodule-0/images/._slice-0.png", np.zeros((9, 9), "u1"))
    shutil.make_archive(str(tmp_path / "crops"), "zip", tmp_path / "wrap")
    fetched(tmp_path, tmp_path / "crops.zip")
    data = stored(tmp_path)
    assert len(data) == 5
    assert data.attributes.left_out == {"name that is not of the set's layout": 1}


def test_a_name_that_is_not_utf8_is_refused(tree, tmp_path):
    write(tree[0] / "a\udcff.png", np.zeros((128, 128), np.uint8))
    with pytest.raises(ProbunetError, match="a name with bytes that are not UTF-8; rename"):
        fetched(tmp_path, tree[0])


def test_the_real_crops_are_stored_bit_for_bit(real_crops, tmp_path):
    fetch_slices(real_crops, tmp_path / "raw", tmp_path / "raw.manifest.json")
    prepare(plan_released(tmp_path / "raw.manifest.json"), tmp_path / "lidc.zarr", 2)
    data = open_data(tmp_path / "lidc.zarr")
    assert len(data) == 3206
    assert len(set(data.subjects.tolist())) == 200
    assert data.attributes.left_out == {}
    images, bits = np.asarray(data.image[:]), np.asarray(data.masks[:])
    expected = defaultdict(dict)
    with zipfile.ZipFile(real_crops) as archive:
        for name in archive.namelist():
            if found := re.fullmatch(r"(.+)/(images|mask-\d)/(slice-\d+\.png)", name):
                pixels = np.asarray(Image.open(BytesIO(archive.read(name))))
                expected[f"{found[1]}/images/{found[3]}"][found[2]] = pixels
    assert sorted(data.columns.name.tolist()) == sorted(expected)
    for row, name in enumerate(data.columns.name.tolist()):
        crop = expected[name]
        assert (images[row] == crop["images"]).all()
        for g in range(4):
            assert ((bits[row] >> g & 1) * 255 == crop[f"mask-{g}"]).all()
