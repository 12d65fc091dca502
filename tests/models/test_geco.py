"""GECO: which pixels are hard, what the constraint is, and which way the multiplier goes."""

import math

import pytest
import torch

from probunet.models.geco import Geco, hard_pixels


def test_hard_pixels_are_drawn_in_proportion_to_their_cross_entropy() -> None:
    cross_entropy = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([hard_pixels(cross_entropy, 0.25, generator) for _ in range(4000)])
    share = torch.bincount(drawn.flatten(), minlength=4) / len(drawn)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.03, rtol=0)


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 10), (1.0, 20)])
def test_so_many_different_pixels_are_hard(share: float, count: int) -> None:
    cross_entropy = torch.rand(2, 10, generator=torch.Generator().manual_seed(1))
    pixels = hard_pixels(cross_entropy, share, torch.Generator())
    assert len(set(pixels.tolist())) == len(pixels) == count


def test_pixels_without_cost_come_last() -> None:
    cross_entropy = torch.zeros(2, 10)
    cross_entropy[1, 3] = cross_entropy[0, 7] = 0.5
    assert set(hard_pixels(cross_entropy, 0.1, torch.Generator()).tolist()) == {7, 13}


def constrained(geco: Geco, cross_entropy: torch.Tensor) -> torch.Tensor:
    counted = torch.ones_like(cross_entropy, dtype=torch.bool)
    counted[:, 0] = False
    value: torch.Tensor = geco(cross_entropy, counted, torch.Generator())
    return value


def test_the_constraint_is_what_pixels_cost_beyond_kappa_per_image() -> None:
    geco = Geco(kappa=0.25, hard=1.0, decay=0.5)
    cross_entropy = torch.full((2, 4), 1.5)
    cross_entropy[:, 0] = 0  # ignored
    assert geco.multiplier.item() == pytest.approx(1)
    assert constrained(geco, cross_entropy).item() == pytest.approx(3 * (1.5 - 0.25))
    # half the moving average, half the new
    expected = 0.5 * 3 * (1.5 - 0.25) + 0.5 * 3 * (0.5 - 0.25)
    cross_entropy[:, 1:] = 0.5
    assert constrained(geco, cross_entropy).item() == pytest.approx(expected)
    assert geco.average.item() == pytest.approx(expected)


@pytest.mark.parametrize(("cost", "sign"), [(1.0, 1), (0.01, -1)])
def test_the_multiplier_grows_while_pixels_cost_too_much_and_shrinks_after(
    cost: float, sign: int
) -> None:
    geco = Geco(kappa=0.05, hard=1.0, decay=0.0)
    optimiser = torch.optim.SGD(geco.parameters(), lr=0.1)
    before = geco.multiplier.item()
    constrained(geco, torch.full((2, 4), cost)).backward()
    optimiser.step()
    assert math.copysign(1, geco.multiplier.item() - before) == sign


def test_the_gradient_is_this_batch_s_though_the_value_is_the_average_s() -> None:
    geco = Geco(kappa=0.05, hard=1.0, decay=0.99)
    constrained(geco, torch.full((2, 4), 3.0))
    cross_entropy = torch.full((2, 4), 0.5, requires_grad=True)
    constrained(geco, cross_entropy).backward()
    assert cross_entropy.grad is not None
    # of the mean over two images of the sum over pixels, times a multiplier of 1
    torch.testing.assert_close(cross_entropy.grad, torch.full((2, 4), 0.5))
