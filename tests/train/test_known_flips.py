"""A task whose answer is known: the five classes with two names, as Cityscapes has them.

Each image has the five classes as squares of a grey level each, and 32 modes. The smaller the
squares, the nearer is a model's own best answer to the truth, see `test_known_answer.py`.
"""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from probunet.config import Settings, check
from probunet.flips import (
    CLASSES,
    FIRST,
    MODE_PROBABILITIES,
    PROBABILITIES,
    SECOND,
    draw_flips,
    flip,
)
from probunet.metrics.ged import energy_distance
from probunet.metrics.modes import between_modes, mode_distances
from probunet.seeding import seed_of
from support.known_answers import trained_on

SIDE, IMAGES, SAMPLES, BATCH = 8, 50, 64, 32
SKY = CLASSES.index("sky")
PLACES = ((0, 0), (0, 6), (3, 3), (6, 0), (6, 6))  # of the squares, row and column
SETTINGS = check(
    Settings,
    {
        "architecture": {"channels": [16, 16], "convolutions": 1, "initialisation": "he"},
        "training": {
            "steps": 2500,
            "model_steps": {"ccdm": 1200, "mose": 1500},
            "learning_rates": [3e-3, 1e-3, 3e-4, 1e-4],
        },
        "ccdm": {"channels": None, "blocks": 1, "diffusion_steps": 50},
        "phiseg": {"channels": [16, 16], "latent_scales": 1, "latent_channels": 4},
        "mose": {  # as released for Cityscapes: an expert for each of the 32 modes, and 3 more
            "channels": None,
            "experts": 35,
            "loss_samples": 1,
            "latent_dim": 5,
            "cost": "cross_entropy",
            "limit": 1 / 32,
            "patience": 500,
        },
    },
    "test",
)


def label() -> np.ndarray:
    """Return the label (8, 8) of every image, with first names."""
    found = np.full((SIDE, SIDE), SKY, np.uint8)
    for one, (y, x) in zip(FIRST, PLACES, strict=True):
        found[y : y + 2, x : x + 2] = one
    return found


def pictures(count: int, generator: Generator) -> Tensor:
    """Return images (count, 1, 8, 8), of a grey level for each class."""
    grey = np.zeros(len(CLASSES), np.float32)
    grey[FIRST] = np.linspace(0.3, 0.9, len(FIRST))
    noise = torch.randn(count, SIDE, SIDE, generator=generator)
    return (torch.from_numpy(grey[label()]) + 0.05 * noise)[:, None]


def batch(generator: Generator, graders: int) -> tuple[Tensor, Tensor]:
    image = pictures(BATCH, generator)
    random = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    labels = np.repeat(label()[None], BATCH * graders, axis=0)
    return image, torch.from_numpy(flip(labels, draw_flips(random, len(labels)))).long()


def expected_ged(n: int) -> float:
    """Return the expected GED^2 of n samples of the truth: E[d] / n, of d between two modes."""
    between = between_modes(np.ones((1, len(FIRST)), bool))[0]
    return float(MODE_PROBABILITIES @ between @ MODE_PROBABILITIES / n)


def test_the_optimum_is_what_drawing_from_the_truth_comes_to() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(label()[None], 300, axis=0)
    drawn = [flip(labels, draw_flips(random, 300)) for _ in range(16)]
    pairs = mode_distances(np.stack(drawn, axis=1), labels)
    ged = energy_distance(pairs, 16, weights=MODE_PROBABILITIES).ged
    assert ged.mean() == pytest.approx(expected_ged(16), abs=4 * ged.std() / 300**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["phiseg", "ccdm"])
def test_flips_come_as_often_as_they_should(name: str) -> None:
    model = trained_on(batch, name, SETTINGS, classes=len(CLASSES))
    image = pictures(IMAGES, Generator().manual_seed(seed_of(0, "test images")))
    generators = [Generator().manual_seed(seed_of(0, "sample", i)) for i in range(IMAGES)]
    samples = model.draw(image, SAMPLES, generators).samples.movedim(0, 1).numpy()
    shares = []
    for k, (y, x) in enumerate(PLACES):
        square = samples[:, :, y : y + 2, x : x + 2]
        second, first = ((square == name[k]).mean() for name in (SECOND, FIRST))
        assert first + second > 0.97
        shares.append(second)
    assert np.abs(np.array(shares) - PROBABILITIES).max() < 0.08
    labels = np.repeat(label()[None], IMAGES, axis=0)
    pairs = mode_distances(samples, labels)
    assert pairs.between.min(axis=2).mean() < 0.05  # a sample is one of the modes
    for n in (16, SAMPLES):
        ged = energy_distance(pairs, n, weights=MODE_PROBABILITIES).ged.mean()
        assert abs(ged - expected_ged(n)) < 0.05


@pytest.mark.slow
def test_modes_come_as_often_as_they_should_by_their_weights() -> None:
    """An expert stands for a mode at most, so that the rarest ones, of 0.005, have none."""
    model = trained_on(batch, "mose", SETTINGS, classes=len(CLASSES), graders=16)
    image = pictures(IMAGES, Generator().manual_seed(seed_of(0, "test images")))
    generators = [Generator().manual_seed(seed_of(0, "sample", i)) for i in range(IMAGES)]
    drawn = model.draw(image, model.round, generators)
    assert drawn.sample_weights is not None
    samples, weights = drawn.samples.movedim(0, 1).numpy(), drawn.sample_weights.numpy()
    weights = weights / weights.sum(axis=1, keepdims=True)
    pairs = mode_distances(samples, np.repeat(label()[None], IMAGES, axis=0))
    assert np.average(pairs.between.min(axis=2), weights=weights) < 0.05
    frequencies = np.zeros(len(MODE_PROBABILITIES))
    np.add.at(frequencies, pairs.between.argmin(axis=2), weights / IMAGES)
    assert np.abs(frequencies - MODE_PROBABILITIES).max() < 0.08
    ged = energy_distance(
        pairs, model.round, weights=MODE_PROBABILITIES, sample_weights=weights
    ).ged.mean()
    assert ged < 0.05  # weights can reach 0
