import numpy as np
import pytest
import zarr

from probunet.errors import ProbunetError
from probunet.store import (
    SHARD,
    SIZE,
    Columns,
    CropAttributes,
    create_crops,
    open_crops,
    open_samples,
    seal,
    verify,
    versions,
    write_shard,
)

N = SHARD + 3


def attributes(**changed) -> CropAttributes:
    described = {
        "dataset": "lidc",
        "source": "local",
        "synthetic": False,
        "protocol": "kohl2018",
        "spacing": 0.5,
        "outlines": "",
        "more_than_four": "",
        "annotations": {"1": N},
        "left_out": {},
        "left_out_patients": (),
        "manifest_sha256": "",
        "licence": "CC BY 3.0",
        "versions": versions("pydicom", "pylidc"),
    }
    return CropAttributes(**(described | changed))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    image = rng.integers(-1024, 400, (N, SIZE, SIZE)).astype(np.int16)
    return image, rng.integers(0, 16, (N, SIZE, SIZE)).astype(np.uint8)


@pytest.fixture
def unsealed(tmp_path, images):
    path = tmp_path / "lidc.zarr"
    columns = Columns(
        patient=np.array([f"P{i % 3}" for i in range(N)]),
        series=np.array([f"1.2.{i % 3}" for i in range(N)]),
        z=np.arange(N) * 1.25,
        lesion=np.zeros(N, dtype=np.int32),
        annotations=np.ones(N, dtype=np.uint8),
    )
    create_crops(path, columns, attributes())
    image, masks = images
    for shard, start in enumerate(range(0, N, SHARD)):
        write_shard(
            path, shard, image=image[start : start + SHARD], masks=masks[start : start + SHARD]
        )
    return path


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
    assert crops.attributes == attributes()


def test_only_whole_shards_are_written(unsealed, images):
    with pytest.raises(ValueError, match="not a whole shard"):
        write_shard(unsealed, 0, image=images[0][:5], masks=images[1][:5])
    with pytest.raises(ValueError, match="not a whole shard"):
        write_shard(unsealed, 1, image=images[0][:SHARD], masks=images[1][:SHARD])


def test_an_unsealed_store_is_refused(unsealed):
    with pytest.raises(ProbunetError, match="never finished"):
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
    with pytest.raises(ProbunetError, match="image/c/0/0/0 is not what was written"):
        verify(store)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 1, "schema 1; this version of probunet reads 'crops' of schema 2"),
        ("kind", "samples", "holds 'samples'"),
        ("protocol", "v1", "made by protocol 'v1'; this version of probunet reads 'kohl2018'"),
        ("spacing", "wide", "attributes are not those of schema 2"),
    ],
)
def test_other_stores_are_refused(store, key, value, message):
    zarr.open_group(store, mode="r+").attrs[key] = value
    with pytest.raises(ProbunetError, match=message):
        open_crops(store)


def test_crops_are_not_samples(store):
    with pytest.raises(ProbunetError, match="reads 'samples'"):
        open_samples(store)


def test_no_store_and_no_zarr_are_told(tmp_path):
    with pytest.raises(ProbunetError, match="no such store"):
        open_crops(tmp_path / "absent.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProbunetError, match="not a Zarr store"):
        open_crops(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(ProbunetError, match="not a Zarr store"):
        open_crops(tmp_path / "broken")
