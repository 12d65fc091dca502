"""KL against torch.distributions; log sigma stays bounded."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference

from probunet.models import Architecture
from probunet.models.latent import AxisAlignedGaussian, Gaussian, kl_divergence

_values = st.floats(-3, 3, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(_values, _values, _values, _values), min_size=1, max_size=6))
def test_kl_as_torch_has_it(rows: list[tuple[float, float, float, float]]) -> None:
    mq, lq, mp, lp = torch.tensor(rows, dtype=torch.float64).T[:, None]
    ours = kl_divergence(Gaussian(mq, lq), Gaussian(mp, lp))
    expected = reference(Normal(mq, lq.exp()), Normal(mp, lp.exp())).sum(dim=1)
    torch.testing.assert_close(ours, expected)


def test_log_sigma_is_bounded_and_the_kl_finite() -> None:
    architecture = Architecture(1, 2, (4, 4), convolutions=1, initialisation="he")
    net = AxisAlignedGaussian(architecture, latent_dim=2)
    image = torch.rand(1, 1, 8, 8)
    extremes = []
    for bias in (-1e6, 1e6):
        torch.nn.init.constant_(net.head.bias, bias)
        extremes.append(Gaussian(torch.zeros(1, 2), net(image).log_sigma))
    low, high = extremes
    assert low.log_sigma.abs().max() <= 10
    assert torch.isfinite(kl_divergence(high, low)).all()
    assert torch.isfinite(kl_divergence(low, high)).all()


def test_at_is_mean_plus_sigma_times_noise() -> None:
    gaussian = Gaussian(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]]).log())
    noise = torch.tensor([[[1.0, -1.0]], [[0.0, 2.0]]])  # two samples of one image
    torch.testing.assert_close(gaussian.at(noise), torch.tensor([[[3.0, -1.0]], [[1.0, 8.0]]]))
