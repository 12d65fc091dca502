"""Batches are the same whether images are on the device, in memory or on disk."""

import shutil

import numpy as np
import pytest
import torch

from probunet.config import Augmentation
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.store import SHARD
from probunet.truth.places import draw_images
from probunet.truth.rows import each_row, read_rows
from support.crops import SIZE, write_crops
from support.label_images import write_labelled
from support.own_images import write_store
from support.own_sizes import open_own
from support.settings import tiny_settings

CPU = torch.device("cpu")


@pytest.fixture(params=["crops", "scenes", "images", "labels", "own sizes", "labels of own sizes"])
def data(request, store, scenes, tmp_path):
    if "own sizes" in request.param:
        return open_own(tmp_path / "mine.zarr", labelled="labels" in request.param)
    if request.param == "images":
        return open_data(write_store(tmp_path / "mine.zarr", [1, 2] * 6))
    if request.param == "labels":
        return open_data(write_labelled(tmp_path / "mine.zarr", [7, 3] * 6))
    return open_data(store if request.param == "crops" else scenes)


@pytest.mark.parametrize("place", ["host", "disk"])
def test_batches_are_equal_to_the_bit_wherever_the_images_are(data, place):
    lively = Augmentation(mirror=0.5, gamma_probability=0.5)
    settings = tiny_settings(batch=5).model_copy(update={"augmentation": lively})
    rows = np.array([7, 1, 2, 5, 3])
    resident = data.batches(rows, settings, CPU)
    elsewhere = data.batches(rows, settings, CPU, place)
    assert elsewhere.in_channels == resident.in_channels
    # in order, once more, back, far ahead, and with another seed
    for seed, step in [(0, 1), (0, 2), (0, 2), (0, 1), (0, 900), (1, 900), (0, 901)]:
        for one, other in zip(resident.draw(seed, step), elsewhere.draw(seed, step), strict=True):
            assert torch.equal(one, other)
            assert one.dtype == other.dtype


def test_the_size_of_images_is_that_of_their_tensors(data):
    rows = np.arange(6)
    parts = [rows] if data.extents is None else np.split(rows, 6)
    arrays = [data.arrays(part) for part in parts]
    assert data.bytes_of(rows) == sum(array.nbytes for some in arrays for array in some)
    assert sum(len(image) for image, _ in arrays) == 6


def test_images_of_a_step_follow_from_seed_and_step():
    _, first = draw_images(0, 1, 1000, 50)
    assert torch.equal(first, draw_images(0, 1, 1000, 50)[1])
    assert not torch.equal(first, draw_images(0, 2, 1000, 50)[1])
    assert 0 <= first.min() < first.max() < 1000


def test_damage_that_a_thread_finds_is_told(store, tmp_path):
    path = tmp_path / "copy.zarr"
    shutil.copytree(store, path)
    chunk = next(file for file in (path / "image" / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    batches = open_data(path).batches(np.arange(8), tiny_settings(), CPU, "disk")
    with pytest.raises(ProbunetError, match="was changed after it was written"):
        batches.draw(0, 1)


@pytest.mark.parametrize("few", [1, 3, 40, 130])
def test_few_and_many_rows_are_read_alike(tmp_path, few):
    whole = np.random.default_rng(0).integers(0, 9, (2 * SHARD + 9, SIZE, SIZE)).astype(np.int16)
    path = write_crops(tmp_path / "discs.zarr", whole, whole.astype(np.uint8), ["a"] * len(whole))
    images = open_data(path)
    rows = np.random.default_rng(few).permutation(len(whole))[:few]
    np.testing.assert_array_equal(read_rows(images.image, rows), whole[rows])
    np.testing.assert_array_equal(read_rows(images.image, rows, slice(3, 9)), whole[rows, 3:9])
    in_order = np.sort(rows)
    np.testing.assert_array_equal(np.stack([*each_row(images.image, in_order)]), whole[in_order])
