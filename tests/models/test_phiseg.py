"""PHiSeg against the published layout written out, and what batch normalisation asks of a model."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.models import build, outline
from probunet.models.latent_maps import Decoded
from probunet.models.phiseg import PHiSeg
from probunet.models.weights import WeightsInfo, save_weights
from support.usual_phiseg import UsualPHiSeg

CHANNELS = (4, 6, 8, 10)


def model(latent_scales: int = 2, classes: int = 2, channels: tuple[int, ...] = CHANNELS) -> PHiSeg:
    shared = {"channels": channels, "convolutions": 2, "initialisation": "he"}
    own = {"latent_scales": latent_scales, "latent_channels": 2}
    net = build("phiseg", shared | own, classes=classes, seed=1)
    assert isinstance(net, PHiSeg)
    return net


def batch(classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 1, 16, 24, generator=generator), torch.randint(
        classes, (3, 16, 24), generator=generator
    )


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(3)]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("latent_scales", [1, 2, 4])
def test_equals_the_published_layout_written_out(latent_scales: int, classes: int) -> None:
    net, (image, mask) = model(latent_scales, classes), batch(classes)
    usual = UsualPHiSeg(dict(net.named_parameters()), 4, latent_scales, 2)
    # with this noise, rounding moves no feature across the kink of a ReLU
    noise = net.noise(3, image, torch.Generator().manual_seed(3))
    ours, theirs = net(image, mask, noise), usual.loss(image, mask, noise[::-1])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    weights = list(net.parameters())
    both = [torch.autograd.grad(sum(parts), weights) for parts in (ours, theirs)]
    for gradient, expected in zip(*both, strict=True):
        assert (gradient - expected).norm() <= 1e-3 * expected.norm() + 1e-4


def test_ignored_pixels_have_no_gradient_at_any_level() -> None:
    net, (image, mask) = model(latent_scales=4), batch()
    mask[0, :8] = mask[1] = IGNORE
    sums: list[torch.Tensor] = []

    def keep(layer: nn.Module, inputs: object, output: list[torch.Tensor]) -> None:
        for one in output:
            one.retain_grad()
        sums.extend(output)

    net.likelihood.register_forward_hook(keep)
    net.loss(image, mask, beta=1.0, generator=torch.Generator().manual_seed(4)).total.backward()
    assert len(sums) == 4
    counted = (mask != IGNORE).float()[:, None]
    for one in sums:
        assert one.grad is not None
        scale = image.shape[-1] // one.shape[-1]
        some = nn.functional.max_pool2d(counted, scale) > 0 if scale > 1 else counted > 0
        with_gradient = one.grad.abs().sum(dim=1, keepdim=True) > 0
        assert torch.equal(with_gradient, some)


def test_the_published_size_is_17_8_million() -> None:
    """Weights of convolutions, from the layout in the paper's code, and what comes with them."""
    n = [32, 64, 128, 192, 192, 192, 192]

    def three(before: int, after: int, count: int = 1) -> int:  # count 3x3 convolutions
        return 9 * (before * after + (count - 1) * after * after)

    def units(*widths: int) -> int:  # scale and offset of each normalised channel
        return 2 * sum(widths)

    def pyramid(inputs: int) -> int:
        encoder = three(inputs, n[0], 3) + sum(three(n[s - 1], n[s], 3) for s in range(1, 7))
        above = 4 * three(2, 64, 2)
        join = sum(three(n[level + 2] + 64, n[level], 2) for level in range(4))
        heads = 9 * n[6] * 2 + n[6] * 2 + sum(2 * n[level] * 2 for level in range(4)) + 5 * 2 * 2
        normalised = units(*(3 * n[s] for s in range(7)), *4 * [2 * 64], *(2 * w for w in n[:4]))
        return encoder + above + join + heads + normalised

    grow = sum(three(2, w, 2) + 2 * three(w, w) for w in n[:5])
    context = [*n[2:6], n[4]]  # channels of each level's features
    above = sum(three(context[level + 1], n[level]) for level in range(4))
    join = sum(three(2 * n[level], context[level], 2) for level in range(4))
    logits = sum(2 * w + 2 for w in context)
    normalised = units(*(4 * w for w in n[:5]), *n[:4], *(2 * w for w in context[:4]))
    expected = pyramid(1) + pyramid(3) + grow + above + join + logits + normalised

    net = outline(
        "phiseg", Settings().architecture_of("phiseg"), in_channels=1, classes=2, most=10**9
    )
    assert sum(weight.numel() for weight in net.parameters()) == expected
    assert expected == pytest.approx(17.8e6, rel=2e-3)
    assert isinstance(net, PHiSeg)
    shapes = [one.shape[1:] for one in net.noise(1, torch.empty(1, 1, 128, 128), torch.Generator())]
    assert shapes == [(2, side, side) for side in (2, 4, 8, 16, 32)]


def test_the_kl_is_torch_s_and_counts_fourfold_for_each_coarser_level() -> None:
    net, (image, mask) = model(3), batch()
    noise = net.noise(3, image, torch.Generator().manual_seed(2))
    posterior, prior = net.encode_and_decode(image, mask, noise)
    expected = torch.zeros(())
    for weight, q, p in zip((16, 4, 1), posterior.distributions, prior.distributions, strict=True):
        pair = (Normal(one.mean, one.log_sigma.exp()) for one in (q, p))
        expected = expected + weight * reference(*pair).sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(net(image, mask, noise)[1], expected)


def test_the_prior_is_asked_at_the_posterior_s_maps() -> None:
    net, (image, mask) = model(), batch()
    noise = net.noise(3, image, torch.Generator().manual_seed(2))
    posterior, prior = net.encode_and_decode(image, mask, noise)
    for i, q in enumerate(posterior.distributions):
        torch.testing.assert_close(posterior.maps[i], q.at(noise[i]))
        assert torch.equal(prior.maps[i], posterior.maps[i])


def test_the_likelihood_sees_the_latent_maps_alone() -> None:
    net, (image, _) = model().eval(), batch()
    maps = [torch.ones_like(one) for one in net.noise(3, image, torch.Generator())]
    logits = [net.logits_of(Decoded(seen, maps, []), (16, 24)) for seen in (image, image + 1)]
    assert torch.equal(*logits)
    assert logits[0].shape == (3, 2, 16, 24)


def test_the_encoder_runs_once_for_all_samples() -> None:
    net, (image, _) = model().eval(), batch()
    calls: list[nn.Module] = []
    for part in (net.prior, net.posterior):
        part.encoder[0].register_forward_hook(lambda module, *_: calls.append(module))
    net.draw(image, 5, generators())
    assert calls == [net.prior.encoder[0]]


def test_the_first_samples_do_not_depend_on_how_many_are_drawn() -> None:
    net, (image, _) = model().eval(), batch()
    few, many = (net.draw(image, n, generators()).samples for n in (3, 10))
    assert torch.equal(few, many[:3])
    assert not torch.equal(few[0], few[1])


def test_a_sample_changes_no_statistic_and_a_training_step_does() -> None:
    net, (image, mask) = model(), batch()
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.eval().draw(image, 2, generators())
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    net.train().loss(image, mask, beta=1.0, generator=torch.Generator())
    assert not any(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_statistics_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    net = model()
    info = WeightsInfo("phiseg", {}, 1, 2, None, None, "run", "store", 3, None)
    net.prior.encoder[0][1].running_var[1] = math.inf
    with pytest.raises(ProbunetError, match=r"not finite \(prior.encoder.0.1.running_var\)"):
        save_weights(tmp_path / "weights.pt", net, info)
    assert list(tmp_path.iterdir()) == []


def test_sigma_and_its_logarithm_are_finite_for_any_features() -> None:
    net = model()
    head = net.prior.heads[0]
    for value in (-1e4, -50.0, 0.0, 1e4):
        nn.init.zeros_(head.sigma.weight)
        nn.init.constant_(head.sigma.bias, value)
        features = torch.ones(2, CHANNELS[-1], 1, 1)
        log_sigma = head(features).log_sigma
        log_sigma.sum().backward()
        assert torch.isfinite(log_sigma).all()
        assert torch.isfinite(head.sigma.bias.grad).all()
    expected = torch.nn.functional.softplus(torch.tensor(-2.0)).log()
    nn.init.constant_(head.sigma.bias, -2.0)
    torch.testing.assert_close(head(features).log_sigma[0, 0, 0, 0], expected)


def test_a_single_pixel_cannot_be_normalised() -> None:
    net = model(channels=(4, 6, 8, 8))
    image, mask = torch.rand(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
    with pytest.raises(ProbunetError, match=r"^phiseg: .* set training.batch to 2 or more\.$"):
        net.loss(image, mask, beta=1.0, generator=torch.Generator())
    both = image.expand(2, -1, -1, -1), mask.expand(2, -1, -1)
    assert torch.isfinite(net.loss(*both, beta=1.0, generator=torch.Generator()).total)
