"""Stores are whole or refused: unsealed, truncated, altered, or of another kind."""

import hashlib

import numpy as np
import pytest
import zarr

from probunet.datasets.lidc.store import SIZE, CropAttributes, open_crops
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.store import SHARD, seal, sealed, verify, write_shard
from support.crops import crop_attributes, write_crops
from support.damage import flip

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


@pytest.mark.parametrize("name", ["image/c/0/0/0", "masks/c/1/0/0", "masks/zarr.json", "z/c/0"])
def test_a_flipped_bit_is_refused_when_the_file_is_read(store, name):
    flip(store / name)
    with pytest.raises(ProbunetError, match=f"{name} was changed after it was written"):
        _ = [(crops.image[:], crops.masks[:]) for crops in [open_crops(store)]]


def test_damage_to_a_file_that_is_not_read_does_not_matter(store):
    flip(store / "image/c/1/0/0")
    crops = open_crops(store)
    assert crops.image[:SHARD].shape[0] == SHARD
    with pytest.raises(ProbunetError, match="image/c/1/0/0 was changed"):
        _ = crops.image[SHARD]


def test_each_file_is_hashed_once(store, monkeypatch):
    hashed = []

    def counting(path):
        hashed.append(path.relative_to(store).as_posix())
        return sha256(path)

    monkeypatch.setattr("probunet.store.sealed.sha256", counting)
    crops = open_crops(store)
    for _ in range(3):
        _ = crops.image[:], crops.image[3]
    assert hashed.count("image/c/0/0/0") == 1
    assert not any(name.startswith("masks/c") for name in hashed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"files": {}}, "its attributes were changed after it was written"),
        ({"spacing": 0.25}, "its attributes were changed after it was written"),
        ({"spacing": float("nan")}, "1 attributes do not match schema 2"),
        ({"files": []}, "its list of files is wrong"),
        ({"files": {"image/zarr.json": "long"}}, "its list of files is wrong"),
        ({"files": {"a\0b": [1, ""]}}, r"a\\x00b is missing"),
        ({"files": {"z/c/0": [-1, ""]}}, "its list of files is wrong"),
    ],
)
def test_changed_attributes_are_refused(store, changed, message):
    zarr.open_group(store, mode="r+").attrs.update(changed)
    with pytest.raises(ProbunetError, match=message):
        open_crops(store)


def test_an_old_store_without_files_is_not_sealed_by_an_empty_list(store):
    group = zarr.open_group(store, mode="r+")
    group.attrs["files"] = {}
    del group.attrs["seal"]
    with pytest.raises(ProbunetError, match=r"zarr\.json was added after it was written"):
        open_crops(store)


def test_a_store_of_an_older_version_is_opened_with_the_same_digest(store, images, caplog):
    digest = open_crops(store).digest
    files = zarr.open_group(store, mode="r").attrs["files"]
    assert digest == hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    del zarr.open_group(store, mode="r+").attrs["seal"]
    sealed._tell_without_seal.cache_clear()
    with caplog.at_level("INFO"):
        crops, again = open_crops(store), open_crops(store)
    assert crops.digest == again.digest == digest
    np.testing.assert_array_equal(crops.image[:], images[0])
    assert caplog.text.count("a store of an older version is read") == 1


def test_a_file_that_was_added_is_refused(store):
    (store / "latent").mkdir()
    (store / "latent/zarr.json").write_text("{}")
    group, *_ = sealed.open_sealed(store, "crops", CropAttributes)
    with pytest.raises(ProbunetError, match=r"latent/zarr\.json was added after it was written"):
        _ = "latent" in group


def test_a_hidden_file_of_snakemake_does_not_matter(store):
    (store / ".snakemake_timestamp").touch()
    assert len(open_crops(store)) == N


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("z", np.zeros(3), r"the length of z is \(3,\), not \(67,\)"),
        ("z", np.zeros((N, 2)), "z is not a column"),
        ("image", np.zeros((N, 4, 4), np.int16), "the beginning of the shape of masks"),
        ("masks", np.zeros((N, SIZE, SIZE), bool), "masks holds bool"),
        ("lesion", None, "damaged"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(store, name, array, message):
    group = zarr.open_group(store, mode="r+")
    del group[name]
    if array is not None:
        group.create_array(name, data=array)
    seal(store)
    with pytest.raises(ProbunetError, match=message):
        open_crops(store)


def test_a_column_that_claims_to_be_huge_is_not_read(store):
    group = zarr.open_group(store, mode="r+")
    del group["z"]
    group.create_array("z", shape=(10**12,), chunks=(10**9,), dtype=np.float64)
    seal(store)
    with pytest.raises(ProbunetError, match="z claims 8000000000000 bytes"):
        open_crops(store)


def test_lack_of_memory_is_not_taken_for_damage(store, monkeypatch):
    def lacking(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("probunet.store.sealed.read", lacking)
    with pytest.raises(MemoryError):
        open_crops(store)
