"""Distributions over the latent space: prior and posterior (Kohl et al. 2018, section 2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from probunet.models.base import Architecture
from probunet.models.unet import Encoder

LOG_SIGMA_BOUND = 10.0


class Gaussian(NamedTuple):
    """A normal distribution with diagonal covariance for each image of a batch."""

    mean: Tensor  # (B, latent_dim) float32
    log_sigma: Tensor  # (B, latent_dim) float32

    def at(self, noise: Tensor) -> Tensor:
        """Return mean + sigma * noise; noise is (..., B, latent_dim), standard normal."""
        return self.mean + self.log_sigma.exp() * noise


class AxisAlignedGaussian(nn.Module):
    """The network of a prior or a posterior: contracting path, spatial mean, 1x1 convolution."""

    def __init__(self, architecture: Architecture, latent_dim: int) -> None:
        super().__init__()
        self.encoder = Encoder(architecture)
        self.head = nn.Conv2d(architecture.channels[-1], 2 * latent_dim, 1)

    def forward(self, image: Tensor) -> Gaussian:
        """Return the distribution for each image (B, in_channels, H, W)."""
        mean_feature = self.encoder(image)[-1].mean(dim=(2, 3), keepdim=True, dtype=torch.float32)
        with torch.autocast(image.device.type, enabled=False):
            mean, log_sigma = self.head(mean_feature)[..., 0, 0].chunk(2, dim=1)
        return Gaussian(mean, bounded(log_sigma))


def bounded(log_sigma: Tensor) -> Tensor:
    """Return log sigma, limited smoothly to (-10, 10); values near zero hardly change.

    The limit keeps sigma and the KL from overflowing float32.
    """
    return LOG_SIGMA_BOUND * torch.tanh(log_sigma / LOG_SIGMA_BOUND)


def kl_divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """Return KL(q || p) of each image, summed over latent dimensions: (B,) float32.

    Per dimension, log(sp / sq) + (sq^2 + (mq - mp)^2) / (2 sp^2) - 1/2.
    """
    log_ratio = q.log_sigma - p.log_sigma
    distance = (q.mean - p.mean) * torch.exp(-p.log_sigma)
    return (0.5 * (torch.exp(2 * log_ratio) + distance.square() - 1) - log_ratio).sum(dim=1)
