"""The low-rank normal distribution by Monte-Carlo, and the loss written out."""

import math

import pytest
import torch

from probunet.models import build
from probunet.models.stochastic_segmentation_network import (
    LowRankNormal,
    StochasticSegmentationNetwork,
)


def model(rank: int = 3, loss_samples: int = 4) -> StochasticSegmentationNetwork:
    shared = {"channels": (6, 8), "convolutions": 1, "initialisation": "he"}
    own = {"rank": rank, "loss_samples": loss_samples}
    net = build("stochastic_segmentation_network", {**shared, **own}, classes=3)
    assert isinstance(net, StochasticSegmentationNetwork)
    return net


def test_samples_have_the_covariance_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(2, 2, 3, 2, generator=generator)
    factor = torch.randn(2, 2, 3, 2, 4, generator=generator)
    sigma = torch.rand(2, 2, 3, 2, generator=generator) + 0.5
    count = 40_000
    logits = LowRankNormal(mean, factor, sigma).at(
        torch.randn(count, 2, 4, generator=generator),
        torch.randn(count, 2, 2, 3, 2, generator=generator),
    )
    for image in range(2):
        p = factor[image].flatten(0, 2)
        expected = p @ p.T + torch.diag(sigma[image].flatten() ** 2)
        drawn = logits[:, image].flatten(1)
        # an entry's standard error is at most sqrt(2 c_ii c_jj / count)
        scale = expected.diagonal().sqrt()
        error = (drawn.T.cov() - expected) / torch.outer(scale, scale)
        assert error.abs().max() < 6 * math.sqrt(2 / count)
        off = (drawn.mean(dim=0) - mean[image].flatten()) / scale
        assert off.abs().max() < 6 / math.sqrt(count)


def test_loss_is_minus_the_log_of_the_mean_likelihood() -> None:
    net, generator = model(), torch.Generator().manual_seed(2)
    image = torch.rand(2, 1, 4, 4, generator=generator)
    mask = torch.randint(3, (2, 4, 4), generator=generator)
    shared = torch.randn(4, 2, 3, generator=generator)
    single = torch.randn(4, 2, 4, 4, 3, generator=generator)
    logits = net.distribution(image).at(shared, single).double()
    expected = []
    for i in range(2):
        likelihoods = []
        for s in range(4):
            probability = 1.0
            for row in range(4):
                for column in range(4):
                    p = logits[s, i, row, column].softmax(dim=0)
                    probability *= p[mask[i, row, column]].item()
            likelihoods.append(probability)
        expected.append(-math.log(sum(likelihoods) / 4))
    found = net(image, mask, shared, single)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_the_deterministic_segmentation_is_that_of_the_mean() -> None:
    net, image = model(), torch.rand(2, 1, 8, 8)
    drawn = net.draw(image, 2, [torch.Generator(), torch.Generator()])
    assert torch.equal(drawn.deterministic.long(), net.distribution(image).mean.argmax(dim=-1))


def test_extreme_heads_keep_the_loss_finite() -> None:
    net = model()
    image, mask = torch.rand(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    for bias in (-1e6, 1e6):
        torch.nn.init.constant_(net.log_sigma.bias, bias)
        loss = net.loss(image, mask, beta=1.0, generator=torch.Generator())
        assert torch.isfinite(loss.total)


def test_the_first_samples_do_not_depend_on_how_many_are_drawn() -> None:
    net, image = model(), torch.rand(2, 1, 8, 8)
    torch.nn.init.constant_(net.log_sigma.bias, 1.0)  # noise decides
    few, many = (
        net.draw(image, n, [torch.Generator().manual_seed(i) for i in range(2)]).samples
        for n in (3, 10)
    )
    assert torch.equal(few, many[:3])
    assert not torch.equal(few[0], few[1])
