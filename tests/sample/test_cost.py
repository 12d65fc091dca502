"""Multiply-accumulates, against torch's own counter, and seconds."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from probunet.models import MODELS, build
from probunet.sample.cost import Cost, Macs
from support.settings import tiny_settings

ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@pytest.mark.parametrize("name", list(MODELS))
def test_what_drawing_multiplies_is_what_torch_counts(name: str) -> None:
    settings = tiny_settings()
    architecture = settings.architecture_of(name) | {"channels": [4, 4, 8, 8], "blocks": 1}
    # torch's counter fails on a parameter's view, unless no gradient is wanted
    model = build(name, architecture, classes=3).eval().requires_grad_(False)
    image = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))

    def draw() -> torch.Tensor:
        return model.draw(image, 3, [torch.Generator().manual_seed(i) for i in (0, 1)]).samples

    def of_attention(query, key, value, *others, out_shape=None, **words):
        return sdpa_flop_count(query, key, value)

    expected = FlopCounterMode(display=False, custom_mapping={ATTENTION: of_attention})
    with torch.no_grad():
        plain = draw()
        with Macs() as counted:
            again = draw()
        with expected:
            draw()
    assert torch.equal(plain, again)
    assert counted.total == expected.get_total_flops() / 2 > 0


def test_seconds_are_those_of_the_batches_after_the_first() -> None:
    cost = Cost()
    with cost.of(4):
        time.sleep(0.2)
        torch.ones(2, 3) @ torch.ones(3, 5)
    assert cost.seconds >= 0.05
    assert cost.gmac * 1e9 == pytest.approx(2 * 3 * 5 / 4)
    for _ in range(2):
        with cost.of(8):
            time.sleep(0.02)
            torch.ones(9, 9) @ torch.ones(9, 9)
    assert 0.0025 <= cost.seconds < 0.02
    assert cost.gmac * 1e9 == pytest.approx(2 * 3 * 5 / 4)
