"""The model against the same network written the usual way, and the paper's own facts."""

import math

import pytest
import torch

from probunet.errors import ProbunetError
from probunet.models import Architecture, Model, build
from probunet.models.probabilistic_unet import ProbabilisticUNet
from usual import UsualProbabilisticUNet

SMALL = {
    "channels": (8, 12, 16),
    "convolutions": 2,
    "latent_dim": 3,
    "head_convolutions": 3,
    "initialisation": "orthogonal",
}


def _model(classes: int = 2, **changes: object) -> ProbabilisticUNet:
    model = build("probabilistic_unet", {**SMALL, **changes}, classes=classes, seed=1)
    assert isinstance(model, ProbabilisticUNet)
    return model


def _batch(size: int = 3, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(size, 1, 16, 24, generator=generator)
    mask = torch.randint(classes, (size, 16, 24), generator=generator)
    return image, mask, torch.randn(size, 3, generator=generator)


@pytest.mark.parametrize("classes", [2, 5])
def test_equals_the_network_written_the_usual_way(classes: int) -> None:
    model = _model(classes)
    usual = UsualProbabilisticUNet(1, classes, (8, 12, 16), 2, 3, 3)
    usual.load_state_dict(model.state_dict())
    image, mask, noise = _batch(classes=classes)

    ours = model(image, mask, noise)
    theirs = usual.loss(image, mask, noise, beta=1.0)
    torch.testing.assert_close(ours[0], theirs[1], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours[1], theirs[2], rtol=1e-4, atol=1e-6)

    (ours[0] + ours[1]).backward()
    theirs[0].backward()
    for (name, one), other in zip(model.named_parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)

    condition = model.condition(image)
    drawn = torch.stack([model.segment(condition, condition.prior.at(n)) for n in [noise, -noise]])
    expected = usual.sample(image, torch.stack([noise, -noise]))
    assert (drawn == expected).float().mean() > 0.999  # ties may fall either way


@pytest.mark.parametrize("classes", [2, 5])
def test_a_reconstruction_is_the_segmentation_at_its_own_mask_s_posterior_mean(
    classes: int,
) -> None:
    model = _model(classes)
    image, mask, _ = _batch(classes=classes)
    masks = torch.stack([mask, mask.flip(1), torch.zeros_like(mask)], dim=1)
    rebuilt = model.reconstruct(image, masks)
    assert rebuilt.shape == masks.shape
    one_hot = torch.eye(classes)[masks].movedim(-1, 2) - 0.5  # (B, G, classes, H, W)
    with torch.no_grad():
        for g in range(3):
            z = model.posterior(torch.cat([image, one_hot[:, g]], dim=1)).mean
            logits = model.f_comb(model.f_comb.mix_features(model.unet(image)), z)
            assert (rebuilt[:, g] == logits.argmax(-1)).float().mean() > 0.999


def test_a_model_without_a_posterior_reconstructs_nothing() -> None:
    image, mask, _ = _batch()
    assert Model().reconstruct(image, mask[:, None]) is None


def test_cross_entropy_is_summed_over_pixels_and_averaged_over_the_batch() -> None:
    model = _model()
    for layer in (model.f_comb.logits,):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    image, mask, _ = _batch()
    loss = model.loss(image, mask, beta=10.0, generator=torch.Generator().manual_seed(0))
    assert loss.reconstruction.item() == pytest.approx(16 * 24 * math.log(2), rel=1e-5)
    torch.testing.assert_close(loss.total, loss.reconstruction + 10 * loss.kl)


def _convolution(side: int, before: int, after: int) -> int:
    return side * side * before * after + after  # weights and biases


def _scale(before: int, after: int) -> int:
    return _convolution(3, before, after) + 2 * _convolution(3, after, after)


def test_parameters_by_hand_lidc() -> None:
    def encoder(inputs: int) -> int:
        return (_scale(inputs, 32) + _scale(32, 64) + _scale(64, 128) + _scale(128, 256)) + _scale(
            256, 512
        )

    decoder = (
        _scale(512 + 256, 256) + _scale(256 + 128, 128) + _scale(128 + 64, 64) + _scale(64 + 32, 32)
    )
    head = _convolution(1, 512, 2 * 6)
    f_comb = _convolution(1, 32 + 6, 32) + 2 * _convolution(1, 32, 32) + _convolution(1, 32, 2)
    unet, prior, posterior = encoder(1) + decoder, encoder(1) + head, encoder(1 + 2) + head
    assert (encoder(1), decoder, head, f_comb) == (7_855_296, 3_918_240, 6_156, 3_426)
    assert unet + prior + posterior + f_comb == 27_500_442  # about 27.5 M
    assert _parameters((32, 64, 128, 256, 512), in_channels=1, classes=2) == 27_500_442


def test_parameters_by_hand_cityscapes() -> None:
    def encoder(inputs: int) -> int:
        return (
            _scale(inputs, 32) + _scale(32, 64) + _scale(64, 128) + _scale(128, 192)
        ) + 3 * _scale(192, 192)

    decoder = (
        3 * _scale(192 + 192, 192)
        + _scale(192 + 128, 128)
        + _scale(128 + 64, 64)
        + _scale(64 + 32, 32)
    )
    head = _convolution(1, 192, 2 * 6)
    f_comb = _convolution(1, 32 + 6, 32) + 2 * _convolution(1, 32, 32) + _convolution(1, 32, 24)
    unet, prior, posterior = encoder(3) + decoder, encoder(3) + head, encoder(3 + 24) + head
    assert (encoder(3), decoder, head, f_comb) == (4_353_792, 4_877_664, 2_316, 4_152)
    assert unet + prior + posterior + f_comb == 17_954_736
    channels = (32, 64, 128, 192, 192, 192, 192)
    assert _parameters(channels, in_channels=3, classes=24) == 17_954_736


def _parameters(channels: tuple[int, ...], in_channels: int, classes: int) -> int:
    """Return how many parameters the model has in the paper's setting."""
    architecture = Architecture(in_channels, classes, channels, 3, initialisation="orthogonal")
    with torch.device("meta"):
        model = ProbabilisticUNet(architecture, latent_dim=6, head_convolutions=3)
    return sum(p.numel() for p in model.parameters())


def test_cityscapes_setting_runs() -> None:
    channels = (32, 64, 128, 192, 192, 192, 192)
    model = _model(24, channels=channels, convolutions=3, latent_dim=6, initialisation="he")
    drawn = model.draw(torch.rand(1, 1, 64, 128), 2, [torch.Generator()])
    assert drawn.samples.shape == (2, 1, 64, 128)
    assert drawn.prior_mean.shape == (1, 6)


def test_initial_weights_are_orthogonal_and_biases_near_zero() -> None:
    model = _model()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            rows = layer.weight.detach().flatten(1)
            if rows.shape[0] > rows.shape[1]:
                rows = rows.T
            torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
            assert layer.bias is not None
            assert 0 < layer.bias.abs().max() <= 0.002
    he = _model(channels=(64, 64), initialisation="he").unet.encoder.scales[1][2].weight
    assert he.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)


def test_with_orthogonal_weights_the_signal_fades() -> None:
    image = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))

    def coarsest(initialisation: str) -> float:
        shape = {"channels": (32, 64, 128, 256, 512), "convolutions": 3}
        model = _model(**shape, initialisation=initialisation)
        return model.prior.encoder(image)[-1].square().mean().sqrt().item()

    with torch.no_grad():  # docs/explanation/differences.md: about 100 times
        assert 70 < coarsest("he") / coarsest("orthogonal") < 200


def test_what_is_drawn_for_an_image_does_not_depend_on_the_others() -> None:
    model, (image, _, _) = _model(), _batch(3)

    def generators(rows: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(row) for row in rows]

    together = model.draw(image, 4, generators([0, 1, 2]))
    alone = model.draw(image[1:2], 4, generators([1]))
    assert (together.samples[:, 1:2] == alone.samples).float().mean() > 0.999
    torch.testing.assert_close(together.prior_mean[1:2], alone.prior_mean)
    assert together.samples.dtype == torch.uint8


def test_deterministic_is_the_segmentation_at_the_priors_mean() -> None:
    model, (image, _, _) = _model(), _batch()
    drawn = model.draw(image, 1, [torch.Generator() for _ in image])
    expected = model.segment(model.condition(image), drawn.prior_mean)
    assert torch.equal(drawn.deterministic, expected)


def test_samples_differ_where_the_prior_is_wide() -> None:
    model, (image, _, _) = _model(), _batch()
    torch.nn.init.constant_(model.prior.head.bias, 3.0)
    drawn = model.draw(image, 8, [torch.Generator().manual_seed(5) for _ in image])
    assert (drawn.samples != drawn.samples[0]).any()


@pytest.mark.parametrize("beta", [0.0, 10.0])
def test_no_nan_at_a_high_learning_rate(beta: float) -> None:
    model, (image, mask, _) = _model(), _batch()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for step in range(40):
        generator = torch.Generator().manual_seed(step)
        loss = model.loss(image, mask, beta=beta, generator=generator)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < losses[0]


def test_bfloat16_keeps_the_loss() -> None:
    model, (image, mask, noise) = _model(), _batch()
    with torch.no_grad():
        expected = sum(model(image, mask, noise))
        with torch.autocast("cpu", torch.bfloat16):
            parts = model(image, mask, noise)
    assert all(part.dtype == torch.float32 for part in parts)
    torch.testing.assert_close(sum(parts), expected, rtol=2e-3, atol=0)


def test_activations_are_channels_last() -> None:
    model, (image, _, _) = _model(), _batch()
    layouts = []
    for layer in model.unet.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda _layer, _inputs, output: layouts.append(
                    output.is_contiguous(memory_format=torch.channels_last)
                )
            )
    model.unet(image)
    assert len(layouts) == 10
    assert all(layouts)


def test_unknown_model() -> None:
    with pytest.raises(ProbunetError, match=r"unet9: no such model; choose one of: probab"):
        build("unet9", SMALL)
