"""Samples: what is stored, what they depend on, and weights that are refused."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from probunet.config import Intensity
from probunet.datasets.lidc.store import open_crops
from probunet.errors import OutOfMemoryError, ProbunetError
from probunet.files import sha256
from probunet.folds import Folds
from probunet.metrics.bits import unpack
from probunet.models.attention_unet import AttentionUNet
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.weights import load_plain, load_weights, save_whole
from probunet.run import Run
from probunet.sample.entropy import SoftmaxEntropy
from probunet.sample.ncc import SoftmaxNcc
from probunet.seeding import seed_of
from support.crops import write_discs
from support.folds import write_folds
from support.weights import write_untrained


def test_weights_of_samples_are_stored(draw, tmp_path, store, folds, settings):
    run = Run("discs", "mose", 1.0, 0, 0)
    weights = write_untrained(tmp_path / "w.pt", run, store, settings)
    stored = draw([weights], store, folds, run, settings)
    assert stored.sample_weights.shape == (6, 4)
    np.testing.assert_allclose(stored.sample_weights.mean(axis=1), 1, rtol=1e-6)
    model, _ = load_weights(weights)
    row = int(stored.rows[3])
    hu = np.asarray(open_crops(store).image[row])[74:106, 74:106].astype(np.float32)
    image = torch.from_numpy((hu.clip(-1000, 400) + 1000) / 1400)[None, None]
    generator = torch.Generator().manual_seed(seed_of(run.seed, "sample", row))
    drawn = model.eval().draw(image, 4, [generator])
    np.testing.assert_allclose(stored.sample_weights[3], drawn.sample_weights[0], rtol=1e-4)


@pytest.mark.parametrize(("n", "told"), [((1, 2, 4), False), ((1, 3, 4), True)])
def test_numbers_that_part_a_round_of_samples_are_told(
    draw, tmp_path, store, folds, settings, caplog, n, told
):
    run = Run("discs", "mose", 1.0, 0, 0)
    weights = write_untrained(tmp_path / "w.pt", run, store, settings)
    evaluation = settings.evaluation.model_copy(update={"n": n})
    draw([weights], store, folds, run, settings.model_copy(update={"evaluation": evaluation}))
    said = "evaluation.n: 3: samples of mose complement each other in rounds of 2"
    assert (said in caplog.text) == told


def test_what_is_stored(draw, weights, store, folds, run, settings):
    stored = draw([weights], store, folds, run, settings)
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
    seen = []
    drawn = model.draw(image, 4, [generator], seen.append)
    samples = unpack(np.asarray(stored.samples[3]), 32, 32)
    deterministic = unpack(np.asarray(stored.deterministic[3]), 32, 32)
    assert 0 < samples.mean() < 1
    assert (samples == drawn.samples[:, 0].numpy()).mean() > 0.999
    assert (deterministic == drawn.deterministic[0].numpy()).mean() > 0.999
    np.testing.assert_allclose(stored.prior_mean[3], drawn.prior_mean[0], atol=1e-5)
    np.testing.assert_allclose(stored.prior_log_sigma[3], drawn.prior_log_sigma[0], atol=1e-5)

    # NCC of the first n samples with each grader, and their entropies
    assert stored.ncc is not None
    masks = (np.asarray(crops.masks[row])[74:106, 74:106] >> np.arange(4)[:, None, None]) & 1
    ncc = SoftmaxNcc(torch.from_numpy(masks.astype(np.int64))[None])
    for logits in seen:
        ncc.see(logits)
    assert stored.ncc.shape == (6, 4, 4)
    np.testing.assert_allclose(stored.ncc[3], ncc.result()[0], atol=1e-4)
    entropy = SoftmaxEntropy(torch.from_numpy(masks.astype(np.int64))[None])
    for logits in seen:
        entropy.see(logits)
    for found, expected in zip(
        (stored.softmax_entropy, stored.expected_entropy), entropy.result(), strict=True
    ):
        np.testing.assert_allclose(found[3], expected[0], atol=1e-5)
    assert (stored.softmax_entropy[:, 1:] > stored.expected_entropy[:, 1:]).all()

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
    draw, weights, store, folds, run, settings, monkeypatch
):
    stored = []
    for batch in (16, 16, 1):
        monkeypatch.setattr("probunet.truth.graders.sampling._BATCH", batch)
        drawn = draw([weights], store, folds, run, settings)
        stored.append(unpack(np.asarray(drawn.samples[:]), 32, 32))
    assert np.array_equal(stored[0], stored[1])
    assert (stored[0] == stored[2]).mean() > 0.999  # rounding aside


@pytest.mark.parametrize("model", ["unet", "image2image_vae"])
def test_models_without_a_latent_vector_leave_it_out(
    tmp_path, draw, store, folds, run, settings, model
):
    chosen = replace(run, model=model)
    weights = write_untrained(tmp_path / "weights.pt", chosen, store, settings)
    stored = draw([weights], store, folds, chosen, settings)
    if model == "unet":
        assert stored.prior_mean is None
        assert stored.prior_log_sigma is None
        samples = np.asarray(stored.samples[:])
        assert np.array_equal(samples, np.repeat(stored.deterministic[:][:, None], 4, axis=1))
    else:
        assert stored.prior_mean is not None
        assert stored.prior_mean.shape == (6, 3)


@pytest.mark.parametrize(
    ("model", "population"),
    [("unet", 1), ("m_heads", 16), ("image2image_vae", 0), ("dropout_unet", 0)],
)
def test_samples_say_how_many_different_ones_there_can_be(
    tmp_path, draw, store, folds, run, settings, model, population
):
    chosen = replace(run, model=model)
    weights = write_untrained(tmp_path / "weights.pt", chosen, store, settings)
    stored = draw([weights], store, folds, chosen, settings)
    assert stored.attributes.population == population


@pytest.mark.parametrize(("asked", "steps"), [(None, 20), (3, 3)])
def test_a_model_that_draws_in_steps_takes_as_many_as_are_asked_for(
    tmp_path, draw, store, folds, run, settings, asked, steps, monkeypatch
):
    chosen, passes = replace(run, model="ccdm"), []
    evaluation = settings.evaluation.model_copy(update={"sampling_steps": asked})
    wanted = settings.model_copy(update={"evaluation": evaluation})
    weights = write_untrained(tmp_path / "weights.pt", chosen, store, settings)
    usual = AttentionUNet.forward
    monkeypatch.setattr(
        AttentionUNet, "forward", lambda net, x, t: passes.append(float(t)) or usual(net, x, t)
    )
    draw([weights], store, folds, chosen, wanted)
    assert len(passes) == steps
    assert (passes[0], passes[-1]) == (20, 1)


def test_more_sampling_steps_than_there_are_leave_nothing(
    tmp_path, draw, store, folds, run, settings
):
    chosen = replace(run, model="ccdm")
    evaluation = settings.evaluation.model_copy(update={"sampling_steps": 21})
    weights = write_untrained(tmp_path / "weights.pt", chosen, store, settings)
    with pytest.raises(ProbunetError, match="sampling_steps: 21 is more than the 20 diffusion"):
        draw(
            [weights], store, folds, chosen, settings.model_copy(update={"evaluation": evaluation})
        )
    assert not (tmp_path / "samples.zarr").exists()


def test_the_log_says_what_a_sample_cost(draw, weights, store, folds, run, settings, caplog):
    caplog.set_level(logging.INFO, "probunet")
    noted = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probunet.sample.draw.note", lambda **values: noted.update(values))
        draw([weights], store, folds, run, settings)
    assert noted["sample_seconds"] > 0
    assert noted["sample_gmac"] > 0
    cost = f"took {noted['sample_seconds']:.3g} s and {noted['sample_gmac']:.3g} GMAC"
    assert cost in caplog.messages[-1]


def test_the_log_begins_with_the_device(draw, weights, store, folds, run, settings, caplog):
    caplog.set_level(logging.INFO, "probunet")
    draw([weights], store, folds, run, settings)
    first = caplog.messages[0]
    assert first.startswith("device: cpu (1 thread), capability: ")
    assert "precision: float32, compile: off" in first


def test_lack_of_memory_names_the_keys_to_lower(
    draw, weights, store, folds, run, settings, monkeypatch, tmp_path
):
    def lacking(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(ProbabilisticUNet, "draw", lacking)
    keys = r"sampling: out of memory .*evaluation\.samples \(4\) or evaluation\.crop \(32\)"
    with pytest.raises(OutOfMemoryError, match=keys):
        draw([weights], store, folds, run, settings)
    assert not (tmp_path / "samples.zarr").exists()


def test_refused(tmp_path, draw, weights, store, folds, run, settings):
    wider = settings.model_copy(
        update={"architecture": settings.architecture.model_copy(update={"latent_dim": 3})}
    )
    window = settings.model_copy(update={"intensity": Intensity(window=(-500.0, 500.0))})
    for changed_run, changed, what in (
        (replace(run, beta=10.0), settings, "run: discs/.*beta-1/.*, expected discs/.*beta-10/"),
        (run, wider, "architecture"),
        (run, window, "window"),
    ):
        with pytest.raises(ProbunetError, match=rf"weights\.pt: was trained for another {what}"):
            draw([weights], store, folds, changed_run, changed)
    other = write_discs(tmp_path / "other/discs.zarr", seed=1)
    with pytest.raises(ProbunetError, match="trained for another store:"):
        draw([weights], other, folds, run, settings)
    with pytest.raises(
        ProbunetError, match="probabilistic_unet needs one file of weights; --weights names 2"
    ):
        draw([weights] * 2, store, folds, run, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_folds_of_another_data_set_or_division_are_refused(
    tmp_path, draw, weights, store, run, settings
):
    for dataset, train, test, message in (
        ("cats", "a b", "d", "its folds are of the data set cats, but"),
        ("discs", "a x", "d", "names patients without any crop in .*: x"),
        ("discs", "a d", "b", "was trained for another division of the subjects"),
    ):
        folds = write_folds(tmp_path / "f.json", dataset, train=train, validation="c", test=test)
        with pytest.raises(ProbunetError, match=message):
            draw([weights], store, folds, run, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]


def test_samples_say_whose_fold_they_are_of(draw, weights, store, folds, run, settings):
    stored = draw([weights], store, folds, run, settings)
    assert stored.attributes.subjects == Folds.read(folds).folds[0].digest


def test_weights_of_an_older_version_are_sampled_and_told(
    tmp_path, draw, weights, store, folds, run, settings, caplog
):
    content = load_plain(weights)
    del content["subjects"]
    save_whole(tmp_path / "w.pt", content)
    caplog.set_level(logging.INFO, "probunet")
    draw([tmp_path / "w.pt"], store, folds, run, settings)
    assert "w.pt: of an older version, which does not say its fold's subjects" in caplog.text


def test_a_network_is_not_built_of_weights_of_another_architecture(
    draw, weights, store, folds, run, settings, monkeypatch
):
    monkeypatch.setattr("probunet.models.weights.outline", None)
    wider = settings.model_copy(
        update={"architecture": settings.architecture.model_copy(update={"latent_dim": 3})}
    )
    with pytest.raises(ProbunetError, match="was trained for another architecture"):
        draw([weights], store, folds, run, wider)


def test_a_prior_that_is_not_finite_is_not_written(
    tmp_path, draw, weights, store, folds, run, settings
):
    content = load_plain(weights)
    for name, values in content["state"].items():
        if name.startswith("prior"):
            values.fill_(3e38)
    save_whole(tmp_path / "w.pt", content)
    with pytest.raises(ProbunetError, match="prior_mean is not finite"):
        draw([tmp_path / "w.pt"], store, folds, run, settings)
    assert not (tmp_path / "samples.zarr").exists()
