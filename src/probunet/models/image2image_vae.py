"""The Image2Image VAE: a U-Net whose input is the image and z, with a fixed prior.

    z ~ N(0, I) for every image;   y = U-Net(concat(x, z))

From Kohl et al. 2018 (section 4, after Zhu et al. 2017): the prior does not depend on the image,
the posterior sees only the segmentation, and z is broadcast into the U-Net's input. The whole
U-Net runs once for every sample.
Chosen: 3 latent dimensions, which a fork of the authors' code names in a comment (together with
beta = 10); the posterior's network and the loss are those of the Probabilistic U-Net.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.latent import AxisAlignedGaussian, Gaussian, kl_divergence
from probunet.models.noise import normal_per_image
from probunet.models.segmentation import Logits, as_input, cross_entropy, most_likely, sampled
from probunet.models.unet import UNet


class Image2ImageVAE(Model):
    """U-Net over image and z, and posterior.

    Parameters
    ----------
    latent_dim
        Dimensions of the latent space.
    """

    def __init__(self, architecture: Architecture, *, latent_dim: int) -> None:
        super().__init__()
        in_channels, classes = architecture.in_channels, architecture.classes
        self.classes, self.latent_dim = classes, latent_dim
        self.unet = UNet(replace(architecture, in_channels=in_channels + latent_dim))
        self.logits = Logits(architecture.channels[0], classes)
        self.posterior = AxisAlignedGaussian(replace(architecture, in_channels=classes), latent_dim)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the negative evidence lower bound, reduced as in `ProbabilisticUNet.loss`."""
        noise = torch.randn(len(image), self.latent_dim, generator=generator)
        reconstruction, kl = self(image, mask, sent(noise, image.device))
        return Loss(reconstruction + beta * kl, reconstruction, kl)

    def forward(self, image: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstruction and KL with z = mean + sigma * noise of the posterior."""
        posterior = self.posterior(as_input(mask, self.classes, image.dtype))
        logits = self.decode(image, posterior.at(noise))
        kl = kl_divergence(posterior, _standard(posterior.mean))
        return cross_entropy(logits, mask).mean(), kl.mean()

    def decode(self, image: Tensor, z: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of images (B, C, H, W) at z, (B, latent_dim)."""
        broadcast = z[:, :, None, None].expand(-1, -1, *image.shape[-2:])
        logits: Tensor = self.logits(self.unet(torch.cat([image, broadcast], dim=1)))
        return logits

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return the segmentations at n samples of N(0, I), and at z = 0."""
        z = normal_per_image(n, self.latent_dim, generators, image.device)
        prior = _standard(z[0])
        return Hypotheses(
            samples=torch.stack([sampled(self.decode(image, one), see) for one in z]),
            deterministic=most_likely(self.decode(image, prior.mean)),
            prior_mean=prior.mean,
            prior_log_sigma=prior.log_sigma,
        )

    @torch.no_grad()
    def reconstruct(self, image: Tensor, masks: Tensor) -> Tensor:
        """Return the segmentations at the posterior's mean; see `Model.reconstruct`."""
        shown = [as_input(mask, self.classes, image.dtype) for mask in masks.unbind(1)]
        means = [self.posterior(mask).mean for mask in shown]
        return torch.stack([most_likely(self.decode(image, mean)) for mean in means], dim=1)


def _standard(like: Tensor) -> Gaussian:
    return Gaussian(torch.zeros_like(like), torch.zeros_like(like))
