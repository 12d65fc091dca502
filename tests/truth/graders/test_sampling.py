"""Images of one's own as they are sampled: whole, with the masks of those who looked at them."""

import numpy as np
import pytest
import torch

from probunet.datasets.folder.store import open_images
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack
from probunet.run import Run
from probunet.truth.graders.sampling import MaskImages
from support.folds import write_folds
from support.own_images import write_store
from support.settings import tiny_settings
from support.weights import write_untrained

GIVEN = [0b001, 0b110, 0b111, 0b100] * 2
SIZE = (16, 24)
SETTINGS = tiny_settings()


@pytest.fixture(params=["probabilistic_unet", "unet", "m_heads"])
def sampled(request, tmp_path, draw):
    """Samples of an untrained model, and the store they are of."""
    run = Run("mine", request.param, 1.0, 0, 0)
    store = write_store(tmp_path / "mine.zarr", GIVEN, SIZE, 3, "uint8")
    folds = write_folds(tmp_path / "folds.json", "mine", "P0", "", "P1 P2 P3")
    weights = write_untrained(tmp_path / "weights.pt", run, store, SETTINGS)
    return open_images(store), draw([weights], store, folds, run, SETTINGS)


def test_samples_are_of_whole_images(sampled):
    _, samples = sampled
    assert samples.attributes.size == SIZE
    assert samples.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert unpack(np.asarray(samples.samples[:]), *SIZE).shape == (6, 4, *SIZE)


def test_posteriors_are_of_those_who_looked(sampled):
    images, samples = sampled
    if samples.latent is None:
        assert "probabilistic_unet" not in samples.attributes.run
        return
    for k, row in enumerate(samples.latent.rows.tolist()):
        looked = [bool(GIVEN[row] >> g & 1) for g in range(3)]
        for values in (samples.latent.posterior_mean, samples.latent.posterior_log_sigma):
            assert (~np.isnan(values[k]).any(axis=1)).tolist() == looked
            assert (~np.isnan(values[k]).all(axis=1)).tolist() == looked
    assert samples.reconstruction.shape[:2] == (6, len(images.attributes.graders))


def test_what_a_network_sees(tmp_path):
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, SIZE))
    seen = MaskImages(images, SETTINGS)
    image, truths = seen.load(np.array([1, 6]), torch.device("cpu"))
    values = np.asarray(images.image[:])[[1, 6], ..., 0].astype(float)
    np.testing.assert_allclose(image[:, 0], ((values - 100) / 800).clip(0, 1), atol=1e-6)
    for g in range(3):
        np.testing.assert_array_equal(truths[:, g], images.masks[:][[1, 6]] >> g & 1)
    assert seen.given(1).tolist() == [False, True, True]


@pytest.mark.parametrize(("size", "batch"), [((128, 128), 16), ((256, 512), 2), ((1024, 1024), 1)])
def test_fewer_large_images_are_drawn_at_a_time(tmp_path, size, batch):
    images = open_images(write_store(tmp_path / "mine.zarr", [1, 1], size))
    assert MaskImages(images, SETTINGS).batch == batch


def test_weights_for_another_window_are_refused(tmp_path, draw):
    run = Run("mine", "unet", 1.0, 0, 0)
    store = write_store(tmp_path / "mine.zarr", GIVEN, SIZE, 3, "uint8")
    folds = write_folds(tmp_path / "folds.json", "mine", "P0", "", "P1")
    weights = write_untrained(tmp_path / "weights.pt", run, store, SETTINGS, window=(0, 100))
    with pytest.raises(ProbunetError, match=r"another window: \(0, 100\), expected"):
        draw([weights], store, folds, run, SETTINGS)
