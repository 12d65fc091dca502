"""The set `hpunet`: both layouts, its split, its download, and damaged trees and archives."""

# ruff: noqa: N802 (do_GET)

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest

from probunet.config import Fetch
from probunet.datasets import open_data
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.released import hpunet
from probunet.datasets.lidc.released.hpunet import fetch_hpunet
from probunet.datasets.lidc.released.plan import plan_released
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack_graders
from probunet.prepare.folds import choose_folds
from probunet.prepare.parts import prepare
from support.released import write, write_hpunet_crop
from support.servers.serving import Handler, serving

PATIENTS = {
    "train": ["LIDC-IDRI-0003", "LIDC-IDRI-0001"],
    "val": ["LIDC-IDRI-0004"],
    "test": ["LIDC-IDRI-0002"],
}
HOW = Fetch(retries=1, timeout=5)


def write_set(root, top=""):
    """Write three crops of each patient, and return them by patient, z and lesion."""
    crops = {}
    for split, patients in PATIENTS.items():
        for patient in patients:
            for z, lesion, marked in (("-105.0", 0, 2), ("30.25", 1, 4), ("-7.5", 0, 1)):
                folder = root / top.format(split)
                made = write_hpunet_crop(folder, split, patient, z, lesion, marked)
                crops[patient, float(z), lesion] = made
    return crops


def fetched(tmp_path, path):
    return fetch_hpunet(path, tmp_path / "raw", tmp_path / "raw.manifest.json", workers=1)


def stored(tmp_path, on_error="stop"):
    prepare(plan_released(tmp_path / "raw.manifest.json"), tmp_path / "lidc.zarr", 1, on_error)
    return open_data(tmp_path / "lidc.zarr")


@pytest.mark.parametrize("top", ["", "lidc_crops_{}"])
def test_both_layouts_go_into_the_store_bit_for_bit(tmp_path, top):
    crops = write_set(tmp_path / "set", top)
    fetched(tmp_path, tmp_path / "set")
    data = stored(tmp_path)
    columns = data.columns
    keys = list(zip(columns.patient, columns.z, columns.lesion, strict=True))
    assert keys == sorted(crops)
    for row, key in enumerate(keys):
        image, masks = crops[key]
        assert (np.asarray(data.image[row]) == image).all()
        assert (unpack_graders(np.asarray(data.masks[row])[None])[0] == masks).all()
    assert data.image.shape == (12, 180, 180)
    assert data.attributes.protocol == "hpunet"
    assert data.attributes.parts == {"test": 3, "train": 6, "val": 3}
    assert data.attributes.spacing == 0.5


def test_the_published_split_is_one_fold_and_patients_are_the_other_choice(tmp_path):
    write_set(tmp_path / "set")
    fetched(tmp_path, tmp_path / "set")
    data, path = stored(tmp_path), str(tmp_path / "set")
    (fold,) = choose_folds(data, LidcSource(source="hpunet", path=path), 1).folds
    assert fold.train == ("LIDC-IDRI-0001", "LIDC-IDRI-0003")
    assert (fold.validation, fold.test) == (("LIDC-IDRI-0004",), ("LIDC-IDRI-0002",))
    drawn = choose_folds(data, LidcSource(source="hpunet", path=path, split="patients"), 2)
    assert len(drawn.folds) == 2


def test_counts_that_differ_are_told_for_each_split(tmp_path, caplog):
    write_set(tmp_path / "set")
    fetched(tmp_path, tmp_path / "set")
    for part in ("6 usable crops of train of 2 patients; the released set has 8,843 of 530", "val"):
        assert part in caplog.text
    assert len(stored(tmp_path).attributes.warnings) == 3


def test_a_patient_in_two_splits_is_told_and_its_split_refused(tmp_path, caplog):
    write_set(tmp_path / "set")
    write_hpunet_crop(tmp_path / "set", "test", "LIDC-IDRI-0001", "9.0")
    fetched(tmp_path, tmp_path / "set")
    assert "patients in several parts of the published split: LIDC-IDRI-0001" in caplog.text
    data = stored(tmp_path)
    assert len(data) == 13
    with pytest.raises(ProbunetError, match="several parts: LIDC-IDRI-0001; draw folds with"):
        data.published_split()


def test_a_lacking_split_is_refused(tmp_path):
    write_set(tmp_path / "set")
    shutil.rmtree(tmp_path / "set/val")
    fetched(tmp_path, tmp_path / "set")
    with pytest.raises(ProbunetError, match="needs crops of val, which the store lacks"):
        stored(tmp_path).published_split()


FIRST = "gt/LIDC-IDRI-0001/z--105.0_c0"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda train: (train / f"{FIRST}_l2.png").unlink(), "fewer than four masks"),
        (
            lambda train: shutil.copy(train / f"{FIRST}_l0.png", train / f"{FIRST}_l4.png"),
            "more than four masks",
        ),
        (
            lambda train: (train / f"{FIRST}_l0.png").rename(train / f"{FIRST}_l4.png"),
            "fewer than four masks",
        ),
        (lambda train: (train / f"{FIRST}_l2.png").write_bytes(b"<html>"), "not a readable file"),
        (
            lambda train: write(train / f"{FIRST}_l2.png", np.zeros((128, 128), np.uint8)),
            "image or mask of another size",
        ),
        (
            lambda train: write(train / f"{FIRST}_l2.png", np.ones((180, 180), np.uint8)),
            "mask with values other than background and foreground",
        ),
    ],
)
def test_a_damaged_crop_is_left_out_and_counted(tmp_path, damage, reason):
    write_set(tmp_path / "set")
    damage(tmp_path / "set/train")
    fetched(tmp_path, tmp_path / "set")
    data = stored(tmp_path)
    assert len(data) == 11
    assert data.attributes.left_out == {reason: 1}


@pytest.mark.parametrize(
    "name",
    [
        "images/LIDC-IDRI-0001/z-1_c0_l0.png",
        "gt/LIDC-IDRI-0001/z-1_c0.png",
        "images/x/z-1_c0.png",
        "images/LIDC-IDRI-0001/Z-1_C0.PNG",
        "images/LIDC-IDRI-0001/._z--105.0_c0.png",
        "images/LIDC-IDRI-\u0661\u0661\u0661\u0661/z-1_c0.png",  # Arabic digits
        "images/LIDC-IDRI-0001/z-1e5_c0.png",
        "images/LIDC-IDRI-0001/z-1_c0\n.png",
    ],
)
def test_a_name_that_does_not_parse_is_left_out_and_counted(tmp_path, name):
    write_set(tmp_path / "set")
    write(tmp_path / "set/train" / name, np.zeros((180, 180), np.uint8))
    fetched(tmp_path, tmp_path / "set")
    data = stored(tmp_path)
    assert len(data) == 12
    assert data.attributes.left_out == {"name that is not of the set's layout": 1}


def test_masks_can_count_from_one(tmp_path):
    """As the README of the set has them."""
    write_set(tmp_path / "set")
    for path in sorted((tmp_path / "set").rglob("*_l?.png"), reverse=True):
        number = int(path.stem[-1]) + 1
        path.rename(path.with_name(f"{path.stem[:-1]}{number}.png"))
    fetched(tmp_path, tmp_path / "set")
    assert len(stored(tmp_path)) == 12


def test_another_folder_and_an_archive_in_its_place_are_refused(tmp_path):
    write_set(tmp_path / "set")
    with pytest.raises(ProbunetError, match=r"no usable crop .*not of the set's layout: 30"):
        fetched(tmp_path, tmp_path / "set/train")
    fetched(tmp_path, tmp_path)  # it lies one level deeper
    assert len(stored(tmp_path)) == 12
    (tmp_path / "train.tar.gz").write_bytes(b"")
    with pytest.raises(ProbunetError, match="not a folder; name the folder that holds train"):
        fetched(tmp_path, tmp_path / "train.tar.gz")


def test_parts_behind_links_are_read_and_loops_are_not_followed(tmp_path):
    write_set(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    for split in PATIENTS:
        (tmp_path / "set" / split).symlink_to(tmp_path / "elsewhere" / split)
    (tmp_path / "elsewhere/train/loop").symlink_to(tmp_path / "elsewhere/train")
    assert len(fetched(tmp_path, tmp_path / "set").crops) == 12


# ------------------------------------------------------------------------------ download


@pytest.fixture
def server(tmp_path):
    """The archives by split, which can be changed, and the address of their server."""
    write_set(tmp_path / "set")
    archives = {}
    for split in PATIENTS:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            file.add(tmp_path / "set" / split, f"lidc_crops_{split}/{split}")
        archives[split] = buffer.getvalue()
    asked = []

    class Archives(Handler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Range")))
            found = re.fullmatch(r"/hpunet-data/lidc_crops/(\w+)\.tar\.gz", self.path)
            body = archives[found[1]]
            first, last = re.match(
                r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-")
            ).groups()
            first, last = int(first), min(int(last or len(body)), len(body) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            self.wfile.write(body[first : last + 1])

    with serving(Archives) as url:
        yield archives, url, asked


def downloaded(tmp_path, url):
    manifest = tmp_path / "raw.manifest.json"
    return fetch_hpunet(None, tmp_path / "raw", manifest, HOW, endpoint_url=url, workers=1)


def test_a_download_gives_the_same_crops_as_a_folder_and_records_its_archives(server, tmp_path):
    archives, url, asked = server
    listed = downloaded(tmp_path, url)
    of_folder = fetched(tmp_path, tmp_path / "set")
    digests = [
        [file.sha256 for crop in one.crops for file in crop.files] for one in (listed, of_folder)
    ]
    assert digests[0] == digests[1]
    assert [one.bytes for one in listed.archives] == [len(archives[s]) for s in archives]
    assert (tmp_path / "raw/hpunet.LICENCE.txt").exists()
    asked.clear()
    assert downloaded(tmp_path, url) == listed
    assert not asked  # all is there


def test_a_download_resumes_and_replaces_what_is_lost(server, tmp_path):
    archives, url, asked = server
    part = tmp_path / "raw/hpunet/.train.tar.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archives["train"][:1000])
    listed = downloaded(tmp_path, url)
    assert ("/hpunet-data/lidc_crops/train.tar.gz", "bytes=1000-") in asked
    (tmp_path / "raw/hpunet" / listed.crops[0].name).unlink()
    assert downloaded(tmp_path, url) == listed


@pytest.mark.parametrize(
    ("damaged", "match"),
    [
        (lambda archives: archives["train"][:-100], "not a complete tar.gz file"),
        (lambda archives: archives["val"], "the archive of val instead of that of train"),
        (lambda archives: b"<html><title>Sorry</title>", 'a web page "Sorry" instead of a tar.gz'),
    ],
)
def test_a_cut_a_swapped_archive_and_a_page_are_refused(server, tmp_path, damaged, match):
    archives, url, _ = server
    archives["train"] = damaged(archives)
    with pytest.raises(ProbunetError, match=match):
        downloaded(tmp_path, url)
    assert not list((tmp_path / "raw").rglob("*.png"))


def test_a_damaged_record_costs_a_download(server, tmp_path, caplog):
    _, url, asked = server
    listed = downloaded(tmp_path, url)
    hpunet._record_file(tmp_path / "raw/hpunet", "val").write_text(json.dumps({"files": 3}))
    asked.clear()
    assert downloaded(tmp_path, url) == listed
    assert {path for path, _ in asked} == {"/hpunet-data/lidc_crops/val.tar.gz"}
    assert "is damaged; downloading val again" in caplog.text
