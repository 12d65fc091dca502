"""The Probabilistic U-Net: a U-Net joined with a conditional VAE (Kohl et al. 2018, section 2).

    p(y | x) = integral of p(y | x, z) p(z | x) dz,   z ~ N(mu(x), diag sigma(x)^2)

A hypothesis is f_comb(f(x), z): features f(x) of the U-Net and a sample z of the prior, joined by
1x1 convolutions. Only f_comb runs again for each further hypothesis.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.latent import AxisAlignedGaussian, Gaussian, kl_divergence
from probunet.models.noise import normal_per_image
from probunet.models.segmentation import as_input, for_each_mask, pixelwise_cross_entropy, sampled
from probunet.models.unet import UNet


class Condition(NamedTuple):
    """What an image contributes to each of its hypotheses; computed once."""

    mixed: Tensor  # (B, H, W, channels[0]), W_f f(x) + b
    prior: Gaussian


class ProbabilisticUNet(Model):
    """U-Net, prior, posterior and f_comb.

    Parameters
    ----------
    latent_dim
        N, dimensions of the latent space.
    head_convolutions
        1x1 convolutions of f_comb before the one that gives the logits.
    """

    several_masks = True

    def __init__(
        self, architecture: Architecture, *, latent_dim: int, head_convolutions: int
    ) -> None:
        super().__init__()
        in_channels, classes = architecture.in_channels, architecture.classes
        self.classes, self.latent_dim = classes, latent_dim
        self.unet = UNet(architecture)
        self.prior = AxisAlignedGaussian(architecture, latent_dim)
        self.posterior = AxisAlignedGaussian(
            replace(architecture, in_channels=in_channels + classes), latent_dim
        )
        self.f_comb = FComb(architecture.channels[0], latent_dim, head_convolutions, classes)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the negative evidence lower bound; see `Model.loss`.

        The cross-entropy is summed over pixels and the KL over latent dimensions; both are
        averaged over the batch. The value of beta refers to these sums.
        """
        noise = torch.randn(len(mask), self.latent_dim, generator=generator)
        reconstruction, kl = self(image, mask, sent(noise, image.device))
        return Loss(reconstruction + beta * kl, reconstruction, kl)

    def forward(self, image: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstruction and KL with z = mean + sigma * noise of the posterior."""
        prior = Gaussian(*(for_each_mask(part, mask) for part in self.prior(image)))
        posterior = self.encode(for_each_mask(image, mask), mask)
        mixed = for_each_mask(self.f_comb.mix_features(self.unet(image)), mask)
        logits = self.f_comb(mixed, posterior.at(noise))
        pixels = pixelwise_cross_entropy(logits.flatten(0, 2), mask.flatten())
        return pixels.sum() / len(mask), kl_divergence(posterior, prior).mean()

    def encode(self, image: Tensor, mask: Tensor) -> Gaussian:
        """Return the posterior of images and masks (B, H, W)."""
        shown = as_input(mask, self.classes, image.dtype)
        posterior: Gaussian = self.posterior(torch.cat([image, shown], dim=1))
        return posterior

    @torch.no_grad()
    def condition(self, image: Tensor) -> Condition:
        """Return what all hypotheses of images (B, C, H, W) share."""
        return Condition(self.f_comb.mix_features(self.unet(image)), self.prior(image))

    @torch.no_grad()
    def segment(self, condition: Condition, z: Tensor, see: See | None = None) -> Tensor:
        """Return the class ids (B, H, W) uint8 of the hypotheses at z, (B, latent_dim)."""
        # on a CPU one image at a time, whose features stay in the cache from layer to layer
        together = 1 if z.device.type == "cpu" else len(z)
        mixed = condition.mixed.expand(len(z), -1, -1, -1)  # one image may have all z
        parts = zip(torch.split(mixed, together), torch.split(z, together), strict=True)
        return sampled(torch.cat([self.f_comb(*part) for part in parts]), see, dim=-1)

    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n samples of the prior and the segmentation at its mean; see `Model.draw`."""
        condition = self.condition(image)
        noise = normal_per_image(n, self.latent_dim, generators, image.device)
        z = condition.prior.at(noise)  # (n, B, latent_dim)
        return Hypotheses(
            samples=torch.stack([self.segment(condition, one, see) for one in z]),
            deterministic=self.segment(condition, condition.prior.mean),
            prior_mean=condition.prior.mean,
            prior_log_sigma=condition.prior.log_sigma,
        )

    @torch.no_grad()
    def reconstruct(self, image: Tensor, masks: Tensor) -> Tensor:
        """Return the segmentations at the posterior's mean; see `Model.reconstruct`."""
        condition = self.condition(image)
        means = [self.encode(image, mask).mean for mask in masks.unbind(1)]
        return torch.stack([self.segment(condition, mean) for mean in means], dim=1)


class FComb(nn.Module):
    """Joins features and a latent sample: 1x1 convolutions with ReLU, then one to the logits.

    The first convolution acts on concat(f, z broadcast over the image). It is linear, hence
    W concat(f, z) + b = (W_f f + b) + W_z z: the first term is computed once per image, the second
    is a few numbers per sample, and nothing is tiled or concatenated.

    With channels last, a 1x1 convolution is one matrix product over all pixels, and the code uses
    that. All of it stays in float32 under autocast: it is a small part of the work, but bfloat16
    here would cause most of the loss's error (measured: 3e-4 relative instead of 1e-5).
    """

    def __init__(
        self, features: int, latent_dim: int, head_convolutions: int, classes: int
    ) -> None:
        super().__init__()
        self.features = features
        self.first = nn.Conv2d(features + latent_dim, features, 1)
        self.rest = nn.ModuleList(
            nn.Conv2d(features, features, 1) for _ in range(head_convolutions - 1)
        )
        self.logits = nn.Conv2d(features, classes, 1)

    def mix_features(self, features: Tensor) -> Tensor:
        """Return W_f f + b, (B, H, W, features) float32, of f, (B, features, H, W)."""
        with torch.autocast(features.device.type, enabled=False):
            weight = self.first.weight[:, : self.features, 0, 0]
            return F.linear(features.movedim(1, -1).float(), weight, self.first.bias)

    def forward(self, mixed: Tensor, z: Tensor) -> Tensor:
        """Return logits (B, H, W, classes) float32 from `mix_features` and z, (B, latent_dim)."""
        with torch.autocast(mixed.device.type, enabled=False):
            from_latent = F.linear(z, self.first.weight[:, self.features :, 0, 0])
            x = F.relu_(mixed + from_latent[:, None, None])
            # of more dimensions, the maps below would be views, and their ReLU would copy them
            pixels = x.flatten(0, 2)
            for layer in self.rest:
                pixels = F.relu_(_pixelwise(layer, pixels))
            return _pixelwise(self.logits, pixels).view(*x.shape[:3], -1)


def _pixelwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Return the 1x1 convolution of x, (..., channels)."""
    assert isinstance(layer, nn.Conv2d)
    return F.linear(x, layer.weight[..., 0, 0], layer.bias)
