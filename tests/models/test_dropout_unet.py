"""Which values are dropped, and how the rest makes up for them."""

import pytest
import torch

from probunet.models import Architecture, build
from probunet.models.dropout_unet import DropoutUNet
from probunet.models.plain_unet import PlainUNet


def model(channels: tuple[int, ...] = (4, 6, 8, 10, 12), blocks: int = 3) -> DropoutUNet:
    shared = {"channels": channels, "convolutions": 1, "initialisation": "he"}
    net = build("dropout_unet", {**shared, "probability": 0.5, "blocks": blocks})
    assert isinstance(net, DropoutUNet)
    return net


def kept_of(net: DropoutUNet, image: torch.Tensor) -> list[torch.Tensor]:
    """What the loss keeps at each block's input."""
    seen: list[torch.Tensor] = []
    forward = DropoutUNet.forward

    def spy(self: DropoutUNet, image: torch.Tensor, kept: list[torch.Tensor]) -> torch.Tensor:
        seen.extend(kept)
        return forward(self, image, kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DropoutUNet, "forward", spy)
        mask = torch.zeros(len(image), *image.shape[-2:], dtype=torch.long)
        net.loss(image, mask, beta=1.0, generator=torch.Generator().manual_seed(1))
    return seen


def test_the_three_inner_most_blocks_of_encoder_and_decoder_have_dropout() -> None:
    kept = kept_of(model(), torch.rand(2, 1, 32, 32))
    assert [tuple(one.shape) for one in kept] == [
        (2, 6, 8, 8),  # into the encoder's scales 2, 3 and 4
        (2, 8, 4, 4),
        (2, 10, 2, 2),
        (2, 10 + 12, 4, 4),  # into the decoder's scales 3, 2 and 1
        (2, 8 + 10, 8, 8),
        (2, 6 + 8, 16, 16),
    ]


def test_the_image_is_never_dropped() -> None:
    kept = kept_of(model((4, 6), blocks=3), torch.rand(1, 1, 8, 8))
    assert [tuple(one.shape) for one in kept] == [(1, 4, 4, 4), (1, 10, 8, 8)]


def test_half_of_the_values_stay_of_each_image_its_own() -> None:
    kept = kept_of(model((64, 64, 64)), torch.rand(2, 1, 64, 64))
    for one in kept:
        assert one.float().mean().item() == pytest.approx(0.5, abs=0.01)
        assert (one[0] == one[1]).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_what_stays_is_scaled_up() -> None:
    net = model((4, 6))
    x = torch.rand(1, 10, 8, 8)
    keep = torch.rand(x.shape) < 0.5
    assert torch.equal(net._dropping([keep])(x), x * keep * 2)


def test_without_dropout_it_is_the_plain_u_net() -> None:
    net, image = model(), torch.rand(2, 1, 32, 32)
    plain = PlainUNet(Architecture(1, 2, (4, 6, 8, 10, 12), convolutions=1, initialisation="he"))
    plain.load_state_dict(net.state_dict())
    drawn = net.draw(image, 1, [torch.Generator(), torch.Generator()])
    expected = plain.draw(image, 3, [torch.Generator(), torch.Generator()])
    assert torch.equal(drawn.deterministic, expected.deterministic)
    assert torch.equal(expected.samples, expected.deterministic.expand(3, -1, -1, -1))
    all_kept = [torch.ones_like(one) for one in kept_of(net, image)]
    torch.testing.assert_close(net.inner(net.outer(image), None), plain(image))
    assert not torch.allclose(net(image, all_kept), plain(image))  # scaled by 1 / (1 - p)


def test_dropout_stays_on_in_evaluation_mode() -> None:
    net = model((8, 12, 16))
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.nn.init.zeros_(net.logits.bias)
    training, evaluation = (
        net.train(mode).draw(image, 4, [torch.Generator().manual_seed(0)]).samples
        for mode in (True, False)
    )
    assert torch.equal(training, evaluation)
    assert len(torch.unique(evaluation, dim=0)) == 4
