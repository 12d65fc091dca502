"""The set `knegt`: its pickles, its split by series, and damaged crops."""

import hashlib
import json
import pickle
import re

import numpy as np
import pytest

from probunet.datasets import open_data
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.released.arrays import read_arrays
from probunet.datasets.lidc.released.knegt import fetch_knegt
from probunet.datasets.lidc.released.plan import plan_released
from probunet.datasets.lidc.released.split import _divide
from probunet.datasets.lidc.series import read_series
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack_graders
from probunet.prepare.folds import choose_folds
from probunet.prepare.parts import prepare
from support.released import crop

SERIES = list(read_series())[:8]


def entry(series, seed, marked=2, **changed):
    """Return a crop as the pickle has it."""
    image, masks = crop(128, seed, marked)
    usual = {
        "image": image / 255,
        "masks": [mask.astype(float) for mask in masks],
        "series_uid": series,
    }
    return usual | changed


@pytest.fixture
def crops():
    """Three crops of each of eight series."""
    return {f"{i:02}_{k}": entry(SERIES[i], 10 * i + k) for i in range(8) for k in range(3)}


def fetched(tmp_path, path):
    return fetch_knegt(path, tmp_path / "raw", tmp_path / "raw.manifest.json")


def written(tmp_path, content, name="data_lidc.pickle"):
    (tmp_path / name).write_bytes(pickle.dumps(content))
    return tmp_path / name


def stored(tmp_path, on_error="stop"):
    prepare(plan_released(tmp_path / "raw.manifest.json"), tmp_path / "lidc.zarr", 1, on_error)
    return open_data(tmp_path / "lidc.zarr")


def test_a_pickle_goes_into_the_store_as_it_is(crops, tmp_path):
    listed = fetched(tmp_path, written(tmp_path, crops))
    assert listed.archives[0].path == "data_lidc.pickle"
    data = stored(tmp_path)
    assert sorted(data.columns.name.tolist()) == sorted(crops)
    for row, name in enumerate(data.columns.name.tolist()):
        one = crops[name]
        assert (np.asarray(data.image[row]) == one["image"].astype(np.float32)).all()
        assert (unpack_graders(np.asarray(data.masks[row])[None])[0] == one["masks"]).all()
        assert data.columns.series[row] == one["series_uid"]
        assert data.columns.patient[row] == read_series()[one["series_uid"]].patient
    assert data.attributes.window == (0.0, 1.0)
    assert data.columns.annotations.tolist() == [2] * 24


def test_several_pickles_of_a_folder_are_merged(crops, tmp_path):
    (tmp_path / "set").mkdir()
    names = sorted(crops)
    written(tmp_path / "set", {name: crops[name] for name in names[:20]}, "a.pickle")
    written(tmp_path / "set", {name: crops[name] for name in names[18:]}, "b.pickle")
    listed = fetched(tmp_path, tmp_path / "set")
    assert len(listed.crops) == 24
    assert [item.reason for item in listed.left_out] == [
        "second file of the same image or mask"
    ] * 2
    assert len(listed.archives) == 2


def test_the_split_by_series_is_one_fold(crops, tmp_path, caplog):
    path = written(tmp_path, crops)
    fetched(tmp_path, path)
    data = stored(tmp_path)
    (fold,) = choose_folds(data, LidcSource(source="knegt", path=str(path)), 1).folds
    parts = [fold.train, fold.validation, fold.test]
    assert [len(part) for part in parts] == [4, 2, 2]
    assert sorted(series for part in parts for series in part) == sorted(SERIES)
    rows = data.rows_of(list(fold.test))
    assert set(data.columns.series[rows].tolist()) == set(fold.test)
    assert "8 of 875 CT series" in caplog.text
    data.check_subjects(fold, path)
    by_patient = LidcSource(source="knegt", path=str(path), split="patients")
    assert len(choose_folds(data, by_patient, 2).folds) == 2


def _digest(items):
    return hashlib.sha256(json.dumps(sorted(items)).encode()).hexdigest()[:16]


def test_the_split_is_that_of_scikit_learn():
    """Digests of `train_test_split(..., test_size=0.2, random_state=0)`, called twice."""
    series = np.array([f"s{i:04}" for i in range(875)])
    others, test = _divide(series)
    train, validation = _divide(others)
    assert test.tolist()[:5] == ["s0141", "s0113", "s0729", "s0294", "s0261"]
    assert validation.tolist()[:5] == ["s0237", "s0719", "s0868", "s0067", "s0636"]
    assert train.tolist()[:5] == ["s0362", "s0427", "s0037", "s0284", "s0115"]
    found = [_digest(part.tolist()) for part in (train, validation, test)]
    assert found == ["2ef5479ccbd8ae09", "6bbdbde132e91746", "d11b36f745cbc21d"]
    others, test = _divide(np.array([f"s{i}" for i in range(7)]))
    train, validation = _divide(others)
    assert (sorted(train), *validation, *test) == (["s1", "s3", "s4", "s5"], "s0", "s6", "s2")


def test_the_split_agrees_with_an_installed_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    for count in (3, 10, 874, 875):
        items = np.arange(count).astype(str)
        expected = selection.train_test_split(items, test_size=0.2, random_state=0)
        assert [part.tolist() for part in _divide(items)] == [part.tolist() for part in expected]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"masks": [np.zeros((128, 128))] * 3}, "fewer than four masks"),
        ({"masks": [np.zeros((128, 128))] * 5}, "more than four masks"),
        ({"masks": [np.full((128, 128), 2.0)] * 4}, "mask with values other than"),
        ({"masks": [np.zeros((128, 127))] * 4}, "image or mask of another size"),
        ({"masks": "none"}, "mask of another type"),
        ({"image": np.zeros((128, 128), np.uint8)}, "image of another type"),
        ({"image": [[0.0]]}, "image of another type"),
        ({"image": np.zeros((180, 180))}, "image or mask of another size"),
        ({"image": np.full((128, 128), np.nan)}, "image with values out of range"),
        ({"image": np.full((128, 128), 1.5)}, "image with values out of range"),
        ({"series_uid": "1.2.3"}, "series that is not of LIDC-IDRI"),
        ({"series_uid": "1.2\n\udcff"}, "series that is not of LIDC-IDRI"),
        ({"series_uid": 1 << 20_000}, "name that is not of the set's layout"),
        ({"series_uid": np.zeros(3)}, "name that is not of the set's layout"),
        ({"masks": np.zeros((4, 128, 128))}, "mask of another type"),
        ({"masks": [None] * 4}, "mask of another type"),
        ({"masks": [np.full((128, 128), np.nan)] * 4}, "mask with values other than"),
    ],
)
def test_a_damaged_crop_is_left_out_and_counted(crops, tmp_path, changed, reason):
    crops["00_0"] |= changed
    fetched(tmp_path, written(tmp_path, crops))
    data = stored(tmp_path)
    assert len(data) == 23
    [(found, count)] = data.attributes.left_out.items()
    assert found.startswith(reason)
    assert count == 1


def test_an_entry_of_another_form_is_left_out_and_counted(crops, tmp_path):
    del crops["00_0"]["masks"]
    crops["00_1"] = 3
    listed = fetched(tmp_path, written(tmp_path, crops))
    assert [item.detail for item in listed.left_out] == ["lacks masks", "a int, not a dictionary"]


def test_keys_of_any_kind_are_named_or_left_out(crops, tmp_path):
    one = crops["00_0"]
    keys = [7, "a\n\udcff", "x" * 1000, 1 << 20_000, ("a", 1), None, b"a", 1.5]
    listed = fetched(tmp_path, written(tmp_path, dict.fromkeys(keys, one)))
    assert [crop.name for crop in listed.crops][:2] == ["7", r"a\n\udcff"]
    assert [item.detail for item in listed.left_out] == [
        f"a {kind}, not a text" for kind in ("int", "tuple", "NoneType", "bytes", "float")
    ]


def test_a_changed_manifest_or_file_of_arrays_is_refused(crops, tmp_path):
    fetched(tmp_path, written(tmp_path, crops))
    manifest = tmp_path / "raw.manifest.json"
    text = manifest.read_text()
    for changed in (re.sub(r'"place": \d+', '"place": null', text), text.replace("knegt", "mine")):
        manifest.write_text(changed)
        with pytest.raises(ProbunetError, match="not a manifest of this version"):
            plan_released(manifest)
    for content in (b"", b"x" * 200, np.lib.format.MAGIC_PREFIX + bytes(100)):
        with pytest.raises(BadFileError, match="not a readable file"):
            read_arrays(content, [0], 128)


def test_what_is_no_dictionary_of_crops_is_refused(crops, tmp_path):
    with pytest.raises(ProbunetError, match="holds a list, not the dictionary of crops"):
        fetched(tmp_path, written(tmp_path, [1, 2]))
    with pytest.raises(ProbunetError, match="holds no usable crop of the set knegt"):
        fetched(tmp_path, written(tmp_path, {}))
    whole = pickle.dumps(crops)
    (tmp_path / "cut.pickle").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProbunetError, match=r"cut\.pickle: not a complete pickle"):
        fetched(tmp_path, tmp_path / "cut.pickle")
    (tmp_path / "none").mkdir()
    with pytest.raises(ProbunetError, match=r"holds no pickle and no HDF5 file; name one"):
        fetched(tmp_path, tmp_path / "none")


def test_one_crop_under_many_keys_is_refused_before_it_is_copied(tmp_path):
    one = entry(SERIES[0], 1)
    path = written(tmp_path, {str(key): one for key in range(100_000)})
    with pytest.raises(ProbunetError, match=r"names 100,000 crops, more than its .* bytes hold"):
        fetched(tmp_path, path)
