"""The moving average of weights, against the formula in float64."""

import pytest
import torch
from torch import Tensor, nn

from probunet.models import Model
from probunet.train.average import Average


class Normed(Model):
    """A model with weights, statistics, a counter, and a buffer that is NaN at first, as GECO's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.norm = nn.BatchNorm2d(2)
        self.register_buffer("late", torch.tensor(float("nan")))


def change(model: Model, step: int) -> None:
    """Give all weights and buffers new values."""
    generator = torch.Generator().manual_seed(step)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
        else:
            value.add_(1)


def expected(history: list[Tensor], decay: float) -> Tensor:
    """Return the average by its formula."""
    average = torch.zeros_like(history[0], dtype=torch.float64)
    for t, value in enumerate(history, start=1):
        k = min(decay, (t - 1) / (t + 9))
        average = k * average + (1 - k) * value.double()
    return average


@pytest.mark.parametrize("steps", [1, 2, 40])
@pytest.mark.parametrize("decay", [0.01, 0.5, 0.999])
def test_weights_and_statistics_are_averaged_and_counters_copied(steps: int, decay: float) -> None:
    model = Normed()
    average = Average(model, decay)
    history: dict[str, list[Tensor]] = {name: [] for name in model.state_dict()}
    for step in range(1, steps + 1):
        change(model, step)
        average.update(step)
        for name, value in model.state_dict().items():
            history[name].append(value.clone())
    for name, value in average.model.state_dict().items():
        if value.is_floating_point():
            truth = expected(history[name], decay)
            torch.testing.assert_close(value.double(), truth, atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(value, history[name][-1])
    assert torch.equal(model.weight, history["weight"][-1])  # the trained one is left alone


def test_without_decay_it_is_the_model_itself() -> None:
    model = Normed()
    average = Average(model, 0.0)
    change(model, 1)
    average.update(1)
    assert average.model is model


def test_the_average_needs_no_gradient() -> None:
    model = Normed()
    assert not any(weight.requires_grad for weight in Average(model, 0.9).model.parameters())
    assert all(weight.requires_grad for weight in model.parameters())
