"""The same network written the usual way, to measure and check the package's against.

Tensors in PyTorch's default layout; z is tiled over the image and concatenated with the features
before f_comb, for every sample anew. The parameters carry the same names and shapes as those of
`probunet.models.probabilistic_unet`, so that either loads the other's weights.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class UsualProbabilisticUNet(nn.Module):
    """U-Net, prior, posterior and f_comb, as most implementations have them."""

    def __init__(self, in_channels, classes, channels, convolutions, latent_dim, head_convolutions):
        super().__init__()
        self.classes = classes
        self.unet = _UNet(in_channels, channels, convolutions)
        self.prior = _Gaussian(in_channels, channels, convolutions, latent_dim)
        self.posterior = _Gaussian(in_channels + classes, channels, convolutions, latent_dim)
        self.f_comb = _FComb(channels[0], latent_dim, head_convolutions, classes)

    def loss(self, image, mask, noise, beta):
        """Return total, reconstruction and KL for standard normal noise (B, latent_dim)."""
        onehot = F.one_hot(mask, self.classes).permute(0, 3, 1, 2).float() - 0.5
        p_mean, p_log_sigma = self.prior(image)
        q_mean, q_log_sigma = self.posterior(torch.cat([image, onehot], dim=1))
        z = q_mean + q_log_sigma.exp() * noise
        logits = self.f_comb(self.unet(image), z)
        reconstruction = F.cross_entropy(logits, mask, reduction="none").sum(dim=(1, 2)).mean()
        q = torch.distributions.Normal(q_mean, q_log_sigma.exp())
        p = torch.distributions.Normal(p_mean, p_log_sigma.exp())
        kl = torch.distributions.kl_divergence(q, p).sum(dim=1).mean()
        return reconstruction + beta * kl, reconstruction, kl

    @torch.no_grad()
    def sample(self, image, noise):
        """Return class ids (n, B, H, W) for noise (n, B, latent_dim), one f_comb per sample."""
        mean, log_sigma = self.prior(image)
        features = self.unet(image)
        drawn = [self.f_comb(features, mean + log_sigma.exp() * one) for one in noise]
        return torch.stack([logits.argmax(dim=1) for logits in drawn])


class _Encoder(nn.Module):
    def __init__(self, in_channels, channels, convolutions):
        super().__init__()
        self.scales = nn.ModuleList(
            _block(before, after, convolutions)
            for before, after in zip((in_channels, *channels[:-1]), channels, strict=True)
        )

    def forward(self, x):
        features = []
        for scale, block in enumerate(self.scales):
            x = block(F.avg_pool2d(x, 2) if scale else x)
            features.append(x)
        return features


class _Decoder(nn.Module):
    def __init__(self, channels, convolutions):
        super().__init__()
        self.scales = nn.ModuleList(
            _block(coarse + fine, fine, convolutions) for fine, coarse in pairwise(channels)
        )

    def forward(self, features):
        x = features[-1]
        for scale in reversed(range(len(self.scales))):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = self.scales[scale](torch.cat([features[scale], x], dim=1))
        return x


class _UNet(nn.Module):
    def __init__(self, in_channels, channels, convolutions):
        super().__init__()
        self.encoder = _Encoder(in_channels, channels, convolutions)
        self.decoder = _Decoder(channels, convolutions)

    def forward(self, x):
        return self.decoder(self.encoder(x))


class _Gaussian(nn.Module):
    def __init__(self, in_channels, channels, convolutions, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = _Encoder(in_channels, channels, convolutions)
        self.head = nn.Conv2d(channels[-1], 2 * latent_dim, 1)

    def forward(self, x):
        encoding = self.encoder(x)[-1].mean(dim=(2, 3), keepdim=True)
        both = self.head(encoding).squeeze(-1).squeeze(-1)
        return both[:, : self.latent_dim], 10 * torch.tanh(both[:, self.latent_dim :] / 10)


class _FComb(nn.Module):
    def __init__(self, features, latent_dim, head_convolutions, classes):
        super().__init__()
        self.first = nn.Conv2d(features + latent_dim, features, 1)
        self.rest = nn.ModuleList(
            nn.Conv2d(features, features, 1) for _ in range(head_convolutions - 1)
        )
        self.logits = nn.Conv2d(features, classes, 1)

    def forward(self, features, z):
        tiled = z[:, :, None, None].expand(-1, -1, *features.shape[-2:])
        x = F.relu(self.first(torch.cat([features, tiled], dim=1)))
        for convolution in self.rest:
            x = F.relu(convolution(x))
        return self.logits(x)


def _block(before, after, count):
    layers = []
    for index in range(count):
        layers.append(nn.Conv2d(before if index == 0 else after, after, 3, padding=1))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
