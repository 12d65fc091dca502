"""Batches of scenes against plain per-image code: flips, deformation, mirroring, gamma."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from probunet.config import Augmentation, Settings
from probunet.datasets.cityscapes.store import open_scenes
from probunet.flips import FIRST, IGNORE, MODE_PROBABILITIES, PROBABILITIES, SECOND, flip
from probunet.metrics.ged import energy_distance
from probunet.metrics.modes import mode_distances
from probunet.seeding import seed_of
from probunet.train.validation import choose_subset
from probunet.truth.augment import draw_deformation, sampling_field
from probunet.truth.modes.training import load_scenes

CPU = torch.device("cpu")
STILL = Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0)
ROWS = np.arange(8)  # of the cities that are trained on
SIZE = (16, 32)


def with_(settings: Settings, batch: int, augmentation: Augmentation = STILL) -> Settings:
    training = settings.training.model_copy(update={"batch": batch})
    return settings.model_copy(update={"augmentation": augmentation, "training": training})


def draws(seed: int, step: int, batch: int) -> tuple[NDArray, NDArray, torch.Generator]:
    """The scenes and flips of a step, and the generator after them."""
    generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
    chosen = torch.randint(len(ROWS), (batch,), generator=generator).numpy()
    flips = torch.rand(batch, 5, generator=generator).numpy() < PROBABILITIES
    return chosen, flips, generator


@pytest.fixture
def store(scenes):
    return open_scenes(scenes)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_without_magnitudes_it_is_the_flipped_scene(store, settings, mirror):
    still = STILL.model_copy(update={"mirror": mirror})
    data = load_scenes(store, ROWS, with_(settings, 6, still), CPU)
    for step in range(1, 6):
        image, label = data.draw(0, step)
        chosen, flips, _ = draws(0, step, 6)
        picture = np.asarray(store.image[:8])[chosen] / 255
        expected = flip(np.asarray(store.label[:8])[chosen], flips)
        if mirror:
            picture, expected = picture[:, :, ::-1], expected[:, :, ::-1]
        np.testing.assert_allclose(image.numpy().transpose(0, 2, 3, 1), picture, atol=1e-4)
        assert np.array_equal(label.numpy(), expected)


def test_several_flips_of_a_scene_in_a_row(store, settings):
    settings = with_(settings, 6)
    training = settings.training.model_copy(update={"graders_per_image": 3})
    settings = settings.model_copy(update={"training": training})
    image, label = load_scenes(store, ROWS, settings, CPU).draw(0, 1)
    generator = torch.Generator().manual_seed(seed_of(0, "batch", 1))
    chosen = torch.randint(len(ROWS), (6,), generator=generator).numpy()
    flips = torch.rand(18, 5, generator=generator).numpy() < PROBABILITIES
    scenes = np.asarray(store.label[:8])[chosen]
    assert len(image) == 6
    assert np.array_equal(label.numpy(), flip(scenes.repeat(3, axis=0), flips))


def test_deformed_as_by_plain_code_image_by_image(store, settings):
    augmentation = Augmentation(rotation=40.0, scale=0.3, elastic=1.0, elastic_grid=8, mirror=0.5)
    data = load_scenes(store, ROWS, with_(settings, 8, augmentation), CPU)
    image, label = data.draw(3, 1)
    chosen, flips, generator = draws(3, 1, 8)
    field = sampling_field(draw_deformation(augmentation, 8, SIZE, generator), SIZE, SIZE)
    outside = 0
    for i, (x, y) in enumerate(field.numpy().astype(float).transpose(0, 3, 1, 2)):
        picture = np.asarray(store.image[chosen[i]]) / 255
        truth = flip(np.asarray(store.label[chosen[i]]), flips[i])
        for channel in range(3):
            expected = map_coordinates(picture[..., channel], (y, x), order=1, mode="nearest")
            np.testing.assert_allclose(image[i, channel].numpy(), expected, atol=1e-3)
        row, column = np.round(y).astype(int), np.round(x).astype(int)
        inside = (row >= 0) & (row < 16) & (column >= 0) & (column < 32)
        expected = np.where(inside, truth[row.clip(0, 15), column.clip(0, 31)], IGNORE)
        tie = np.minimum(abs(x % 1 - 0.5), abs(y % 1 - 0.5)) < 1e-3
        assert np.array_equal(label[i].numpy()[~tie], expected[~tie])
        assert tie.mean() < 0.02
        outside += int((~inside).sum())
    assert outside > 100


def test_flips_come_with_their_probabilities_each_class_on_its_own(store, settings):
    batch, steps = 100, 40
    data = load_scenes(store, ROWS, with_(settings, batch), CPU)
    stored = np.asarray(store.label[:8])
    seen, together = np.zeros(5), np.zeros((5, 5))
    images = 0
    for step in range(steps):
        _, label = data.draw(0, step)
        chosen, _, _ = draws(0, step, batch)
        whole = np.all([(stored[chosen] == first).any(axis=(1, 2)) for first in FIRST], axis=0)
        flipped = np.empty((batch, 5), bool)
        for k, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
            at = stored[chosen] == first
            by_second = (label.numpy() == second).sum(axis=(1, 2))
            assert set(by_second[by_second > 0] - at.sum(axis=(1, 2))[by_second > 0]) <= {0}
            assert np.array_equal(
                (label.numpy() == first).any(axis=(1, 2)), at.any(axis=(1, 2)) & (by_second == 0)
            )
            flipped[:, k] = by_second > 0
        others = ~np.isin(stored[chosen], FIRST)
        assert np.array_equal(label.numpy()[others], stored[chosen][others])
        seen += flipped[whole].sum(axis=0)
        together += flipped[whole].T.astype(float) @ flipped[whole]
        images += int(whole.sum())
    p = PROBABILITIES
    assert images > 2000
    assert np.all(abs(seen / images - p) < 4 * np.sqrt(p * (1 - p) / images))
    both = np.outer(p, p)
    off = abs(together / images - both) / np.sqrt(both * (1 - both) / images)
    assert np.all(off[~np.eye(5, dtype=bool)] < 4)


def test_flips_are_redrawn_for_each_step(store, settings):
    data = load_scenes(store, np.array([1]), with_(settings, 1), CPU)
    modes = {data.draw(0, step)[1].numpy().tobytes() for step in range(60)}
    assert len(modes) > 10


def test_gamma_is_a_power_of_single_channels(store, settings):
    changed = STILL.model_copy(update={"gamma_probability": 0.3})
    plain = load_scenes(store, ROWS, with_(settings, 200), CPU).draw(0, 1)
    image, label = load_scenes(store, ROWS, with_(settings, 200, changed), CPU).draw(0, 1)
    assert torch.equal(label, plain[1])
    middle = (plain[0] > 0.05) & (plain[0] < 0.95)
    power = torch.where(middle, image.log() / plain[0].log(), torch.nan).flatten(2)
    each = power.nanmedian(dim=2).values  # (B, channels)
    assert (power - each[..., None]).abs().nan_to_num(0).max() < 1e-2
    moved = (each - 1).abs() > 1e-3
    assert abs(moved.float().mean().item() - 0.3) < 4 * (0.3 * 0.7 / moved.numel()) ** 0.5
    assert 0.69 < each.min() < 0.75
    assert 1.4 < each.max() < 1.51
    assert moved.any(dim=1).sum() > moved.all(dim=1).sum()  # a channel's own


def test_scenes_without_any_of_the_classes_are_not_validated_on(store, settings):
    subset = choose_subset(store, store.rows_of(["ulm"]), settings, 0, CPU)
    assert subset is not None
    assert subset.rows.tolist() == [9, 10, 11]  # not 8, which shows buildings only
    assert choose_subset(store, np.array([0, 4]), settings, 0, CPU) is None


def test_validation_scores_are_those_against_the_modes(store, settings):
    subset = choose_subset(store, store.rows_of(["ulm"]), settings, 0, CPU)
    assert subset is not None
    samples = torch.randint(24, (4, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    kept = subset.kept(samples.to(torch.uint8))
    label = np.asarray(store.label[9:12])
    expected = energy_distance(mode_distances(kept, label), 4, weights=MODE_PROBABILITIES)
    found = subset.scores(kept)
    np.testing.assert_array_equal(found.ged, expected.ged)
    assert np.isfinite(found.ged).all()
    images = subset.images(slice(0, 2))
    np.testing.assert_allclose(
        images.numpy().transpose(0, 2, 3, 1), np.asarray(store.image[9:11]) / 255, atol=1e-6
    )
