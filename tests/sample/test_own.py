"""Images of one's own as they are sampled: whole, with the masks of those who looked at them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from probunet.config import Settings, check
from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.metrics.bits import unpack
from probunet.models import build
from probunet.models.weights import WeightsInfo, save_weights
from probunet.run import Run
from probunet.sample.draw import sample_run
from probunet.sample.masks import MaskImages
from probunet.store import open_images, open_samples

from ..own_images import write_store

GIVEN = [0b001, 0b110, 0b111, 0b100] * 2
SIZE = (16, 24)
SETTINGS = check(
    Settings,
    {
        "architecture": {"channels": [4, 8], "convolutions": 1, "latent_dim": 3},
        "evaluation": {"samples": 3, "n": [1, 3], "crop": 8},
    },
    "here",
)


@pytest.fixture(scope="module", params=["probabilistic_unet", "unet", "m_heads"])
def sampled(request, tmp_path_factory: pytest.TempPathFactory):
    """Samples of an untrained model, and the store they are of."""
    folder, run = tmp_path_factory.mktemp("own"), Run("mine", request.param, 1.0, 0, 0)
    images = open_images(write_store(folder / "mine.zarr", GIVEN, SIZE, 3, "uint8"))
    fold = Fold(train=("P0",), validation=(), test=("P1", "P2", "P3"))
    Folds(dataset="mine", folds=(fold,)).write(folder / "folds.json")
    weights = write_weights(folder / "weights.pt", run, images.digest)
    output = folder / run.folder / "samples.zarr"
    sample_run(
        [weights], images.path, folder / "folds.json", run, SETTINGS, output, "cpu", threads=1
    )
    return images, open_samples(output)


def write_weights(
    path: Path, run: Run, digest: str, window: tuple[float, float] = (0, 255)
) -> Path:
    architecture = SETTINGS.architecture_of(run.model)
    model = build(run.model, architecture, in_channels=3, classes=2, seed=0)
    info = WeightsInfo(run.model, architecture, 3, 2, window, None, run.folder, digest, 1, None)
    save_weights(path, model, info)
    return path


def test_samples_are_of_whole_images(sampled) -> None:
    _, samples = sampled
    assert samples.attributes.size == SIZE
    assert samples.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert unpack(np.asarray(samples.samples[:]), *SIZE).shape == (6, 3, *SIZE)


def test_posteriors_are_of_those_who_looked(sampled) -> None:
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


def test_what_a_network_sees(tmp_path: Path) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, SIZE))
    seen = MaskImages(images, SETTINGS)
    image, truths = seen.load(np.array([1, 6]), torch.device("cpu"))
    values = np.asarray(images.image[:])[[1, 6], ..., 0].astype(float)
    np.testing.assert_allclose(image[:, 0], ((values - 100) / 800).clip(0, 1), atol=1e-6)
    for g in range(3):
        np.testing.assert_array_equal(truths[:, g], images.masks[:][[1, 6]] >> g & 1)
    assert seen.given(1).tolist() == [False, True, True]


@pytest.mark.parametrize(("size", "batch"), [((128, 128), 16), ((256, 512), 2), ((1024, 1024), 1)])
def test_fewer_large_images_are_drawn_at_a_time(tmp_path: Path, size, batch) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", [1, 1], size))
    assert MaskImages(images, SETTINGS).batch == batch


def test_weights_for_another_window_are_refused(tmp_path: Path) -> None:
    run = Run("mine", "unet", 1.0, 0, 0)
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, SIZE, 3, "uint8"))
    fold = Fold(train=("P0",), validation=(), test=("P1",))
    Folds(dataset="mine", folds=(fold,)).write(tmp_path / "folds.json")
    weights = write_weights(tmp_path / "weights.pt", run, images.digest, (0, 100))
    with pytest.raises(ProbunetError, match=r"another window of values: \(0, 100\), and not"):
        sample_run(
            [weights],
            images.path,
            tmp_path / "folds.json",
            run,
            SETTINGS,
            tmp_path / run.folder / "samples.zarr",
            "cpu",
            threads=1,
        )
