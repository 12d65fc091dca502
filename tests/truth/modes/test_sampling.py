"""Samples of scenes: class ids, whole images, and the one label that the posterior is shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probunet.datasets.cityscapes.store import open_scenes
from probunet.flips import drawn_label
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.seeding import seed_of
from support.settings import with_one_latent_scale
from support.weights import write_untrained

RUN = Run("streets", "probabilistic_unet", 1.0, 0, 3)
SIZE = (16, 32)


@pytest.fixture
def weights(tmp_path, scenes, settings):
    return write_untrained(tmp_path / "weights.pt", RUN, scenes, settings, seed=5)


def test_what_is_stored(draw, scenes, weights, city_folds, settings):
    stored = draw([weights], scenes, city_folds, RUN, settings)
    scenes = open_scenes(scenes)
    assert stored.rows.tolist() == scenes.rows_of(["munster"]).tolist() == [12, 13, 14]
    assert stored.attributes.size == scenes.attributes.size == SIZE
    assert stored.attributes.classes == 24
    assert stored.samples.shape == (3, 4, *SIZE)
    assert stored.samples.chunks == (1, 4, *SIZE)
    assert stored.deterministic.shape == (3, *SIZE)
    assert np.unique(stored.samples[:]).size > 2

    # one image by hand
    model, _ = load_weights(weights)
    assert isinstance(model, ProbabilisticUNet)
    row = 13
    rgb = np.moveaxis(np.asarray(scenes.image[row]).astype(np.float32) / 255, -1, 0)
    image = torch.from_numpy(rgb)[None]
    generator = torch.Generator().manual_seed(seed_of(RUN.seed, "sample", row))
    drawn = model.draw(image, 4, [generator])
    assert (stored.samples[1] == drawn.samples[:, 0].numpy()).mean() > 0.99
    assert (stored.deterministic[1] == drawn.deterministic[0].numpy()).mean() > 0.99
    np.testing.assert_allclose(stored.prior_mean[1], drawn.prior_mean[0], atol=1e-5)

    # of the label as it was flipped
    assert stored.reconstruction is not None
    assert stored.reconstruction.shape == (3, 1, *SIZE)
    label = torch.from_numpy(drawn_label(np.asarray(scenes.label[row]), RUN.seed, row)).long()
    with torch.no_grad():
        mean = model.encode(image, label[None]).mean
        expected = model.segment(model.condition(image), mean)
    assert (stored.reconstruction[1] == expected.numpy()).mean() > 0.99


@pytest.mark.parametrize("model", ["unet", "hierarchical_probabilistic_unet", "phiseg", "ccdm"])
def test_other_models(tmp_path, draw, scenes, city_folds, settings, model):
    run, settings = replace(RUN, model=model), with_one_latent_scale(settings)
    weights = write_untrained(tmp_path / "weights.pt", run, scenes, settings)
    stored = draw([weights], scenes, city_folds, run, settings)
    assert stored.samples.shape == (3, 4, *SIZE)
    assert stored.latent is None


def test_part_by_part_holds_one_image(
    tmp_path, draw, weights, scenes, city_folds, settings, monkeypatch
):
    """Each image is on disk before the next one is drawn."""
    written = []
    drawing = ProbabilisticUNet.draw

    def watched(self, image, n, generators, see):
        assert len(image) == 1
        chunks = (tmp_path / ".samples.zarr.partial/samples/c").glob("*")
        written.append(len(list(chunks)))
        return drawing(self, image, n, generators, see)

    monkeypatch.setattr(ProbabilisticUNet, "draw", watched)
    draw([weights], scenes, city_folds, RUN, settings)
    assert written == [0, 1, 2]
