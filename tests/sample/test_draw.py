"""Samples: what is stored, what they depend on, and weights that are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from probunet.config import Intensity, Settings
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.metrics.bits import unpack
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.sample.draw import sample_run
from probunet.sample.masks import MaskImages
from probunet.seeding import seed_of
from probunet.store import open_crops, open_samples, verify


def test_what_is_stored(
    tmp_path: Path, weights: Path, store: Path, folds: Path, run: Run, settings: Settings
) -> None:
    output = tmp_path / "samples.zarr"
    sample_run([weights], store, folds, run, settings, output, "cpu", 1)
    verify(output)
    stored = open_samples(output)
    crops = open_crops(store)
    assert stored.rows.tolist() == crops.rows_of(["d"]).tolist()
    assert stored.attributes.run == run.folder
    assert stored.attributes.store == crops.digest
    assert stored.attributes.weights_sha256 == (sha256(weights),)
    (step,) = stored.attributes.weights_step
    assert 0 < step <= 60
    assert (stored.attributes.size, stored.attributes.samples) == ((32, 32), 4)

    # one image by hand
    model, _ = load_weights(weights)
    assert isinstance(model, ProbabilisticUNet)
    row = int(stored.rows[3])
    hu = np.asarray(crops.image[row])[74:106, 74:106].astype(np.float32)
    image = torch.from_numpy((hu.clip(-1000, 400) + 1000) / 1400)[None, None]
    generator = torch.Generator().manual_seed(seed_of(run.seed, "sample", row))
    drawn = model.draw(image, 4, [generator])
    samples = unpack(np.asarray(stored.samples[3]), 32, 32)
    deterministic = unpack(np.asarray(stored.deterministic[3]), 32, 32)
    assert 0 < samples.mean() < 1
    assert (samples == drawn.samples[:, 0].numpy()).mean() > 0.999
    assert (deterministic == drawn.deterministic[0].numpy()).mean() > 0.999
    np.testing.assert_allclose(stored.prior_mean[3], drawn.prior_mean[0], atol=1e-5)
    np.testing.assert_allclose(stored.prior_log_sigma[3], drawn.prior_log_sigma[0], atol=1e-5)

    # each grader's mask, one at a time
    assert stored.reconstruction is not None
    rebuilt = unpack(np.asarray(stored.reconstruction[3]), 32, 32)
    bits = np.asarray(crops.masks[row])[74:106, 74:106]
    assert len(rebuilt) == 4
    for g in range(4):
        mask = torch.from_numpy((bits >> g & 1).astype(np.int64))[None]
        with torch.no_grad():
            z = model.encode(image, mask).mean
            expected = model.segment(model.condition(image), z)
        assert (rebuilt[g] == expected[0].numpy()).mean() > 0.999


def test_samples_do_not_depend_on_the_batch(
    tmp_path: Path,
    weights: Path,
    store: Path,
    folds: Path,
    run: Run,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = []
    for batch in (16, 16, 1):
        monkeypatch.setattr(MaskImages, "batch", batch)
        output = tmp_path / "samples.zarr"
        sample_run([weights], store, folds, run, settings, output, "cpu", 1)
        stored.append(unpack(np.asarray(open_samples(output).samples[:]), 32, 32))
    assert np.array_equal(stored[0], stored[1])
    assert (stored[0] == stored[2]).mean() > 0.999  # rounding aside


@pytest.mark.parametrize("model", ["unet", "image2image_vae"])
def test_models_without_a_latent_vector_leave_it_out(
    tmp_path: Path, untrained, store: Path, folds: Path, run: Run, settings: Settings, model: str
) -> None:
    chosen = replace(run, model=model)
    weights = untrained(tmp_path / "weights.pt", chosen, store, settings)
    output = tmp_path / "samples.zarr"
    sample_run([weights], store, folds, chosen, settings, output, "cpu", 1)
    verify(output)
    stored = open_samples(output)
    if model == "unet":
        assert stored.prior_mean is None
        assert stored.prior_log_sigma is None
        samples = np.asarray(stored.samples[:])
        assert np.array_equal(samples, np.repeat(stored.deterministic[:][:, None], 4, axis=1))
    else:
        assert stored.prior_mean is not None
        assert stored.prior_mean.shape == (6, 3)


def test_refused(
    tmp_path: Path, weights: Path, store: Path, folds: Path, run: Run, settings: Settings
) -> None:
    output = tmp_path / "samples.zarr"
    wider = settings.model_copy(
        update={
            "architecture": settings.architecture.model_copy(update={"latent_dim": 3}),
        }
    )
    window = settings.model_copy(update={"intensity": Intensity(window=(-500.0, 500.0))})
    for changed_run, changed, what in (
        (replace(run, beta=10.0), settings, "run: discs/.*beta-1/.* and not discs/.*beta-10/"),
        (run, wider, "architecture"),
        (run, window, "window of values"),
    ):
        with pytest.raises(ProbunetError, match=rf"weights\.pt: trained for another {what}"):
            sample_run([weights], store, folds, changed_run, changed, output, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_another_store_is_refused(
    tmp_path: Path, weights: Path, other_store: Path, folds: Path, run: Run, settings: Settings
) -> None:
    with pytest.raises(ProbunetError, match="trained for another store:"):
        sample_run([weights], other_store, folds, run, settings, tmp_path / "samples.zarr", "cpu")


def test_one_file_of_weights(
    tmp_path: Path, weights: Path, store: Path, folds: Path, run: Run, settings: Settings
) -> None:
    with pytest.raises(ProbunetError, match="given 2 files of weights; probabilistic_unet has one"):
        sample_run([weights] * 2, store, folds, run, settings, tmp_path / "samples.zarr", "cpu")
