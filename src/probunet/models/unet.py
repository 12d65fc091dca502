"""The U-Net: an encoder, which the prior and the posterior share in shape, and a decoder.

Kohl et al. 2018, appendix H.1; resampling as in the authors' released code: 2x2 average pooling
down, bilinear up with aligned corners. No normalisation, no dropout.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


class UNet(nn.Module):
    """From images to features at full resolution; it has no logits of its own."""

    def __init__(self, in_channels: int, channels: Sequence[int], convolutions: int) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, channels, convolutions)
        self.decoder = Decoder(channels, convolutions)

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, channels[0], H, W) of images (B, in_channels, H, W)."""
        features: Tensor = self.decoder(self.encoder(image))
        return features


class Encoder(nn.Module):
    """The contracting path: per scale `convolutions` 3x3 convolutions, pooling between scales."""

    def __init__(self, in_channels: int, channels: Sequence[int], convolutions: int) -> None:
        super().__init__()
        inputs = (in_channels, *channels[:-1])
        self.scales = nn.ModuleList(
            _convolutions(before, after, convolutions)
            for before, after in zip(inputs, channels, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of each scale s, (B, channels[s], H / 2^s, W / 2^s)."""
        # clone, not contiguous: with one channel the latter leaves the strides as they are, and
        # the first convolution would then answer in the slow layout
        x = image.clone(memory_format=torch.channels_last)
        features = []
        for scale, convolutions in enumerate(self.scales):
            if scale > 0:
                x = F.avg_pool2d(x, 2)
            x = convolutions(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The expanding path: upsample, concatenate with the encoder's features, convolve."""

    def __init__(self, channels: Sequence[int], convolutions: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            _convolutions(coarse + fine, fine, convolutions) for fine, coarse in pairwise(channels)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return features at full resolution, (B, channels[0], H, W)."""
        x = features[-1]
        for scale in reversed(range(len(self.scales))):
            skip = features[scale]
            x = self.scales[scale](torch.cat([skip, upsample(x, skip)], dim=1))
        return x


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Return x (B, C, h, w), bilinearly upsampled to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def initialise(module: nn.Module, how: str, generator: Generator) -> None:
    """Draw all weights and biases anew.

    `orthogonal` (gain 1; LIDC) or `he` (normal, fan-in; Cityscapes); biases from a normal
    distribution of sd 0.001, cut at two sd (Kohl et al. 2018, appendix H).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            if how == "orthogonal":
                nn.init.orthogonal_(layer.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.trunc_normal_(layer.bias, std=0.001, a=-0.002, b=0.002, generator=generator)


def _convolutions(before: int, after: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        layers.append(nn.Conv2d(before if index == 0 else after, after, 3, padding=1))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
