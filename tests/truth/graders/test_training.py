"""Crops and images of one's own in training: batches, and validation against their graders."""

import numpy as np
import pytest
import torch

from probunet.config import Architecture, Augmentation, Settings
from probunet.datasets.folder.store import open_images
from probunet.datasets.lidc.store import open_crops
from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.metrics.bits import bits_of, pack, pack_graders, unpack_graders
from probunet.metrics.ged import ged
from probunet.models.intensity import windowed
from probunet.models.weights import load_weights
from probunet.run import Run
from probunet.seeding import seed_of
from probunet.train.loop import train
from probunet.train.validation import choose_subset
from probunet.truth.graders.training import load_mask_subset, load_masks
from probunet.truth.inputs import central, read_values
from probunet.truth.rows import read_rows
from support.folds import write_folds
from support.own_images import write_store
from support.settings import tiny_settings

CPU = torch.device("cpu")
GIVEN = [0b001, 0b010, 0b110, 0b111, 0b101, 0b100, 0b011, 0b111]


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("own") / "mine.zarr", GIVEN)


def still(batch: int) -> Settings:
    return Settings(
        augmentation=Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0),
        training=Settings().training.model_copy(update={"batch": batch}),
    )


@pytest.mark.parametrize("row", range(len(GIVEN)))
def test_graders_who_looked_are_drawn_alike_and_no_others(own, row):
    images = open_images(own)
    data = load_masks(images, np.array([row]), still(600), CPU)
    image, mask = data.draw(seed=1, step=1)
    assert image.shape == (600, 1, 32, 48)
    expected = windowed(torch.from_numpy(read_values(images.image, np.array([row]))), (100, 900))
    torch.testing.assert_close(image[:1], expected, atol=1e-5, rtol=0)
    own_masks = unpack_graders(np.asarray(images.masks[row])[None], bits_of(GIVEN[row]))[0]
    counts = [int((mask.numpy() == one).all(axis=(1, 2)).sum()) for one in own_masks]
    assert sum(counts) == 600  # the discs differ
    assert min(counts) > 600 / len(counts) * 0.8


@pytest.mark.parametrize("graders", [9, 16, 17, 32])
def test_many_graders_are_drawn_and_scored_as_few_are(tmp_path, graders):
    who = 2**graders - 1 - 0b10
    images = open_images(
        write_store(tmp_path / "many.zarr", [who, 1], (16, 200), graders=graders, subjects=2)
    )
    rows, looked = np.array([0]), [g for g in range(graders) if g != 1]
    own_masks = unpack_graders(np.asarray(images.masks[0])[None], looked)[0]
    _, mask = load_masks(images, rows, still(500), CPU).draw(seed=1, step=1)
    found = {one.tobytes() for one in mask.numpy().astype(bool)}
    assert found <= {one.tobytes() for one in own_masks}
    assert own_masks[-1].tobytes() in found  # of the last bit
    subset = load_mask_subset(images, rows, Settings(), CPU)
    samples = np.broadcast_to(own_masks, (1, *own_masks.shape))
    scores = subset.scores(pack(samples))
    assert scores.ged == pytest.approx(0)


def test_draws_of_up_to_eight_graders_have_not_changed(own):
    _, mask = load_masks(open_images(own), np.arange(len(GIVEN)), still(64), CPU).draw(3, step=7)
    generator = torch.Generator().manual_seed(seed_of(3, "batch", 7))
    chosen = torch.randint(len(GIVEN), (64,), generator=generator).tolist()
    number = torch.randint(840, (64,), generator=generator).tolist()
    images = open_images(own)
    for position, (row, k) in enumerate(zip(chosen, number, strict=True)):
        graders = bits_of(GIVEN[row])
        expected = np.asarray(images.masks[row]) >> graders[k % len(graders)] & 1
        np.testing.assert_array_equal(mask[position].numpy(), expected)


@pytest.mark.parametrize("several", [2, 3, 5])
def test_several_graders_of_an_image_are_those_that_follow_the_drawn_one(own, several):
    settings = still(64)
    training = settings.training.model_copy(update={"graders_per_image": several})
    images, rows = open_images(own), np.arange(len(GIVEN))
    image, mask = load_masks(images, rows, settings, CPU).draw(3, step=7)
    more = load_masks(images, rows, settings.model_copy(update={"training": training}), CPU)
    same, masks = more.draw(3, step=7)
    assert torch.equal(image, same)
    assert masks.shape == (64 * several, *mask.shape[1:])
    assert torch.equal(masks[::several], mask)  # of the grader who is drawn alone
    generator = torch.Generator().manual_seed(seed_of(3, "batch", 7))
    chosen = torch.randint(len(GIVEN), (64,), generator=generator).tolist()
    number = torch.randint(840, (64,), generator=generator).tolist()
    for position, (row, k) in enumerate(zip(chosen, number, strict=True)):
        graders, stored = bits_of(GIVEN[row]), np.asarray(images.masks[row])
        used = [graders[(k + g) % len(graders)] for g in range(several)]
        assert len(set(used)) == min(several, len(graders))
        for g, grader in enumerate(used):
            found = masks[position * several + g].numpy()
            np.testing.assert_array_equal(found, stored >> grader & 1)


def test_all_graders_of_an_image_are_there_once_and_missing_ones_are_ignored(own):
    images, rows, settings = open_images(own), np.arange(len(GIVEN)), still(64)
    every = images.batches(rows, settings, CPU, all_graders=True)
    assert every.masks_per_image == 3
    image, masks = every.draw(3, step=7)
    alone, mask = images.batches(rows, settings, CPU).draw(3, step=7)
    assert torch.equal(image, alone)
    assert torch.equal(masks[::3], mask)  # the grader who is drawn alone comes first
    generator = torch.Generator().manual_seed(seed_of(3, "batch", 7))
    chosen = torch.randint(len(GIVEN), (64,), generator=generator).tolist()
    for position, row in enumerate(chosen):
        found = [one.numpy() for one in masks[3 * position : 3 * position + 3]]
        graders, stored = bits_of(GIVEN[row]), np.asarray(images.masks[row])
        for one in found[len(graders) :]:
            assert (one == IGNORE).all()
        expected = sorted((stored >> grader & 1).tobytes() for grader in graders)
        assert (
            sorted(one.astype(stored.dtype).tobytes() for one in found[: len(graders)]) == expected
        )


def test_every_grader_is_drawn_the_empty_one_too(store, settings):
    still = Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0)
    settings = settings.model_copy(
        update={
            "augmentation": still,
            "training": settings.training.model_copy(update={"batch": 256, "crop": 128}),
        }
    )
    data = load_masks(open_crops(store), np.array([0]), settings, CPU)
    _, mask = data.draw(seed=0, step=1)
    areas, counts = mask.sum(dim=(1, 2)).unique(return_counts=True)
    masks = open_crops(store).masks[0]
    expected = [int((masks >> g & 1).sum()) for g in (3, 0, 1, 2)]  # by size
    assert areas.tolist() == expected
    assert counts.min() > 256 / 4 / 2


def test_rows_are_those_of_the_store(store):
    crops = open_crops(store)
    rows = np.array([1, 2, 5, 23])
    images = np.asarray(crops.image[:])
    assert np.array_equal(read_rows(crops.image, rows), images[rows])
    parts = slice(3, 9), slice(20)
    assert np.array_equal(read_rows(crops.image, rows, *parts), images[rows][:, *parts])
    none = rows[:0]
    assert read_rows(crops.image, none).shape == (0, *images.shape[1:])


def test_crops_are_mirrored_and_raised_to_a_power_where_asked(store, settings):
    crops = open_crops(store)

    def draw(**changes: object) -> tuple[torch.Tensor, torch.Tensor]:
        augmentation = Augmentation(elastic=0.0).model_copy(update=changes)
        chosen = settings.model_copy(update={"augmentation": augmentation})
        return crops.batches(np.arange(12), chosen, CPU).draw(seed=0, step=1)

    still = {"rotation": 0.0, "shear": 0.0, "scale": 0.0}
    image, mask = draw(**still)
    mirrored, mask_mirrored = draw(**still, mirror=1.0)
    torch.testing.assert_close(mirrored, image.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(mask_mirrored, mask.flip(-1))
    darker, _ = draw(**still, gamma_probability=1.0, gamma=(1.5, 1.5))
    torch.testing.assert_close(darker, image**1.5)


def test_crops_draw_the_graders_that_they_always_drew(store, settings):
    """Whoever trained on LIDC-IDRI before data of one's own came gets the same batches."""
    data = open_crops(store).batches(np.arange(12), settings, CPU)
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        again = torch.Generator().manual_seed(step)
        many = torch.randint(840, (1000,), generator=generator) % 4
        assert torch.equal(many, torch.randint(4, (1000,), generator=again))
    assert data.counts.tolist() == [4] * 12
    assert data.graders[:, :4].tolist() == [[0, 1, 2, 3]] * 12


@pytest.mark.parametrize(("values", "channels"), [("uint8", 3), ("uint16", 3), ("float32", 1)])
def test_channels_and_types(tmp_path, values, channels):
    path = write_store(tmp_path / "mine.zarr", [1] * 8, (16, 32), channels, values)
    data = open_images(path).batches(np.arange(8), still(4), CPU)
    assert data.in_channels == channels
    image, mask = data.draw(0, 0)
    assert (image.shape, image.dtype) == ((4, channels, 16, 32), torch.float32)
    assert 0 <= image.min() < image.max() <= 1
    assert mask.shape == (4, 16, 32)


def test_validation_scores_each_image_against_its_own_graders(own):
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


def test_own_images_are_scored_whole(own):
    images = np.asarray(open_images(own).masks[:])
    np.testing.assert_array_equal(central(images, (32, 48)), images)
    np.testing.assert_array_equal(central(images, (30, 20)), images[:, 1:31, 14:34])
    np.testing.assert_array_equal(read_rows(open_images(own).masks, np.array([3])), images[3:4])


def test_a_model_of_three_channels_is_trained(tmp_path):
    store = write_store(tmp_path / "mine.zarr", GIVEN, (16, 32), 3, "uint8")
    folds = write_folds(tmp_path / "folds.json", "mine", "P0 P1", "P2", "P3")
    run, settings = Run("mine", "probabilistic_unet", 1.0, 0, 0), tiny_settings(steps=2)
    output = tmp_path / run.folder
    train(run, store, folds, settings, output, tmp_path / "checkpoint", "cpu", 1)
    _, info = load_weights(output / "weights.pt")
    assert (info.in_channels, info.classes, info.crop) == (3, 2, None)
    assert tuple(info.window or ()) == (0, 255)
    assert info.validation_ged is not None


def test_a_size_that_cannot_be_halved_is_refused(tmp_path, settings):
    store = write_store(tmp_path / "mine.zarr", GIVEN, (16, 20))
    folds = write_folds(tmp_path / "folds.json", "mine", "P0 P1", "P2", "P3")
    run, four = Run("mine", "unet", 1.0, 0, 0), Architecture(channels=(4, 4, 4, 4))
    deep = settings.model_copy(update={"architecture": four})
    with pytest.raises(ProbunetError, match=r"its images are 16x20 .* datasets\.mine\.size"):
        train(run, store, folds, deep, tmp_path / run.folder, tmp_path / "c")


def test_a_model_that_needs_all_graders_says_that_images_have_one(tmp_path, caplog):
    path = write_store(tmp_path / "mine.zarr", [0b10] * 8)
    folds = write_folds(tmp_path / "folds.json", "mine", train="P0 P1", validation="P2", test="P3")
    run, settings = Run("mine", "mose", 1.0, 0, 0), tiny_settings(steps=2)
    train(run, path, folds, settings, tmp_path / run.folder, tmp_path / "checkpoint", "cpu", 1)
    assert "mose learns from all graders of an image at once, and sees one mask" in caplog.text
    assert load_weights(tmp_path / run.folder / "weights.pt")[1].step == 2
