"""Folds as the split of another store of the same patients, and the images that both have."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from probunet.datasets.lidc.released.store import ReleasedColumns, create_released, open_released
from probunet.datasets.lidc.store import SIZE
from probunet.errors import ProbunetError
from probunet.prepare.folds import folds_like, write_shared
from probunet.store import SHARD, seal, write_shard
from support.commands import probunet
from support.crops import columns_of, crops_of, write_crops
from support.released import released_attributes
from support.streets import scenes_of

SPLITS = {"a": "train", "b": "train", "c": "val", "d": "test", "e": "test"}


def released(tmp_path, protocol="hpunet", patients="abcdeabcde"):
    """A store of released crops: crop i is of z 1.25 i and of series 1.2.<patient>."""
    usual, count = columns_of(list(patients)), len(patients)
    columns = ReleasedColumns(
        **vars(usual),
        # a pickle of `knegt` says nothing of parts
        part=np.array(["" if protocol == "knegt" else SPLITS[one] for one in patients]),
        name=np.array([f"{i}.png" for i in range(count)]),
    )
    path = tmp_path / f"{protocol}.zarr"
    create_released(path, columns, released_attributes(protocol))
    nothing = np.zeros((count, 180, 180), np.uint8)
    assert count <= SHARD
    write_shard(path, 0, image=nothing, masks=nothing)
    seal(path)
    return open_released(path)


def test_the_split_is_that_of_the_released_patients(tmp_path, caplog):
    caplog.set_level("INFO")
    folds = folds_like(crops_of(["a", "c", "d", "x"]), released(tmp_path))
    assert folds.split == "as hpunet"
    (fold,) = folds.folds
    assert (fold.train, fold.validation, fold.test) == (("a",), ("c",), ("d",))
    assert "not here are 1 of 2 in train, 0 of 1 in validation, 1 of 2 in test" in caplog.text
    assert "1 of 4 crops here are in no part" in caplog.text


def test_a_split_by_series_is_followed_by_series(tmp_path):
    (fold,) = folds_like(crops_of(list("abcde")), released(tmp_path, "knegt")).folds
    named = [*fold.train, *fold.validation, *fold.test]
    assert sorted(named) == [f"1.2.{patient}" for patient in "abcde"]


def test_a_split_of_which_a_part_is_absent_or_that_is_of_another_data_set_is_refused(tmp_path):
    other = released(tmp_path)
    with pytest.raises(ProbunetError, match=r"has none of the 2 that .*hpunet\.zarr has in test"):
        folds_like(crops_of(["a", "b", "c"]), other)
    with pytest.raises(ProbunetError, match=r"contains lidc, and .* cityscapes; name a store of"):
        folds_like(scenes_of(["ulm", "zurich"]), other)
    with pytest.raises(ProbunetError, match="no published split"):
        folds_like(other, crops_of(["a", "b", "c"]))


def test_images_that_both_have_are_of_one_patient_and_z(tmp_path, caplog):
    caplog.set_level("INFO")
    data, other = crops_of(["a", "x", "c", "c"]), released(tmp_path)  # z 0, 1.25, 2.5, 3.75
    data.columns.z[0] += 0.01
    write_shared(data, other, tmp_path / "shared.csv")
    with (tmp_path / "shared.csv").open() as file:
        rows = [(row["row"], row["patient"], row["other_row"]) for row in csv.DictReader(file)]
    assert rows == [("0", "a", "0"), ("2", "c", "2")]
    assert "2 of 4 crops" in caplog.text
    unknown = replace(other, columns=replace(other.columns, z=np.full(10, np.nan)))
    assert data.shared_images(unknown).shape == (0, 2)


def test_the_command_writes_both(tmp_path):
    other = released(tmp_path)
    nothing = np.zeros((5, SIZE, SIZE), np.int16)
    store = write_crops(tmp_path / "lidc.zarr", nothing, nothing.astype(np.uint8), list("abcde"))
    words = ["folds", "--dataset", "lidc", "--store", store, "--output", tmp_path / "folds.json"]
    done = probunet(*words, "--like", other.path, "--shared", tmp_path / "shared.csv")
    assert done.returncode == 0, done.stderr
    folds = json.loads((tmp_path / "folds.json").read_text())
    assert folds["folds"] == [{"train": ["a", "b"], "validation": ["c"], "test": ["d", "e"]}]
    assert len((tmp_path / "shared.csv").read_text().splitlines()) == 6
    alone = probunet(*words, "--shared", tmp_path / "shared.csv")
    assert "--shared: belongs to --like" in alone.stderr
