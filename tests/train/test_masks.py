"""Images of one's own in training: whole, in one or three channels, by those who looked at them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from probunet.config import Augmentation, Settings, check
from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.metrics.bits import bits_of, pack, pack_graders, unpack_graders
from probunet.metrics.ged import ged
from probunet.models.inputs import central, read_rows, read_values, windowed
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.store import open_crops, open_images
from probunet.train.batches import load_batches
from probunet.train.loop import train
from probunet.train.masks import load_mask_subset, load_masks
from probunet.train.validation import choose_subset

from ..own_images import write_store

CPU = torch.device("cpu")
GIVEN = [0b001, 0b010, 0b110, 0b111, 0b101, 0b100, 0b011, 0b111]


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("own") / "mine.zarr", GIVEN)


def still(batch: int) -> Settings:
    return Settings(
        augmentation=Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0),
        training=Settings().training.model_copy(update={"batch": batch}),
    )


@pytest.mark.parametrize("row", range(len(GIVEN)))
def test_graders_who_looked_are_drawn_alike_and_no_others(own: Path, row: int) -> None:
    images = open_images(own)
    data = load_masks(images, np.array([row]), still(600), CPU)
    assert data.crop is None
    image, mask = data.draw(seed=1, step=1)
    assert image.shape == (600, 1, 32, 48)
    expected = windowed(torch.from_numpy(read_values(images, np.array([row]))), (100, 900))
    torch.testing.assert_close(image[:1], expected, atol=1e-5, rtol=0)
    own_masks = unpack_graders(np.asarray(images.masks[row])[None], bits_of(GIVEN[row]))[0]
    counts = [int((mask.numpy() == one).all(axis=(1, 2)).sum()) for one in own_masks]
    assert sum(counts) == 600  # the discs differ
    assert min(counts) > 600 / len(counts) * 0.8


def test_crops_draw_the_graders_that_they_always_drew(store: Path, settings: Settings) -> None:
    """Whoever trained on LIDC-IDRI before data of one's own came gets the same batches."""
    data = load_batches(open_crops(store), np.arange(12), settings, CPU)
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        again = torch.Generator().manual_seed(step)
        many = torch.randint(840, (1000,), generator=generator) % 4
        assert torch.equal(many, torch.randint(4, (1000,), generator=again))
    assert data.counts.tolist() == [4] * 12
    assert data.graders[:, :4].tolist() == [[0, 1, 2, 3]] * 12


@pytest.mark.parametrize(("values", "channels"), [("uint8", 3), ("uint16", 3), ("float32", 1)])
def test_channels_and_types(tmp_path: Path, values: str, channels: int) -> None:
    path = write_store(tmp_path / "mine.zarr", [1] * 8, (16, 32), channels, values)
    data = load_batches(open_images(path), np.arange(8), still(4), CPU)
    assert data.in_channels == channels
    image, mask = data.draw(0, 0)
    assert (image.shape, image.dtype) == ((4, channels, 16, 32), torch.float32)
    assert 0 <= image.min() < image.max() <= 1
    assert mask.shape == (4, 16, 32)


def test_validation_scores_each_image_against_its_own_graders(own: Path) -> None:
    images, rows = open_images(own), np.array([7, 0, 2, 4])
    subset = load_mask_subset(images, rows, Settings(), CPU)
    assert subset.images(slice(2)).shape == (2, 1, 32, 48)
    drawn = np.random.default_rng(0).random((4, 5, 32, 48)) < 0.3
    scores = subset.scores(pack(drawn))
    for k, row in enumerate(rows.tolist()):
        graders = pack_graders(np.asarray(images.masks[row])[None], bits_of(GIVEN[row]))
        assert scores.ged[k] == pytest.approx(ged(pack(drawn[k : k + 1]), graders)[0])
    chosen = choose_subset(images, np.arange(8), Settings(), 0, CPU)
    assert chosen is not None
    assert len(chosen.rows) == 8


def test_the_centre_of_images_of_one_s_own_is_all_of_them(own: Path) -> None:
    images = np.asarray(open_images(own).masks[:])
    np.testing.assert_array_equal(central(images, (32, 48)), images)
    np.testing.assert_array_equal(central(images, (30, 20)), images[:, 1:31, 14:34])
    np.testing.assert_array_equal(read_rows(open_images(own).masks, np.array([3])), images[3:4])


def folds_of(path: Path) -> Path:
    fold = Fold(train=("P0", "P1"), validation=("P2",), test=("P3",))
    Folds(dataset="mine", folds=(fold,)).write(path)
    return path


def settings_of(*channels: int) -> Settings:
    return check(
        Settings,
        {
            "architecture": {"channels": channels, "convolutions": 1, "latent_dim": 2},
            "training": {"steps": 2, "batch": 2, "validation_every": 1, "precision": "float32"},
        },
        "here",
    )


def test_a_model_of_three_channels_is_trained(tmp_path: Path) -> None:
    store = write_store(tmp_path / "mine.zarr", GIVEN, (16, 32), 3, "uint8")
    folds, run = folds_of(tmp_path / "folds.json"), Run("mine", "probabilistic_unet", 1.0, 0, 0)
    output = tmp_path / run.folder
    train(run, store, folds, settings_of(4, 8), output, tmp_path / "checkpoint", "cpu", 1)
    _, info = load_weights(output / "weights.pt")
    assert (info.in_channels, info.classes, info.crop) == (3, 2, None)
    assert tuple(info.window or ()) == (0, 255)
    assert info.validation_ged is not None


def test_a_size_that_cannot_be_halved_is_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path / "mine.zarr", GIVEN, (16, 20))
    folds, run = folds_of(tmp_path / "folds.json"), Run("mine", "unet", 1.0, 0, 0)
    with pytest.raises(ProbunetError, match=r"its images are 16x20 .* datasets\.mine\.size"):
        train(run, store, folds, settings_of(4, 4, 4, 4), tmp_path / run.folder, tmp_path / "c")
