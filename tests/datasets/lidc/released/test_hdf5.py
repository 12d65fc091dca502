"""The set `knegt` as the HDF5 file that others derive from it."""

import os
import re

import h5py
import numpy as np
import pytest

from probunet.datasets import open_data
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.released.knegt import fetch_knegt
from probunet.datasets.lidc.released.plan import plan_released
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack_graders
from probunet.prepare.folds import choose_folds
from probunet.prepare.parts import prepare
from support.released import crop

PARTS = {"train": 6, "val": 2, "test": 3}  # crops
UIDS = {"train": [7, -8, 7, 7, 9, 9], "val": [10, 10], "test": [12, 11, 11]}


def part(name, layout="phiseg"):
    """Return images, labels and uids of a part."""
    seeds = [100 * len(name) + i for i in range(PARTS[name])]
    images, masks = zip(*(crop(128, seed, 3) for seed in seeds), strict=True)
    labels = np.stack(masks).astype(np.uint8)
    return {
        "images": np.stack(images) / 255 - 0.5,
        "labels": np.moveaxis(labels, 1, -1) if layout == "phiseg" else labels,
        "uids": np.array(UIDS[name]),
    }


def written(path, parts, **options):
    """Write the file, and return its path."""
    with h5py.File(path, "w") as file:
        for name, arrays in parts.items():
            group = file.create_group(name)
            for key, values in arrays.items():
                group.create_dataset(key, data=values, **options)
    return path


@pytest.fixture
def parts():
    return {name: part(name) for name in PARTS}


def fetched(tmp_path, path):
    return fetch_knegt(path, tmp_path / "raw", tmp_path / "raw.manifest.json")


def stored(tmp_path, on_error="stop"):
    prepare(plan_released(tmp_path / "raw.manifest.json"), tmp_path / "lidc.zarr", 1, on_error)
    return open_data(tmp_path / "lidc.zarr")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("layout", ["phiseg", "ccdm"])
def test_both_layouts_go_into_the_store_as_they_are(tmp_path, layout, options):
    parts = {name: part(name, layout) for name in PARTS}
    fetched(tmp_path, written(tmp_path / "DATA_LIDC.HDF5", parts, **options))
    data = stored(tmp_path)
    assert len(data) == 11
    for row, name in enumerate(data.columns.name.tolist()):
        of, place = name.split("/")
        image = parts[of]["images"][int(place)] + 0.5
        labels = part(of, "ccdm")["labels"][int(place)]
        assert (np.asarray(data.image[row]) == image.astype(np.float32)).all()
        assert (unpack_graders(np.asarray(data.masks[row])[None])[0] == labels).all()
        assert data.columns.series[row] == f"uid {UIDS[of][int(place)]}"
        assert data.columns.part[row] == of
    assert set(data.subjects.tolist()) == {f"uid {n}" for n in (7, -8, 9, 10, 11, 12)}
    assert data.columns.annotations.tolist() == [3] * 11


def test_its_own_division_is_the_split_and_no_series_crosses_a_fold(parts, tmp_path):
    path = written(tmp_path / "data_lidc.hdf5", parts)
    fetched(tmp_path, path)
    data = stored(tmp_path)
    folds = choose_folds(data, LidcSource(source="knegt", path=str(path)), 1)
    assert folds.split == "series"
    [fold] = folds.folds
    assert dict(fold) == {
        "train": ("uid -8", "uid 7", "uid 9"),
        "validation": ("uid 10",),
        "test": ("uid 11", "uid 12"),
    }
    by_series = LidcSource(source="knegt", path=str(path), split="patients")
    assert len(choose_folds(data, by_series, 3).folds) == 3


def test_a_series_in_two_parts_is_told_and_the_split_refused(parts, tmp_path, caplog):
    parts["val"]["uids"][0] = 7
    path = written(tmp_path / "data_lidc.hdf5", parts)
    fetched(tmp_path, path)
    assert "in several parts of the published split: uid 7" in caplog.text
    with pytest.raises(ProbunetError, match="has patients in several parts: uid 7"):
        choose_folds(stored(tmp_path), LidcSource(source="knegt", path=str(path)), 1)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("images", np.nan, "image with values out of range"),
        ("images", 0.75, "image with values out of range"),
        ("labels", 2, "mask with values other than"),
    ],
)
def test_a_damaged_crop_is_left_out_and_counted(parts, tmp_path, key, value, reason):
    parts["train"][key][1, 0, 0] = value
    listed = fetched(tmp_path, written(tmp_path / "data_lidc.hdf5", parts))
    assert [(one.name, one.patient) for one in listed.left_out] == [
        ("data_lidc.hdf5: train/1", "uid -8")
    ]
    assert listed.left_out[0].reason.startswith(reason)
    assert len(stored(tmp_path, "skip")) == 10


def test_another_layout_is_refused_and_named(parts, tmp_path):
    def refused(message, change):
        changed = {name: dict(arrays) for name, arrays in parts.items()}
        change(changed)
        with pytest.raises(ProbunetError, match=re.escape(message)):
            fetched(tmp_path, written(tmp_path / "data_lidc.hdf5", changed))

    refused("lacks /val;", lambda p: p.pop("val"))
    for key in ("images", "labels", "uids"):
        refused(f"lacks /test/{key};", lambda p, key=key: p["test"].pop(key))
    train = parts["train"]
    for key, value, told in (
        ("labels", train["labels"][..., :3], "labels (6, 128, 128, 3)"),
        ("labels", np.repeat(train["labels"], 2, axis=3), "labels (6, 128, 128, 8)"),
        ("labels", train["labels"][:5], "labels (5, 128, 128, 4)"),
        ("images", train["images"][:, :64], "images (6, 64, 128)"),
        ("uids", train["uids"][:2], "uids (2,)"),
        ("images", np.zeros((6, 128, 128), np.uint8), "/train/images has values of type uint8"),
        ("uids", train["uids"].astype(float), "/train/uids has values of type float64"),
        ("uids", np.array([b"1.2"] * 6), "/train/uids has values of type |S3"),
    ):
        refused(told, lambda p, key=key, value=value: p["train"].update({key: value}))


def test_what_lies_in_other_files_is_refused(parts, tmp_path):
    elsewhere = written(tmp_path / "elsewhere.h5", parts)
    path = tmp_path / "data_lidc.hdf5"

    def refused(message, link):
        written(path, {"val": parts["val"], "test": parts["test"]})
        with h5py.File(path, "a") as file:
            link(file)
        with pytest.raises(ProbunetError, match=message):
            fetched(tmp_path, path)

    def external_storage(file):
        group = file.create_group("train")
        bytes_ = np.zeros((6, 128, 128), np.float32)
        (tmp_path / "raw.bin").write_bytes(bytes_.tobytes())
        where = [(str(tmp_path / "raw.bin"), 0, bytes_.nbytes)]
        group.create_dataset("images", bytes_.shape, "f4", external=where)
        group["labels"], group["uids"] = parts["train"]["labels"], parts["train"]["uids"]

    def virtual(file):
        group = file.create_group("train")
        layout = h5py.VirtualLayout((6, 128, 128), "f8")
        layout[:] = h5py.VirtualSource(str(elsewhere), "train/images", (6, 128, 128))
        group.create_virtual_dataset("images", layout)
        group["labels"], group["uids"] = parts["train"]["labels"], parts["train"]["uids"]

    def soft(file):
        file["train"] = h5py.SoftLink("/test")

    def external(file):
        file["train"] = h5py.ExternalLink(str(elsewhere), "/train")

    refused("/train is a link", soft)
    refused("/train is a link", external)
    refused("/train/images lies in other files", external_storage)
    refused("/train/images lies in other files", virtual)


def test_what_is_packed_beyond_measure_is_refused(parts, tmp_path):
    path = written(tmp_path / "data_lidc.hdf5", {"val": parts["val"], "test": parts["test"]})
    with h5py.File(path, "a") as file:
        group = file.create_group("train")
        shape, chunk = (10**6, 128, 128), (64, 128, 128)
        group.create_dataset("images", shape, "f4", chunks=chunk, compression="gzip")
        group.create_dataset("labels", (*shape, 4), "u1", chunks=(*chunk, 4), compression="gzip")
        group.create_dataset("uids", shape[:1], "i8", chunks=(64,), compression="gzip")
    with pytest.raises(ProbunetError, match=r"/train/images has 16,384,000,000 values in"):
        fetched(tmp_path, path)


def test_a_cut_file_and_what_is_no_hdf5_are_refused(parts, tmp_path):
    whole = written(tmp_path / "whole.hdf5", parts).read_bytes()
    path = tmp_path / "data_lidc.hdf5"
    for content in (b"", b"<html>", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ProbunetError, match="not a complete HDF5 file"):
            fetched(tmp_path, path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ProbunetError):
        fetched(tmp_path, path)


def test_a_folder_with_both_kinds_of_file_is_refused(parts, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    written(folder / "data_lidc.hdf5", parts)
    assert len(fetched(tmp_path, folder).crops) == 11
    (folder / "data_lidc.pickle").write_bytes(b"")
    with pytest.raises(ProbunetError, match="holds pickles and HDF5 files"):
        fetched(tmp_path, folder)
