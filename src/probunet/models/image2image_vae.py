"""The Image2Image VAE: a U-Net that is given z beside the image, under a fixed prior.

    z ~ N(0, I) whatever the image is;   y = U-Net(concat(x, z))

From Kohl et al. 2018 (section 4, after Zhu et al. 2017): the prior does not depend on the image,
the posterior sees the segmentation alone, and z is broadcast into the U-Net's input. The whole
U-Net runs once for every sample.
Chosen: 3 latent dimensions, which a fork of the authors' code names in a comment (together with
beta = 10); the posterior's net and the loss are those of the Probabilistic U-Net.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.base import Hypotheses, Loss, Model
from probunet.models.latent import AxisAlignedGaussian, Gaussian, kl_divergence
from probunet.models.segmentation import Logits, as_input, cross_entropy, most_likely
from probunet.models.unet import UNet, initialise


class Image2ImageVAE(Model):
    """U-Net over image and z, and posterior; parameters as in `ProbabilisticUNet`."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: Sequence[int],
        convolutions: int,
        latent_dim: int,
        initialisation: str,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.classes, self.latent_dim = classes, latent_dim
        self.unet = UNet(in_channels + latent_dim, channels, convolutions)
        self.logits = Logits(channels[0], classes)
        self.posterior = AxisAlignedGaussian(classes, channels, convolutions, latent_dim)
        initialise(self, initialisation, generator)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the negative evidence lower bound, reduced as in `ProbabilisticUNet.loss`."""
        noise = torch.randn(len(image), self.latent_dim, generator=generator)
        reconstruction, kl = self(image, mask, noise.to(image.device))
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
    def draw(self, image: Tensor, n: int, generators: Sequence[Generator]) -> Hypotheses:
        """Return the segmentations at n samples of N(0, I), and at z = 0."""
        noise = [torch.randn(n, self.latent_dim, generator=one) for one in generators]
        z = torch.stack(noise, dim=1).to(image.device)  # (n, B, latent_dim)
        prior = _standard(z[0])
        return Hypotheses(
            samples=torch.stack([most_likely(self.decode(image, one)) for one in z]),
            deterministic=most_likely(self.decode(image, prior.mean)),
            prior_mean=prior.mean,
            prior_log_sigma=prior.log_sigma,
        )


def _standard(like: Tensor) -> Gaussian:
    return Gaussian(torch.zeros_like(like), torch.zeros_like(like))
