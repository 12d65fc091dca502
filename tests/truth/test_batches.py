"""Batches of crops, scenes and own images are functions of (seed, step)."""

import numpy as np
import pytest
import torch

from probunet.config import Augmentation
from probunet.datasets import open_data
from support.own_images import write_store

# shape of an image, classes, window and crop
SEEN = {
    "crops": ((1, 32, 32), 2, (-1000, 400), 32),
    "scenes": ((3, 16, 32), 24, None, None),
    "images": ((1, 32, 48), 2, (100, 900), None),
}


@pytest.fixture(params=SEEN)
def data(request, store, scenes, tmp_path):
    if request.param == "images":
        return open_data(write_store(tmp_path / "mine.zarr", [1, 2] * 6)), *SEEN["images"]
    return open_data(store if request.param == "crops" else scenes), *SEEN[request.param]


def test_a_batch_depends_on_seed_and_step_alone(data, settings):
    data, shape, classes, *window_and_crop = data
    assert [data.window(settings), data.crop(settings)] == window_and_crop
    assert data.classes == classes
    lively = Augmentation(mirror=0.5, gamma_probability=0.5)
    batch = settings.training.model_copy(update={"batch": 4})
    settings = settings.model_copy(update={"augmentation": lively, "training": batch})
    batches = data.batches(np.arange(8), settings, torch.device("cpu"))
    image, label = batches.draw(seed=0, step=5)
    batches.draw(seed=0, step=6)
    again, label_again = batches.draw(seed=0, step=5)
    assert torch.equal(image, again)
    assert torch.equal(label, label_again)
    for seed, step in ((0, 6), (1, 5)):
        assert not torch.equal(image, batches.draw(seed, step)[0])
    assert batches.in_channels == shape[0]
    assert (image.shape, image.dtype) == ((4, *shape), torch.float32)
    assert (label.shape, label.dtype) == ((4, *shape[1:]), torch.int64)
    assert 0 <= image.min() < image.max() <= 1
    assert set(label.unique().tolist()) <= {*range(classes), *([255] if classes > 2 else [])}
