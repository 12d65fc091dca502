"""PHiSeg: latent maps at several scales, and a likelihood that sees nothing but them.

    p(z | x) = prod_l p(z_l | z_>l, x),   q(z | x, y) = prod_l q(z_l | z_>l, x, y)

    L = sum_l CE(y, sum_{k >= l} up(s_k)) + beta sum_l 4^l KL_l
    KL_l = KL(q(z_l | z_>l, x, y) || p(z_l | z_>l, x)),   z ~ q

l = 0 is the finest level with a latent map. The likelihood is a network from coarse to fine, with
logits s_l on each level; those of all coarser levels are added, and each such sum is trained (deep
supervision). The finest sum is the segmentation. The image reaches it through the latent maps only.

From Baumgartner et al. 2019 ("PHiSeg: Capturing Uncertainty in Medical Image Segmentation", arXiv
1906.04045) and the authors' release (`phiseg_7_5`): seven scales of 32, 64, 128 and four times 192
channels; latent maps of two channels on the five coarsest scales, which have 2, 4, 8, 16 and 32
pixels a side in crops of 128; three 3x3 convolutions a scale, without bias, each followed by batch
normalisation (momentum 0.01, epsilon 1e-3) and ReLU; average pooling down, bilinear up; prior and
posterior alike; mean and sigma (softplus) by 1x1 convolutions, the mean of the coarsest map by a
3x3 one; KL weights 4^l; cross-entropy summed over pixels, mean over the batch.
Chosen: images are in [0, 1], as for all models; the release subtracts 0.5. Bilinear upsampling has
aligned corners, as in the other models; that of TensorFlow 1 shifts the image. The release has
further convolutions from each map to all finer levels, whose results it does not use: they are left
out. `Loss.kl` is the weighted sum, which beta multiplies. The single best guess takes the prior's
mean on every level.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.errors import ProbunetError
from probunet.models.base import Architecture, Loss
from probunet.models.latent import Gaussian
from probunet.models.latent_maps import Choose, Decoded, LatentMapModel, MapNetwork, kl_of_maps
from probunet.models.segmentation import Logits, cross_entropy
from probunet.models.unet import convolutions, upsample

TINY = 1e-10  # added to sigma^2, as in the release: its logarithm is finite


class PHiSeg(LatentMapModel):
    """Prior, posterior and likelihood.

    Parameters
    ----------
    latent_scales
        Scales with a latent map, counted from the coarsest; at most all scales.
    latent_channels
        Channels of each latent map.
    """

    def __init__(
        self, architecture: Architecture, *, latent_scales: int, latent_channels: int
    ) -> None:
        super().__init__()
        channels, self.classes = architecture.channels, architecture.classes
        self.scales, self.latent_channels = len(channels), latent_channels
        self.latent_scales = min(latent_scales, self.scales)
        sizes = (self.latent_scales, latent_channels)
        seen = replace(architecture, in_channels=architecture.in_channels + self.classes)
        self.prior = MapPyramid(architecture, *sizes)
        self.posterior = MapPyramid(seen, *sizes)
        self.likelihood = Likelihood(channels, *sizes, self.classes)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the loss above; `reconstruction` is the sum over levels.

        Raises
        ------
        ProbunetError
            If the coarsest features of the batch are a single pixel, which cannot be normalised.
        """
        noise = self.noise(len(image), image, generator)
        if noise[0].numel() == self.latent_channels:
            raise ProbunetError(
                "phiseg: normalises over the pixels of a batch, and the coarsest features have a "
                "single one; set training.batch to 2 or more."
            )
        reconstruction, kl = self(image, mask, noise)
        return Loss(reconstruction + beta * kl, reconstruction, kl)

    def forward(self, image: Tensor, mask: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the sum of the levels' cross-entropies and the weighted KL, mean over the batch.

        The latent maps are mean + sigma * noise of the posterior.
        """
        posterior, prior = self.encode_and_decode(image, mask, noise)
        size = image.shape[-2:]
        levels = [
            cross_entropy(F.interpolate(logits, size=size, mode="nearest"), mask)
            for logits in self.likelihood(posterior.maps, size)
        ]
        kls = kl_of_maps(posterior, prior).mean(dim=1)
        weighted = [4**level * kl for level, kl in enumerate(reversed(kls.unbind()))]
        return torch.stack(levels).sum(dim=0).mean(), torch.stack(weighted).sum()

    def logits_of(self, prior: Decoded, size: Sequence[int]) -> Tensor:
        """Return the logits (B, classes, H, W) at the latent maps."""
        logits: Tensor = self.likelihood(prior.maps, size)[-1]
        return logits


class MapPyramid(MapNetwork):
    """The network of the prior or the posterior: an encoder, and a latent map per coarse scale."""

    def __init__(
        self, architecture: Architecture, latent_scales: int, latent_channels: int
    ) -> None:
        super().__init__()
        channels = architecture.channels
        self.encoder = nn.ModuleList(
            convolutions(before, after, architecture.convolutions, normalise=True)
            for before, after in pairwise((architecture.in_channels, *channels))
        )
        # coarsest first, in the order of use; level 0 is the finest with a latent map
        levels = range(latent_scales - 2, -1, -1)
        finest = len(channels) - latent_scales  # its scale
        wide = latent_channels * channels[0]
        self.above = nn.ModuleList(
            convolutions(latent_channels, wide, 2, normalise=True) for _ in levels
        )
        self.join = nn.ModuleList(
            convolutions(channels[finest + level] + wide, channels[level], 2, normalise=True)
            for level in levels
        )
        self.heads = nn.ModuleList(
            [
                Head(channels[-1], latent_channels, 3),
                *(Head(channels[level], latent_channels, 1) for level in levels),
            ]
        )

    def decode(self, features: list[Tensor], choose: Choose) -> Decoded:
        """Return the result for the encoder's features, with latent maps from `choose`."""
        x = features[-1]
        maps: list[Tensor] = []
        distributions: list[Gaussian] = []
        for i, head in enumerate(self.heads):
            if i > 0:
                skip = features[-1 - i]
                above = self.above[i - 1](upsample(maps[-1], skip))
                x = self.join[i - 1](torch.cat([skip, above], dim=1))
            distributions.append(head(x))
            maps.append(choose(i, distributions[-1]))
        return Decoded(x, maps, distributions)


class Head(nn.Module):
    """Mean and sigma of a latent map, in float32; the kernel of the mean has `size` pixels."""

    def __init__(self, features: int, latent_channels: int, size: int) -> None:
        super().__init__()
        self.mean = Logits(features, latent_channels, size)
        self.sigma = Logits(features, latent_channels)

    def forward(self, features: Tensor) -> Gaussian:
        """Return the distribution of a map (B, latent_channels, h, w)."""
        variance = F.softplus(self.sigma(features)).square()
        return Gaussian(self.mean(features), (variance + TINY).log() / 2)


class Likelihood(nn.Module):
    """From latent maps to logits, coarse to fine."""

    def __init__(
        self, channels: Sequence[int], latent_scales: int, latent_channels: int, classes: int
    ) -> None:
        super().__init__()
        self.finest = finest = len(channels) - latent_scales  # the scale of level 0's map
        widths = [*channels[finest:-1], channels[latent_scales - 1]]  # of each level's features
        levels = range(latent_scales - 1, -1, -1)  # coarsest first
        self.first = nn.ModuleList(
            convolutions(latent_channels, channels[level], 2, normalise=True) for level in levels
        )
        self.grow = nn.ModuleList(
            _one(channels[level], channels[level]) for level in levels for _ in range(finest)
        )
        self.above = nn.ModuleList(_one(widths[level + 1], channels[level]) for level in levels[1:])
        self.join = nn.ModuleList(
            convolutions(2 * channels[level], widths[level], 2, normalise=True)
            for level in levels[1:]
        )
        self.logits = nn.ModuleList(Logits(widths[level], classes) for level in levels)

    def forward(self, maps: list[Tensor], size: Sequence[int]) -> list[Tensor]:
        """Return each level's logits with those of coarser ones added, coarsest first.

        Those of level l are (B, classes, H / 2^l, W / 2^l) float32; `size` is H and W.
        """
        x = maps[0]
        sums: list[Tensor] = []
        for i, z in enumerate(maps):
            level = len(maps) - 1 - i
            own = self.first[i](z)
            for times in range(self.finest):
                scale = level + self.finest - 1 - times
                own = self.grow[i * self.finest + times](_up(own, size, scale))
            if i > 0:
                above = self.above[i - 1](_up(x, size, level))
                own = self.join[i - 1](torch.cat([own, above], dim=1))
            x = own
            logits = self.logits[i](x)
            if i > 0:
                logits = logits + F.interpolate(sums[-1], size=logits.shape[-2:], mode="nearest")
            sums.append(logits)
        return sums


def _one(before: int, after: int) -> nn.Sequential:
    """Return a normalised 3x3 convolution."""
    return convolutions(before, after, 1, normalise=True)


def _up(x: Tensor, size: Sequence[int], scale: int) -> Tensor:
    """Return x, upsampled bilinearly to a scale of images of a size."""
    shape = [side >> scale for side in size]
    return F.interpolate(x, size=shape, mode="bilinear", align_corners=True)
