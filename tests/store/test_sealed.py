"""Stores are whole or refused: unsealed, truncated, altered, or of another kind."""

import numpy as np
import pytest
import zarr

from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.errors import ProbunetError
from probunet.store import SHARD, seal, verify, write_shard
from support.crops import crop_attributes, write_crops

N = SHARD + 3


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    image = rng.integers(-1024, 400, (N, SIZE, SIZE)).astype(np.int16)
    return image, rng.integers(0, 16, (N, SIZE, SIZE)).astype(np.uint8)


@pytest.fixture
def unsealed(tmp_path, images):
    patients = [f"P{i % 3}" for i in range(N)]
    return write_crops(tmp_path / "lidc.zarr", *images, patients, sealed=False)


@pytest.fixture
def store(unsealed):
    seal(unsealed)
    return unsealed


def test_what_is_written_is_read(store, images):
    crops = open_crops(store)
    verify(store)
    assert len(crops) == N
    np.testing.assert_array_equal(crops.image[:], images[0])
    np.testing.assert_array_equal(crops.masks[:], images[1])
    assert crops.columns.patient[:4].tolist() == ["P0", "P1", "P2", "P0"]
    assert crops.rows_of(["P2"])[:2].tolist() == [2, 5]
    assert crops.attributes == crop_attributes()


def test_only_whole_shards_are_written(unsealed, images):
    with pytest.raises(ValueError, match="not a whole shard"):
        write_shard(unsealed, 0, image=images[0][:5], masks=images[1][:5])
    with pytest.raises(ValueError, match="not a whole shard"):
        write_shard(unsealed, 1, image=images[0][:SHARD], masks=images[1][:SHARD])


def test_an_unsealed_store_is_refused(unsealed):
    with pytest.raises(ProbunetError, match="incomplete: it was not sealed"):
        open_crops(unsealed)


@pytest.mark.parametrize("name", ["image/c/0/0/0", "masks/zarr.json", "z/c/0"])
def test_a_truncated_store_is_refused(store, name):
    with (store / name).open("r+b") as file:
        file.truncate((store / name).stat().st_size - 1)
    with pytest.raises(ProbunetError, match=rf"truncated: {name} is \d+ bytes instead"):
        open_crops(store)


def test_a_store_with_a_missing_file_is_refused(store):
    (store / "image/c/1/0/0").unlink()
    with pytest.raises(ProbunetError, match="image/c/1/0/0 is missing"):
        open_crops(store)


def test_an_altered_store_is_noticed_by_verify(store):
    file = store / "image/c/0/0/0"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    open_crops(store)  # sizes agree
    with pytest.raises(ProbunetError, match="image/c/0/0/0 was changed after it was written"):
        verify(store)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 1, "schema 1; this version of probunet reads 'crops' of schema 2"),
        ("kind", "samples", "contains 'samples'"),
        ("protocol", "v1", "created by protocol 'v1'; this version of probunet reads 'kohl2018'"),
        ("spacing", "wide", "1 attributes do not match schema 2"),
    ],
)
def test_other_stores_are_refused(store, key, value, message):
    zarr.open_group(store, mode="r+").attrs[key] = value
    with pytest.raises(ProbunetError, match=message):
        open_crops(store)


def test_a_missing_store_and_other_folders_are_errors(tmp_path):
    with pytest.raises(ProbunetError, match="no such store"):
        open_crops(tmp_path / "absent.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProbunetError, match="not a Zarr store"):
        open_crops(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(ProbunetError, match="not a Zarr store"):
        open_crops(tmp_path / "broken")
