"""Samples of arrays: those of the workflow, whatever the batch, for every model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import probunet.seeding
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.metrics.bits import unpack
from probunet.models import MODELS
from probunet.predict.predictor import Predictor, load
from probunet.run import Run
from probunet.truth.inputs import central
from probunet.truth.labels import stored_maps
from support.folds import write_folds
from support.own_images import write_store
from support.own_sizes import open_own, write_lively
from support.predicting import FIT, write_weights
from support.settings import tiny_settings
from support.weights import write_untrained

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (32, 48)).astype(np.uint8)
VOLUME = RANDOM.integers(0, 256, (5, 32, 48)).astype(np.uint8)


def loaded(path: Path, *arguments: object, **options: object) -> Predictor:
    return load(write_weights(path, *arguments, **options), device="cpu", threads=1)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return loaded(tmp_path_factory.mktemp("usual") / "weights.pt")


# ------------------------------------------------------------------ the same as the workflow


@pytest.mark.parametrize("model", ["probabilistic_unet", "dropout_unet", "unet", "mose"])
def test_samples_of_a_test_image_are_those_of_the_workflow(
    tmp_path, draw, store, folds, settings, model
):
    run = Run("discs", model, 1.0, 0, 7)
    weights = write_untrained(tmp_path / "w.pt", run, store, settings)
    stored = draw([weights], store, folds, run, settings)
    predictor, data = load(weights, device="cpu", threads=1), open_data(store)
    for position, row in enumerate(stored.rows.tolist()):
        image = central(np.asarray(data.image[row])[None], (32, 32))[0]
        drawn = predictor.sample(image, 4, run.seed, row=row)
        assert np.array_equal(drawn.samples, unpack(np.asarray(stored.samples[position]), 32, 32))
        own = unpack(np.asarray(stored.deterministic[position]), 32, 32)
        assert np.array_equal(drawn.deterministic, own)
        if stored.sample_weights is None:
            assert drawn.weights is None
        else:
            np.testing.assert_allclose(drawn.weights, stored.sample_weights[position], rtol=1e-5)


def test_samples_of_images_of_16_bits_are_those_of_the_workflow(tmp_path, draw):
    store = write_store(tmp_path / "mine.zarr", [7] * 8)
    folds = write_folds(tmp_path / "folds.json", "mine", train="P0 P1", validation="P2", test="P3")
    run, settings = Run("mine", "probabilistic_unet", 1.0, 0, 3), tiny_settings()
    weights = write_untrained(tmp_path / "w.pt", run, store, settings)
    stored = draw([weights], store, folds, run, settings)
    predictor, data = load(weights, device="cpu", threads=1), open_data(store)
    row = int(stored.rows[1])
    drawn = predictor.sample(np.asarray(data.image[row])[..., 0], 4, 3, row=row)
    assert np.array_equal(drawn.samples, unpack(np.asarray(stored.samples[1]), 32, 48))


@pytest.mark.parametrize("labelled", [False, True])
def test_samples_of_images_of_their_own_sizes_are_those_of_the_workflow(tmp_path, draw, labelled):
    images = open_own(tmp_path / "mine.zarr", labelled=labelled)
    folds = write_folds(tmp_path / "folds.json", "mine", train="P0", validation="P1", test="P2 P3")
    run = Run("mine", "probabilistic_unet", 1.0, 0, 3)
    weights = write_lively(tmp_path / "w.pt", images, run)
    # the side of the tiles is that of the weights
    stored = draw([weights], images.path, folds, run, tiny_settings(crop=64))
    predictor = load(weights, device="cpu", threads=1)
    size, found = stored.attributes.size, set()
    assert size == images.size
    for position, row in enumerate(stored.rows.tolist()):
        height, width = images.extents[row]
        image = np.asarray(images.image[row])[:height, :width, 0]
        drawn = predictor.sample(image, 4, 3, row=row)
        for kept, own in (
            (stored.samples, drawn.samples),
            (stored.deterministic, drawn.deterministic),
        ):
            maps = stored_maps(np.asarray(kept[position]), images.classes, size)
            assert np.array_equal(maps[..., :height, :width], own)
            assert maps.sum() == own.sum()  # nothing beyond the edge
        found |= {*np.unique(drawn.samples).tolist()}
    assert len(found) > 1


def test_samples_of_a_scene_are_those_of_the_workflow(tmp_path, draw, scenes, city_folds):
    run, settings = Run("streets", "probabilistic_unet", 1.0, 0, 0), tiny_settings()
    weights = write_untrained(tmp_path / "w.pt", run, scenes, settings)
    stored = draw([weights], scenes, city_folds, run, settings)
    predictor, data = load(weights, device="cpu", threads=1), open_data(scenes)
    row = int(stored.rows[0])
    drawn = predictor.sample(np.asarray(data.image[row]), 4, 0, row=row)
    assert np.array_equal(drawn.samples, np.asarray(stored.samples[0]))
    assert predictor.classes[0] == "road"


# ------------------------------------------------------------------ every model


@pytest.mark.parametrize("model", MODELS)
def test_a_volume_is_drawn_with_one_noise(tmp_path: Path, model: str) -> None:
    predictor = loaded(tmp_path / "w.pt", model)
    drawn = predictor.sample(VOLUME, 4, seed=5)
    assert drawn.samples.shape == (4, 5, 32, 48)
    assert drawn.mean.shape == (2, 5, 32, 48)
    for k, one in enumerate(VOLUME):
        alone = predictor.sample(one, 4, seed=5)
        for name, value in vars(alone).items():
            if name == "weights":
                assert (value is None) == (drawn.weights is None) == (model != "mose")
                assert value is None or np.allclose(value, drawn.weights[:, k], atol=1e-5)
                continue
            together = np.moveaxis(getattr(drawn, name), -3, 0)[k]
            # its normalisation, untrained, magnifies the last digits, which depend on the batch
            most = 1e-3 if model == "phiseg" else 1e-5
            assert np.allclose(value, together, atol=most), name
    again = predictor.sample(VOLUME, 4, seed=5)
    assert all(np.array_equal(v, getattr(again, name)) for name, v in vars(drawn).items())


@pytest.mark.parametrize("model", MODELS)
def test_maps_are_those_of_the_samples_probabilities(tmp_path: Path, model: str) -> None:
    predictor = loaded(tmp_path / "w.pt", model, ("background", "disc", "cup"))
    drawn, seen = predictor.sample(IMAGE, 6, seed=2), []
    image = torch.from_numpy(IMAGE[None, None].astype(np.float32) / 255)
    generator = torch.Generator().manual_seed(probunet.seeding.seed_of(2, "sample", 0))
    drawn_again = predictor.model.draw(
        image, 6, [generator], lambda logits, *_: seen.append(logits.clone())
    )
    weights = None
    if drawn_again.sample_weights is not None:
        weights = drawn_again.sample_weights[0].detach().numpy().astype(np.float64)
    p = np.stack([one[0].softmax(dim=0).detach().numpy() for one in seen]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropies = -np.nansum(p * np.log(p), axis=1)
        mean = np.average(p, axis=0, weights=weights)
        entropy = -np.nansum(mean * np.log(mean), axis=0)
    np.testing.assert_allclose(drawn.mean, mean, atol=1e-5)
    np.testing.assert_allclose(drawn.entropy, entropy, atol=1e-5)
    expected = entropy - np.average(entropies, axis=0, weights=weights)
    np.testing.assert_allclose(drawn.mutual_information, expected, atol=1e-5)
    assert np.array_equal(drawn.samples, p.argmax(axis=1))


def test_maps_of_a_model_without_logits_are_frequencies(usual: Predictor, monkeypatch) -> None:
    draw = usual.model.draw
    monkeypatch.setattr(
        usual.model, "draw", lambda image, n, generators, see: draw(image, n, generators)
    )
    drawn = usual.sample(IMAGE, 8)
    np.testing.assert_allclose(drawn.mean[1], drawn.samples.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(drawn.mutual_information, drawn.entropy, atol=1e-6)


def test_a_model_that_draws_in_steps_takes_as_many_as_are_asked_for(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.pt", "ccdm")
    assert load(path, device="cpu").model.sampling_steps == 20
    assert load(path, device="cpu", sampling_steps=3).model.sampling_steps == 3
    with pytest.raises(ProbunetError, match="sampling_steps: 21 is more than the 20 diffusion"):
        load(path, device="cpu", sampling_steps=21)
    other = write_weights(tmp_path / "other.pt", "unet")
    with pytest.raises(ProbunetError, match=r"other\.pt has weights of unet, which draws at once"):
        load(other, device="cpu", sampling_steps=3)


# ------------------------------------------------------------------ ensembles


def test_u_nets_are_the_ensemble_of_a_study(tmp_path: Path) -> None:
    paths = [write_weights(tmp_path / f"{k}.pt", "unet", seed=k) for k in range(3)]
    together = load(*paths, device="cpu").sample(IMAGE, 5)
    alone = [load(path, device="cpu").sample(IMAGE, 1) for path in paths]
    for i in range(5):
        assert np.array_equal(together.samples[i], alone[i % 3].samples[0])
    mean = np.mean([one.mean for one in alone], axis=0)
    assert (together.deterministic == mean.argmax(axis=0)).mean() > 0.999


@pytest.mark.parametrize("n", [1, 2, 5])
def test_samples_of_an_ensemble_are_those_of_its_members_in_turn(tmp_path: Path, n: int) -> None:
    names = ("probabilistic_unet", "image2image_vae", "stochastic_segmentation_network")
    paths = [write_weights(tmp_path / f"{name}.pt", name) for name in names]
    together = load(*paths, device="cpu").sample(IMAGE, n, seed=4)
    alone = [load(path, device="cpu").sample(IMAGE, n, seed=4) for path in paths]
    for i in range(n):
        assert np.array_equal(together.samples[i], alone[i % 3].samples[i // 3])


def test_weights_of_a_member_divide_what_the_member_counts(tmp_path: Path) -> None:
    names = ("mose", "probabilistic_unet")
    paths = [write_weights(tmp_path / f"{name}.pt", name) for name in names]
    together = load(*paths, device="cpu").sample(IMAGE, 7, seed=4)
    first, second = (
        load(path, device="cpu").sample(IMAGE, n, seed=4)
        for path, n in zip(paths, (4, 3), strict=True)
    )
    np.testing.assert_allclose(together.weights[::2], first.weights)
    np.testing.assert_allclose(together.weights[1::2], 1)
    np.testing.assert_allclose(together.mean, (4 * first.mean + 3 * second.mean) / 7, atol=1e-5)


def test_weights_of_tiles_are_the_mean_over_their_pixels(tmp_path: Path) -> None:
    predictor = loaded(tmp_path / "w.pt", "mose")
    image = RANDOM.integers(0, 256, (32, 70)).astype(np.uint8)
    drawn = predictor.sample(image, 4, tiles=True)
    tiles = [predictor.sample(np.ascontiguousarray(image[:, x : x + 48]), 4) for x in (0, 22)]
    expected = np.average([one.weights for one in tiles], axis=0, weights=[35, 35])
    np.testing.assert_allclose(drawn.weights, expected, rtol=1e-5)
    assert drawn.weights.mean() == pytest.approx(1)


def test_an_ensemble_needs_the_same_images_and_classes(tmp_path: Path) -> None:
    one = write_weights(tmp_path / "a.pt")
    for other in (
        write_weights(tmp_path / "b.pt", in_channels=3),
        write_weights(tmp_path / "c.pt", classes=("background", "disc", "cup")),
        write_weights(tmp_path / "d.pt", window=(0.0, 100.0)),
        write_weights(tmp_path / "e.pt", prepared=None),
    ):
        with pytest.raises(
            ProbunetError, match=rf"{other.name}: was trained with another \w+ than"
        ):
            load(one, other, device="cpu")


# ------------------------------------------------------------------ sizes, memory, bad images


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("size", [(32, 48), (70, 50), (5, 7), (64, 96)])
def test_results_have_the_size_of_the_image(usual: Predictor, size, tiles: bool) -> None:
    image = RANDOM.integers(0, 256, size).astype(np.uint8)
    drawn = usual.sample(image, 3, tiles=tiles)
    assert drawn.samples.shape == (3, *size)
    assert drawn.entropy.shape == drawn.deterministic.shape == size
    np.testing.assert_allclose(drawn.mean.sum(axis=0), 1, atol=1e-5)


def test_weights_of_an_older_version_take_images_as_they_are(tmp_path: Path) -> None:
    predictor = loaded(tmp_path / "w.pt", prepared=None, class_names=None, dataset=None)
    assert predictor.classes == ("background", "foreground")
    assert predictor.sample(IMAGE[:31, :45], 2).samples.shape == (2, 31, 45)


def test_fewer_images_at_a_time_if_memory_lacks(usual: Predictor, monkeypatch, caplog) -> None:
    expected, draw = usual.sample(VOLUME, 2).samples, usual.model.draw

    def lacking(image, *arguments):
        if len(image) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return draw(image, *arguments)

    monkeypatch.setattr(usual.model, "draw", lacking)
    assert np.array_equal(usual.sample(VOLUME, 2).samples, expected)
    assert "5 images need too much memory; now 2" in caplog.text


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((32, 48, 3), np.uint8)[None], "is in colour, and .*w.pt was trained on grey"),
        (np.full((32, 48), np.nan), "slice 0 has 1,536 NaN or infinite values"),
        (np.zeros((32, 48, 3)), r"the shape \(32, 48, 3\), and .*w.pt was trained on grey"),
        (np.zeros(5), r"the image has the shape \(5,\); expected is"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path: Path, image, message: str) -> None:
    with pytest.raises(ProbunetError, match=message):
        loaded(tmp_path / "w.pt").sample(image)


def test_grey_for_weights_of_colour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbunetError, match=r"is grey, and .* was trained on images in colour"):
        loaded(tmp_path / "w.pt", in_channels=3).sample(IMAGE)


def test_loading_needs_torch_and_numpy_only(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.pt", prepared=FIT)
    program = """
import sys
class Missing:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {"zarr", "pydantic", "pandas", "nibabel", "PIL", "tqdm", "yaml"}:
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
import numpy as np, probunet
drawn = probunet.load("w.pt", device="cpu").sample(np.zeros((32, 48)), n=2, seed=1)
print(drawn.samples.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "(2, 32, 48)", done.stderr
