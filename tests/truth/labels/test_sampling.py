"""Images with label maps as they are sampled, and their samples as they are stored."""

import numpy as np
import pytest
import torch

from probunet.datasets.folder.store import open_labelled
from probunet.run import Run
from probunet.truth.labels import stored_maps
from probunet.truth.labels.sampling import LabelImages
from support.folds import write_folds
from support.label_images import write_labelled
from support.settings import tiny_settings
from support.weights import write_untrained

GIVEN = [0b001, 0b110, 0b111, 0b100] * 2
SIZE = (16, 24)
SETTINGS = tiny_settings()


@pytest.mark.parametrize(
    "model", ["probabilistic_unet", "hierarchical_probabilistic_unet", "phiseg", "unet", "ccdm"]
)
@pytest.mark.parametrize("names", [("background", "disc"), ("background", "disc", "cup")])
def test_samples_are_label_maps(tmp_path, draw, model, names):
    run = Run("eyes", model, 1.0, 0, 0)
    store = write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE, names)
    folds = write_folds(tmp_path / "folds.json", "eyes", "P0", "", "P1 P2 P3")
    weights = write_untrained(tmp_path / "weights.pt", run, store, SETTINGS)
    samples = draw([weights], store, folds, run, SETTINGS)
    assert samples.attributes.classes == len(names)
    maps = stored_maps(np.asarray(samples.samples[:]), len(names), SIZE)
    assert maps.shape == (6, 4, *SIZE)
    assert maps.max() < len(names)


def test_who_has_not_looked_has_an_empty_map(tmp_path):
    images = open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE))
    seen = LabelImages(images, SETTINGS)
    _, maps = seen.load(np.array([1, 2]), torch.device("cpu"))
    labels = np.moveaxis(np.asarray(images.labels[:]), -1, 1)
    assert (maps[0, 0] == 0).all()
    np.testing.assert_array_equal(maps[0, 1:], labels[1, 1:])
    np.testing.assert_array_equal(maps[1], labels[2])
