"""Samples of scenes: class ids, whole images, and the one label that the posterior is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch

from probunet.cityscapes import drawn_label
from probunet.config import Settings
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.sample.draw import sample_run
from probunet.seeding import seed_of
from probunet.store import Samples, Scenes, open_samples, open_scenes, verify

RUN = Run("cityscapes", "probabilistic_unet", 1.0, 0, 3)


@pytest.fixture
def scenes(scene_store: Path) -> Scenes:
    return open_scenes(scene_store)


@pytest.fixture
def weights(tmp_path: Path, untrained, scene_store: Path, settings: Settings) -> Path:
    return untrained(tmp_path / "weights.pt", RUN, scene_store, settings)


@pytest.fixture
def stored(
    tmp_path: Path, weights: Path, scene_store: Path, scene_folds: Path, settings: Settings
) -> Samples:
    output = tmp_path / "samples.zarr"
    sample_run([weights], scene_store, scene_folds, RUN, settings, output, "cpu", 1)
    verify(output)
    return open_samples(output)


def test_what_is_stored(stored: Samples, scenes: Scenes, weights: Path) -> None:
    assert stored.rows.tolist() == scenes.rows_of(["frankfurt"]).tolist() == [2, 5, 8]
    assert stored.attributes.size == scenes.attributes.size == (8, 16)
    assert stored.attributes.classes == 24
    assert stored.samples.shape == (3, 4, 8, 16)
    assert stored.samples.chunks == (1, 4, 8, 16)
    assert stored.deterministic.shape == (3, 8, 16)
    assert np.unique(stored.samples[:]).size > 2

    # one image by hand
    model, _ = load_weights(weights)
    assert isinstance(model, ProbabilisticUNet)
    row = 5
    rgb = np.moveaxis(np.asarray(scenes.image[row]).astype(np.float32) / 255, -1, 0)
    image = torch.from_numpy(rgb)[None]
    generator = torch.Generator().manual_seed(seed_of(RUN.seed, "sample", row))
    drawn = model.draw(image, 4, [generator])
    assert (stored.samples[1] == drawn.samples[:, 0].numpy()).mean() > 0.99
    assert (stored.deterministic[1] == drawn.deterministic[0].numpy()).mean() > 0.99
    np.testing.assert_allclose(stored.prior_mean[1], drawn.prior_mean[0], atol=1e-5)

    # of the label as it was flipped
    assert stored.reconstruction is not None
    assert stored.reconstruction.shape == (3, 1, 8, 16)
    label = torch.from_numpy(drawn_label(np.asarray(scenes.label[row]), RUN.seed, row)).long()
    with torch.no_grad():
        mean = model.encode(image, label[None]).mean
        expected = model.segment(model.condition(image), mean)
    assert (stored.reconstruction[1] == expected.numpy()).mean() > 0.99


@pytest.mark.parametrize("model", ["unet", "hierarchical_probabilistic_unet"])
def test_other_models(
    tmp_path: Path,
    untrained,
    scene_store: Path,
    scene_folds: Path,
    settings: Settings,
    model: str,
) -> None:
    run = Run("cityscapes", model, 1.0, 0, 0)
    own = {"latent_scales": 1}
    settings = settings.model_copy(
        update={
            "hierarchical_probabilistic_unet": settings.hierarchical_probabilistic_unet.model_copy(
                update=own
            )
        }
    )
    weights = untrained(tmp_path / "weights.pt", run, scene_store, settings)
    output = tmp_path / "samples.zarr"
    sample_run([weights], scene_store, scene_folds, run, settings, output, "cpu", 1)
    stored = open_samples(output)
    assert stored.samples.shape == (3, 4, 8, 16)
    assert stored.latent is None


def test_part_by_part_holds_one_image(
    tmp_path: Path,
    weights: Path,
    scene_store: Path,
    scene_folds: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each image is on disk before the next one is drawn."""
    written = []
    draw = ProbabilisticUNet.draw
    output = tmp_path / "samples.zarr"

    def watched(self, image, n, generators):
        assert len(image) == 1
        chunks = (tmp_path / ".samples.zarr.partial/samples/c").glob("*")
        written.append(len(list(chunks)))
        return draw(self, image, n, generators)

    monkeypatch.setattr(ProbabilisticUNet, "draw", watched)
    sample_run([weights], scene_store, scene_folds, RUN, settings, output, "cpu", 1)
    assert written == [0, 1, 2]
