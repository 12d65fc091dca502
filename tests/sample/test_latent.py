"""The latent space around a few images, against a model whose latent effects are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from probunet.config import Settings
from probunet.datasets.cityscapes.store import open_scenes
from probunet.datasets.lidc.store import open_crops
from probunet.flips import drawn_label
from probunet.metrics.bits import unpack
from probunet.models.latent import Gaussian
from probunet.models.probabilistic_unet import Condition, ProbabilisticUNet
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.sample.latent import STEPS, explore_latent, strongest_directions
from probunet.store import Latent
from probunet.truth.graders.sampling import MaskImages
from probunet.truth.modes.sampling import SceneImages
from support.settings import with_one_latent_scale
from support.weights import write_untrained

CPU = torch.device("cpu")


def check_by_hand(
    model: ProbabilisticUNet, images: MaskImages | SceneImages, latent: Latent, of: int
) -> None:
    """Compare one image's part of a latent space with what single calls give."""
    image, truths = images.load(latent.rows[of : of + 1], CPU)
    condition = model.condition(image)
    mean, sigma = condition.prior.mean[0], condition.prior.log_sigma[0].exp()
    a, b = latent.directions[of].tolist()
    for i, j in ((0, 0), (6, 1), (3, 3), (2, 5)):
        z = mean.clone()
        z[a] += sigma[a] * float(STEPS[i])
        z[b] += sigma[b] * float(STEPS[j])
        expected = images.stored(model.segment(condition, z[None])[0])
        assert (latent.grid[of, i, j] == expected).mean() > 0.99
    for g, truth in enumerate(truths.unbind(1)):
        with torch.no_grad():
            posterior = model.encode(image, truth)
        np.testing.assert_allclose(latent.posterior_mean[of, g], posterior.mean[0], atol=1e-5)
        np.testing.assert_allclose(
            latent.posterior_log_sigma[of, g], posterior.log_sigma[0], atol=1e-5
        )


def test_of_crops(draw, weights, store, folds, run, settings):
    stored = draw([weights], store, folds, run, settings)
    assert stored.latent is not None
    assert stored.latent.rows.tolist() == [18, 20, 21, 23]  # of 18 to 23
    assert stored.latent.steps.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert stored.latent.posterior_mean.shape == (4, 4, 2)
    assert np.sort(stored.latent.directions, axis=1).tolist() == [[0, 1]] * 4
    masks = unpack(stored.latent.grid, 32, 32)
    assert masks.shape == (4, 7, 7, 32, 32)
    assert 0 < masks.mean() < 1
    # in the middle lies the prior's mean
    expected = np.asarray(stored.deterministic[:])[[0, 2, 3, 5]]
    assert (stored.latent.grid[:, 3, 3] == expected).mean() > 0.99
    model, _ = load_weights(weights)
    assert isinstance(model, ProbabilisticUNet)
    images = MaskImages(open_crops(store), settings)
    check_by_hand(model, images, stored.latent, 2)


def test_of_scenes(tmp_path, draw, scenes, city_folds, settings):
    run, data = Run("streets", "probabilistic_unet", 1.0, 0, 7), open_scenes(scenes)
    weights = write_untrained(tmp_path / "weights.pt", run, scenes, settings)
    latent = draw([weights], scenes, city_folds, run, settings).latent
    assert latent is not None
    assert latent.rows.tolist() == [12, 13, 14]  # fewer than four: all of them
    assert latent.grid.shape == (3, 7, 7, *data.size)
    assert latent.posterior_mean.shape == (3, 1, 2)
    model, _ = load_weights(weights)
    assert isinstance(model, ProbabilisticUNet)
    images = SceneImages(data, run.seed)
    check_by_hand(model, images, latent, 1)
    _, truths = images.load(np.array([13]), CPU)
    expected = drawn_label(np.asarray(data.label[13]), run.seed, 13)
    np.testing.assert_array_equal(truths[0, 0], expected)


def test_the_strongest_directions_change_most_pixels():
    """Dimension d moves the edge of a class by so many pixels per unit."""
    gains = torch.tensor([1.0, 0.0, 9.0, 4.0])
    sigma = torch.tensor([[1.0, 1.0, 0.1, 2.0]])  # hence 1, 0, 0.9 and 8 per sigma

    def segment(condition: Condition, z: torch.Tensor) -> torch.Tensor:
        edge = 50 + (z * gains).sum(dim=1)
        return (torch.arange(100) < edge[:, None, None]).to(torch.uint8)

    model = SimpleNamespace(latent_dim=4, segment=segment)
    prior = Gaussian(torch.zeros(1, 4), sigma.log())
    condition = Condition(torch.zeros(1, 1, 100, 1), prior)
    assert strongest_directions(model, condition).tolist() == [3, 0]


def test_one_dimension_has_no_plane(store):
    model = SimpleNamespace(latent_dim=1)
    images = MaskImages(open_crops(store), Settings())
    assert explore_latent(model, images, np.arange(4)) is None


@pytest.mark.parametrize("model", ["image2image_vae", "hierarchical_probabilistic_unet", "phiseg"])
def test_other_models_have_none(tmp_path, draw, store, folds, settings, model):
    run, settings = Run("discs", model, 1.0, 0, 0), with_one_latent_scale(settings)
    weights = write_untrained(tmp_path / "weights.pt", run, store, settings)
    assert draw([weights], store, folds, run, settings).latent is None
