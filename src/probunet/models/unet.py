"""The U-Net: an encoder, which the prior and the posterior share in shape, and a decoder.

Kohl et al. 2018, appendix H.1; resampling as in the authors' released code: 2x2 average pooling
down, bilinear up with aligned corners. No dropout, and no normalisation unless a model asks for it.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probunet.models.base import Architecture


class UNet(nn.Module):
    """From images to features at full resolution, without logits."""

    def __init__(self, architecture: Architecture, *, normalise: bool = False) -> None:
        super().__init__()
        self.encoder = Encoder(architecture, normalise=normalise)
        self.decoder = Decoder(architecture, normalise=normalise)

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, channels[0], H, W) of images (B, in_channels, H, W)."""
        features: Tensor = self.decoder(self.encoder(image))
        return features


class Encoder(nn.Module):
    """The contracting path: per scale `convolutions` 3x3 convolutions, pooling between scales."""

    def __init__(self, architecture: Architecture, *, normalise: bool = False) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            convolutions(before, after, architecture.convolutions, normalise)
            for before, after in pairwise((architecture.in_channels, *architecture.channels))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of each scale s, (B, channels[s], H / 2^s, W / 2^s)."""
        # clone(), because contiguous() keeps the strides of an image with one channel, and the
        # output of the first convolution would then have the slow layout
        x = image.clone(memory_format=torch.channels_last)
        features = []
        for scale, block in enumerate(self.scales):
            if scale > 0:
                x = F.avg_pool2d(x, 2)
            x = block(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The expanding path: upsample, concatenate with the encoder's features, convolve."""

    def __init__(self, architecture: Architecture, *, normalise: bool = False) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            convolutions(coarse + fine, fine, architecture.convolutions, normalise)
            for fine, coarse in pairwise(architecture.channels)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return features at full resolution, (B, channels[0], H, W)."""
        x = features[-1]
        for scale in reversed(range(len(self.scales))):
            skip = features[scale]
            x = self.scales[scale](torch.cat([skip, upsample(x, skip)], dim=1))
        return x


class _ChannelsLastGradient(torch.autograd.Function):
    """The identity, whose gradient is contiguous with channels last.

    That of a part of a concatenation is not, and upsampling's backward then takes the slow layout.
    """

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=torch.channels_last)


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Return x (B, C, h, w), upsampled bilinearly to the height and width of `like`."""
    above = F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)
    result: Tensor = _ChannelsLastGradient.apply(above)  # type: ignore[no-untyped-call]
    return result


def convolutions(before: int, after: int, count: int, normalise: bool) -> nn.Sequential:
    """Return `count` 3x3 convolutions, each followed by a ReLU, after batch normalisation or not.

    The normalisation's constants are those of PHiSeg's and MoSE's code.
    """
    layers: list[nn.Module] = []
    for index in range(count):
        first = before if index == 0 else after
        layers.append(nn.Conv2d(first, after, 3, padding=1, bias=not normalise))
        if normalise:
            layers.append(nn.BatchNorm2d(after, eps=1e-3, momentum=0.01))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
