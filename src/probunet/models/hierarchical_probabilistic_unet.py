"""The Hierarchical Probabilistic U-Net: latent maps at several scales, from coarse to fine.

    p(z | x) = prod_i p(z_i | z_<i, x),   q(z | x, y) = prod_i q(z_i | z_<i, x, y)

    KL = sum_i KL(q(z_i | z_<i, x, y) || p(z_i | z_<i, x)),   z ~ q

At each of the coarsest scales the decoder has a latent map z_i of one channel: the features give
the distribution of the map, and a sample of it is concatenated with the features. The prior and the
posterior are two such U-Nets; in training the posterior's samples go into the prior's decoder.

From Kohl et al. 2019 ("A Hierarchical Probabilistic U-Net for Modeling Multi-Scale Ambiguities",
arXiv 1905.13077) and the authors' release: eight scales of 24, 48, 96 and five times 192 channels;
three pre-activated residual blocks a scale, whose 3x3 convolutions have half of the channels, with
a 1x1 convolution to all of them; average pooling down, nearest neighbours up; latent maps of one
channel at the four coarsest scales, which have 1, 2, 4 and 8 pixels a side in crops of 128, so that
the coarsest draws what all pixels share; and both losses, the evidence lower bound and GECO (see
`geco`) with kappa = 0.05 on 2 % of the pixels and a decay of 0.99.
Chosen: beta weights the KL in both losses, as in all models; under GECO the multiplier compensates
for it over time. The posterior sees the segmentation as one-hot - 0.5, as in the Probabilistic
U-Net. `training.weight_decay` is for weights, as in all models; the release's is for biases, too.
The logarithm of sigma is bounded. The last convolution of each residual block and the heads of the
latent maps start with a tenth of the drawn weights: otherwise features grow from block to block,
and with He's weights the KL is above 1e17 at the start.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.flips import IGNORE
from probunet.models.base import Architecture, Loss
from probunet.models.geco import Geco
from probunet.models.latent import Gaussian, bounded
from probunet.models.latent_maps import Choose, Decoded, LatentMapModel, MapNetwork, kl_of_maps
from probunet.models.segmentation import Logits, cross_entropy_map

SMALL = 0.1  # times the weights that `Model.initialise` draws


class HierarchicalProbabilisticUNet(LatentMapModel):
    """Prior and posterior, each a U-Net with latent maps.

    Parameters
    ----------
    latent_scales
        Scales with a latent map, counted from the coarsest; at most all scales.
    blocks
        Residual blocks per scale.
    objective
        "geco", or "elbo": the evidence lower bound.
    kappa, hard, decay
        Parameters of `Geco`; not used with "elbo".
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        latent_scales: int,
        blocks: int,
        objective: str,
        kappa: float,
        hard: float,
        decay: float,
    ) -> None:
        super().__init__()
        channels, classes = architecture.channels, architecture.classes
        self.geco = Geco(kappa, hard, decay) if objective == "geco" else None
        self.classes, self.scales = classes, len(channels)
        self.latent_scales = min(latent_scales, self.scales)
        finest = self.scales - self.latent_scales
        self.prior = LatentUNet(architecture, self.latent_scales, blocks, finest=0)
        self.posterior = LatentUNet(
            replace(architecture, in_channels=architecture.in_channels + classes),
            self.latent_scales,
            blocks,
            finest,
        )
        self.logits = Logits(channels[0] + (finest == 0), classes)

    @torch.no_grad()
    def initialise(self, how: str, generator: Generator) -> None:
        """Draw all weights; multiply those of each block's last layer and the heads by `SMALL`."""
        super().initialise(how, generator)
        small: list[nn.Module] = []
        for part in self.modules():
            if isinstance(part, ResidualBlock):
                small.append(part.widen)
            elif isinstance(part, LatentUNet):
                small.extend(part.heads)
        for layer in small:
            for weight in layer.parameters():
                weight.mul_(SMALL)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the objective, reduced as in `ProbabilisticUNet.loss`.

        The KL is summed over scales and over the pixels of each map. `reconstruction` is the
        cross-entropy of all pixels under both objectives.
        """
        noise = self.noise(len(image), image, generator)
        cross_entropy, kl = self(image, mask, noise)
        reconstruction = cross_entropy.sum(dim=1).mean()
        if self.geco is None:
            return Loss(reconstruction + beta * kl, reconstruction, kl)
        constrained = self.geco(cross_entropy, mask.flatten(1) != IGNORE, generator)
        return Loss(constrained + beta * kl, reconstruction.detach(), kl)

    def forward(self, image: Tensor, mask: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each pixel (B, H * W) and the KL, mean over the batch.

        The latent maps are z_i = mean + sigma * noise_i of the posterior.
        """
        posterior, prior = self.encode_and_decode(image, mask, noise)
        kl = kl_of_maps(posterior, prior).sum(dim=0)
        return cross_entropy_map(self.logits_of(prior, image.shape[-2:]), mask), kl.mean()

    def logits_of(self, prior: Decoded, size: Sequence[int]) -> Tensor:
        """Return the logits (B, classes, H, W) of the prior's finest features."""
        logits: Tensor = self.logits(prior.features)
        return logits

    def remark(self, height: int, width: int) -> str | None:
        """Return what is said of the coarsest latent map if it has several pixels."""
        high, wide = height >> (self.scales - 1), width >> (self.scales - 1)
        if high * wide == 1:
            return None
        return (
            f"the coarsest latent map is {high}x{wide} pixels, which are drawn apart: nothing is "
            "drawn for the whole image; in the paper it is one pixel "
            "(hierarchical_probabilistic_unet.channels: a scale more halves it)"
        )


class LatentUNet(MapNetwork):
    """A U-Net with a latent map at each of its coarsest `latent_scales` scales.

    Its decoder ends at the scale `finest`, 0 being full resolution.
    """

    def __init__(
        self, architecture: Architecture, latent_scales: int, blocks: int, finest: int
    ) -> None:
        super().__init__()
        channels, convolutions = architecture.channels, architecture.convolutions
        last = len(channels) - 1
        with_map = [last - scale < latent_scales for scale in range(last + 1)]
        self.encoder = nn.ModuleList(
            _residual_blocks(before, after, convolutions, blocks)
            for before, after in pairwise((architecture.in_channels, *channels))
        )
        # coarsest first, in the order of use
        self.decoder = nn.ModuleList(
            _residual_blocks(
                channels[scale] + channels[scale + 1] + with_map[scale + 1],
                channels[scale],
                convolutions,
                blocks,
            )
            for scale in range(last - 1, finest - 1, -1)
        )
        self.heads = nn.ModuleList(
            Logits(channels[scale], 2) for scale in range(last, last - latent_scales, -1)
        )

    def decode(self, features: list[Tensor], choose: Choose) -> Decoded:
        """Return the result for the encoder's features, with latent maps from `choose`."""
        x, skips = features[-1], iter(features[-2::-1])
        maps, distributions = [], []
        for i in range(max(len(self.heads), len(self.decoder) + 1)):
            if i > 0:
                skip = next(skips)
                x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
                x = self.decoder[i - 1](torch.cat([skip, x], dim=1))
            if i < len(self.heads):
                mean, log_sigma = self.heads[i](x).chunk(2, dim=1)
                distributions.append(Gaussian(mean, bounded(log_sigma)))
                maps.append(choose(i, distributions[-1]))
                x = torch.cat([x, maps[-1].to(x.dtype)], dim=1)
        return Decoded(x, maps, distributions)


class ResidualBlock(nn.Module):
    """3x3 convolutions of half the channels, each after a ReLU, added to their input.

    A 1x1 convolution widens them to all channels (He et al. 2016, "Identity Mappings").
    """

    def __init__(self, before: int, after: int, convolutions: int) -> None:
        super().__init__()
        half = max(after // 2, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before if index == 0 else half, half, 3, padding=1)
            for index in range(convolutions)
        )
        self.widen = nn.Conv2d(half, after, 1)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, H, W) of x, (B, before, H, W)."""
        residual = x
        for convolution in self.convolutions:
            residual = convolution(F.relu(residual))
        changed: Tensor = self.skip(x) + self.widen(residual)
        return changed


def _residual_blocks(before: int, after: int, convolutions: int, blocks: int) -> nn.Sequential:
    widths = [before, *[after] * (blocks - 1)]
    return nn.Sequential(*(ResidualBlock(width, after, convolutions) for width in widths))
