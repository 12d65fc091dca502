"""The U-Net ensemble: whose sample is whose, and the mean over members."""

import pytest
import torch

from probunet.models import UNetEnsemble, build
from probunet.models.plain_unet import PlainUNet


@pytest.fixture(scope="module")
def members() -> list[PlainUNet]:
    architecture = {"channels": (4, 8), "convolutions": 1, "initialisation": "he"}
    models = [build("unet", architecture, in_channels=3, classes=5, seed=seed) for seed in range(3)]
    return [model.eval() for model in models if isinstance(model, PlainUNet)]


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", [1, 3, 7])
def test_sample_i_is_member_i_s(members: list[PlainUNet], image: torch.Tensor, n: int) -> None:
    seen: list[torch.Tensor] = []
    drawn = UNetEnsemble(members).draw(image, n, [torch.Generator()] * 2, seen.append)
    assert torch.equal(torch.stack([logits.argmax(dim=1) for logits in seen]), drawn.samples)
    assert drawn.samples.shape == (n, 2, 8, 12)
    assert drawn.samples.dtype == torch.uint8
    for i in range(n):
        own = members[i % 3].draw(image, 1, []).samples[0]
        assert torch.equal(drawn.samples[i], own)
    assert drawn.prior_mean is None


def test_the_best_guess_is_the_mean_probability_s(
    members: list[PlainUNet], image: torch.Tensor
) -> None:
    drawn = UNetEnsemble(members).draw(image, 1, [])
    with torch.no_grad():
        mean = torch.stack([member(image).softmax(dim=1) for member in members]).mean(dim=0)
    assert torch.equal(drawn.deterministic.long(), mean.argmax(dim=1))
    # and no member's own
    assert not any(torch.equal(drawn.deterministic, one) for one in drawn.samples)


def test_its_members_move_with_it(members: list[PlainUNet]) -> None:
    held = sum(weight.numel() for weight in UNetEnsemble(members).parameters())
    assert held == 3 * sum(weight.numel() for weight in members[0].parameters())
