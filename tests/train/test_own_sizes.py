"""Training on patches of images of their own sizes, and validation on whole images in tiles."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from probunet.errors import ProbunetError
from probunet.models.weights import load_plain, load_weights
from probunet.run import Run
from probunet.sample.draw import sample_run
from probunet.seeding import seed_of
from probunet.store import open_samples
from probunet.train.loop import train
from probunet.train.validation import choose_subset, validate
from support.folds import write_folds
from support.own_sizes import open_own, write_lively
from support.settings import tiny_settings

CPU = torch.device("cpu")
ENSEMBLE = Run("mine", "unet_ensemble", 1.0, 0, 0)
RUN = Run("mine", "probabilistic_unet", 1.0, 0, 0)


@pytest.fixture(params=[False, True], ids=["masks", "labels"])
def images(request, tmp_path):
    return open_own(tmp_path / "mine.zarr", labelled=request.param)


@pytest.fixture
def folds(tmp_path):
    return write_folds(tmp_path / "own.json", "mine", train="P0 P1", validation="P2", test="P3")


def test_a_training_is_the_same_wherever_the_images_are(images, folds, tmp_path):
    states = []
    for place in ("device", "host", "disk"):
        output = tmp_path / place
        settings = tiny_settings(data=place, steps=4)
        train(RUN, images.path, folds, settings, output / RUN.folder, output / "c", "cpu", 1)
        weights = output / RUN.folder / "weights.pt"
        states.append(load_plain(weights)["state"])
        info = load_weights(weights)[1]
        assert info.crop == 32
        assert info.prepared["size"] == [32, 32]
        assert info.prepared["resize"] == "tile"
        assert 0 <= info.validation_ged < 2
    for other in states[1:]:
        assert all(torch.equal(states[0][name], other[name]) for name in states[0])


def test_validation_scores_whole_images_as_score_does(images, folds, tmp_path):
    settings = tiny_settings(validation_samples=4, precision="float32")
    run = Run("mine", "unet", 1.0, 0, 0)
    weights = write_lively(tmp_path / "w.pt", images, run)
    sample_run([weights], images.path, folds, run, settings, tmp_path / "s.zarr", "cpu", 1)
    drawn = open_samples(tmp_path / "s.zarr")
    table = pd.concat(list(images.score(drawn, 0, [4])))
    expected = table.loc[table["predictor"] == "model", ["ged", "diversity"]].mean()
    # a U-Net has no noise, so that its samples of an image are always the same
    subset = choose_subset(images, drawn.rows, settings, 0, CPU)
    found = validate(load_weights(weights)[0], subset, settings, 0, lambda: False)
    assert found == pytest.approx(tuple(expected), abs=1e-12)
    assert found[0] > 0


def test_what_is_sampled_of_images_in_tiles(images, folds, tmp_path):
    weights = write_lively(tmp_path / "w.pt", images, RUN)
    output = tmp_path / "samples.zarr"
    sample_run([weights], images.path, folds, RUN, tiny_settings(), output, "cpu", 1)
    drawn = open_samples(output)
    assert drawn.rows.tolist() == [6, 7]
    assert drawn.latent is None
    assert drawn.prior_mean is None
    assert drawn.ncc.shape == (2, 4, 3)
    assert np.isfinite(drawn.ncc[1]).all()
    assert drawn.reconstruction.shape[:2] == (2, 3)
    assert np.isfinite(drawn.softmax_entropy).all()
    assert (drawn.softmax_entropy >= drawn.expected_entropy - 1e-6).all()


def test_samples_with_weights_have_the_mean_of_those_of_the_tiles(images, folds, tmp_path):
    run = replace(RUN, model="mose")
    weights, output = write_lively(tmp_path / "w.pt", images, run), tmp_path / "samples.zarr"
    sample_run([weights], images.path, folds, run, tiny_settings(), output, "cpu", 1)
    drawn = open_samples(output)
    model, settings = load_weights(weights)[0].eval(), tiny_settings()
    subset = choose_subset(images, drawn.rows, settings, 0, CPU)
    for i, row in enumerate(drawn.rows.tolist()):
        image, tiles = subset.images(slice(i, i + 1)), subset.in_tiles.of(row)
        own, pixels = [], []
        for tile in tiles:
            generator = torch.Generator().manual_seed(seed_of(0, "sample", row))
            seen = image[(..., *tile.place)]
            own.append(model.draw(seen, 4, [generator]).sample_weights[0].numpy())
            rows, columns = tile.part
            pixels.append((rows.stop - rows.start) * (columns.stop - columns.start))
        expected = np.average(own, axis=0, weights=pixels)
        np.testing.assert_allclose(drawn.sample_weights[i], expected, rtol=1e-4)
    assert validate(model, subset, settings, 0, lambda: False) is not None


def test_members_of_an_ensemble_see_tiles_of_one_size(images, folds, tmp_path):
    weights = [
        write_lively(tmp_path / f"{k}.pt", images, replace(ENSEMBLE, member=k), crop=crop)
        for k, crop in enumerate((32, 64))
    ]
    settings = tiny_settings()
    members = settings.unet_ensemble.model_copy(update={"members": 2})
    settings = settings.model_copy(update={"unet_ensemble": members})
    with pytest.raises(ProbunetError, match="patches of different sides, of 32 and 64 pixels"):
        sample_run(weights, images.path, folds, ENSEMBLE, settings, tmp_path / "s.zarr", "cpu", 1)
