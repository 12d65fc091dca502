"""A task whose answer is known: a grader marks the square with 0.7, and nothing with 0.3.

The model's own loss has a best answer a little off the truth: posteriors are normal, two of them
do not add up to the prior, and what minimises the bound for 9 pixels at stake gives the rarer mode
0.25 (by numerical integration over one latent dimension), and less the more pixels are at stake.
Hence small squares, and 0.08.
"""

from math import comb

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.config import Settings, check
from probunet.metrics.bits import pack
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance
from probunet.models import Model
from probunet.seeding import seed_of
from support.known_answers import trained_on

SIDE, IMAGES, SAMPLES = 8, 100, 64
TRUTH = np.array([0.7, 0.3])  # of the square, and of nothing
BATCH = 32
SETTINGS = check(
    Settings,
    {
        "architecture": {"channels": [16, 16], "convolutions": 1, "initialisation": "he"},
        "training": {
            "steps": 2500,
            "model_steps": {"ccdm": 1200, "phiseg": 5000},
            "learning_rates": [3e-3, 1e-3, 3e-4, 1e-4],
        },
        "ccdm": {"channels": None, "blocks": 1, "diffusion_steps": 50},
        "mose": {"channels": None, "patience": 500},
        "phiseg": {"channels": [16, 16, 16, 16], "latent_scales": 2, "latent_channels": 4},
    },
    "test",
)


def pictures(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 8, 8) of a bright square somewhere, and where it is, (count, 8, 8)."""
    y = torch.arange(SIDE)[:, None]
    x = torch.arange(SIDE)
    centre = torch.randint(1, SIDE - 1, (2, count, 1, 1), generator=generator)
    square = ((y - centre[0]).abs() <= 1) & ((x - centre[1]).abs() <= 1)
    noise = torch.randn(count, SIDE, SIDE, generator=generator)
    return (0.3 + 0.4 * square + 0.05 * noise)[:, None], square


def batch(generator: Generator, graders: int) -> tuple[Tensor, Tensor]:
    """Images, and what graders mark in each of them, one after another."""
    image, square = pictures(BATCH, generator)
    marked = torch.rand(BATCH, graders, 1, 1, generator=generator) < TRUTH[0]
    return image, (square[:, None] & marked).flatten(0, 1).long()


def optimum(n: int) -> float:
    """GED^2 of n samples drawn from the truth: the mean over how many of them are empty.

    The two modes are at distance 1.
    """
    between = np.array([[0.0, 1.0], [1.0, 0.0]])
    expected = 0.0
    for empty in range(n + 1):
        share = np.array([1 - empty / n, empty / n])
        ged = 2 * share @ between @ TRUTH - share @ between @ share - TRUTH @ between @ TRUTH
        expected += comb(n, empty) * TRUTH[1] ** empty * TRUTH[0] ** (n - empty) * ged
    return expected


def drawn_from(
    model: Model,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32] | None]:
    """Samples (images, n, 8, 8) for images it never saw, their squares, and the samples' weights.

    The squares are (images, 8, 8), the weights (images, n).
    """
    image, square = pictures(IMAGES, Generator().manual_seed(seed_of(0, "test images")))
    generators = [Generator().manual_seed(seed_of(0, "sample", i)) for i in range(IMAGES)]
    drawn = model.draw(image, SAMPLES, generators)
    weights = None if drawn.sample_weights is None else drawn.sample_weights.numpy()
    return drawn.samples.movedim(0, 1).numpy().astype(bool), square.numpy(), weights


def test_the_optimum_is_what_drawing_from_the_truth_comes_to():
    random = np.random.default_rng(0)
    square = pictures(2_000, Generator().manual_seed(0))[1].numpy()
    truth = np.stack([square, np.zeros_like(square)], axis=1)
    samples = square[:, None] & (random.random((2_000, 16, 1, 1)) < TRUTH[0])
    scores = energy_distance(distances(pack(samples), pack(truth)), 16, weights=TRUTH)
    assert optimum(16) == pytest.approx(2 * 0.7 * 0.3 / 16)
    assert scores.ged.mean() == pytest.approx(optimum(16), abs=4 * scores.ged.std() / 2_000**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["probabilistic_unet", "mose", "phiseg", "ccdm"])
def test_modes_come_as_often_as_they_should(name):
    samples, square, weights = drawn_from(trained_on(batch, name, SETTINGS))
    truth = np.stack([square, np.zeros_like(square)], axis=1)
    pairs = distances(pack(samples), pack(truth))
    nearest = pairs.between.argmin(axis=2)  # (images, n)
    # a sample is one of the two modes; PHiSeg knows of the image what its few latent maps hold
    assert pairs.between.min(axis=2).mean() < (0.1 if name == "phiseg" else 0.05)
    assert abs(np.average(nearest == 1, weights=weights) - TRUTH[1]) < 0.08
    for n in (16, SAMPLES):
        ged = energy_distance(pairs, n, weights=TRUTH, sample_weights=weights).ged.mean()
        assert abs(ged - optimum(n)) < 0.05
