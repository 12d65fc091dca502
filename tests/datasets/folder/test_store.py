"""The store of images of one's own: what is written is read, whatever its type and size."""

import numpy as np
import pytest
import zarr

from probunet.datasets.folder.store import open_images
from probunet.store import verify
from support.own_images import write_store


@pytest.mark.parametrize(
    ("values", "channels", "size"),
    [("uint8", 3, (32, 48)), ("uint16", 1, (32, 48)), ("float32", 1, (16, 16))],
)
def test_what_is_written_is_read(tmp_path, values, channels, size):
    path = write_store(
        tmp_path / "mine.zarr", [1, 0b101, 0b111, 0b10], size, channels=channels, values=values
    )
    images = open_images(path)
    verify(path)
    assert len(images) == 4
    assert images.image.shape == (4, *size, channels)
    assert images.image.dtype == np.dtype(values)
    assert images.masks.shape == (4, *size)
    assert images.given.tolist() == [1, 5, 7, 2]
    assert images.rows_of(["P1", "P3"]).tolist() == [1, 3]
    assert images.columns.name[2] == "images/2.png"


def test_large_images_lie_in_chunks_of_fewer(tmp_path):
    small = open_images(write_store(tmp_path / "small.zarr", [1, 1], (16, 16)))
    large = open_images(write_store(tmp_path / "large.zarr", [1, 1], (512, 512), channels=3))
    assert small.image.chunks[0] == 16
    assert large.image.chunks[0] == 1
    assert large.masks.chunks[0] == 1


def test_a_store_without_the_newer_attributes_is_still_opened(tmp_path):
    path = write_store(tmp_path / "mine.zarr", [1, 1], (16, 16))
    digest = open_images(path).digest
    group = zarr.open_group(path, mode="r+")
    for key in ("checks", "warnings", "threshold", "seal"):
        del group.attrs[key]
    images = open_images(path)
    assert (images.attributes.checks, images.attributes.threshold) == ((), None)
    assert images.digest == digest
