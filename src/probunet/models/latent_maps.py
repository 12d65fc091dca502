"""Latent maps from coarse to fine: what the Hierarchical Probabilistic U-Net and PHiSeg share.

    p(z | x) = prod_i p(z_i | z_<i, x),   q(z | x, y) = prod_i q(z_i | z_<i, x, y)

z_0 is the coarsest map. In training the prior is asked at the posterior's maps, so that the KL of
each map is that of two normal distributions per pixel. In sampling the prior takes its own maps.

Chosen: samples are drawn one by one, so that the first ones do not depend on how many are drawn.
The encoder of the prior runs once for all of them. The single best guess is the prior's mean on
every scale.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.models.base import Hypotheses, Model, See
from probunet.models.device import sent
from probunet.models.latent import Gaussian, kl_divergence
from probunet.models.segmentation import as_input, most_likely, sampled

Choose = Callable[[int, Gaussian], Tensor]  # the latent map i, given its distribution


class Decoded(NamedTuple):
    """The latent maps of a network, coarsest first."""

    features: Tensor  # of the finest scale that it has
    maps: list[Tensor]  # z_i, (B, channels, h_i, w_i)
    distributions: list[Gaussian]  # of the maps, each (B, channels, h_i, w_i)


class MapNetwork(nn.Module):
    """The network of a prior or a posterior over latent maps."""

    encoder: nn.ModuleList  # a module per scale, from full resolution down

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the features of each scale s, (B, channels[s], H / 2^s, W / 2^s)."""
        x = image.clone(memory_format=torch.channels_last)
        features: list[Tensor] = []
        for scale, block in enumerate(self.encoder):
            x = block(F.avg_pool2d(x, 2) if scale > 0 else x)
            features.append(x)
        return features

    def decode(self, features: list[Tensor], choose: Choose) -> Decoded:
        """Return the result for the encoder's features, with latent maps from `choose`."""
        raise NotImplementedError


class LatentMapModel(Model):
    """A model with a prior and a posterior over latent maps at its coarsest scales."""

    classes: int
    scales: int
    latent_scales: int  # of them, from the coarsest, have a map
    latent_channels: int = 1
    prior: MapNetwork
    posterior: MapNetwork

    def logits_of(self, prior: Decoded, size: Sequence[int]) -> Tensor:
        """Return the logits (B, classes, H, W) at the latent maps of the prior; `size` is H, W."""
        raise NotImplementedError

    def encode_and_decode(
        self, image: Tensor, mask: Tensor, noise: list[Tensor]
    ) -> tuple[Decoded, Decoded]:
        """Return the posterior, and the prior at the posterior's latent maps."""
        seen = torch.cat([image, as_input(mask, self.classes, image.dtype)], dim=1)
        posterior = self.posterior.decode(self.posterior.encode(seen), lambda i, q: q.at(noise[i]))
        maps = posterior.maps
        prior = self.prior.decode(self.prior.encode(image), lambda i, p: maps[i])
        return posterior, prior

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n samples of the prior, and the segmentation at its mean on every scale.

        There is no mean vector of the prior: its maps depend on those of coarser scales.
        """
        features, size = self.prior.encode(image), image.shape[-2:]

        def segment(choose: Choose, see: See | None) -> Tensor:
            return sampled(self.logits_of(self.prior.decode(features, choose), size), see)

        def sample() -> Tensor:
            # one after the other: the first samples do not depend on n
            each = [self.noise(1, image, generator) for generator in generators]
            noise = [torch.cat(maps) for maps in zip(*each, strict=True)]
            return segment(lambda i, p: p.at(noise[i]), see)

        return Hypotheses(
            samples=torch.stack([sample() for _ in range(n)]),
            deterministic=segment(lambda i, p: p.mean, None),
        )

    @torch.no_grad()
    def reconstruct(self, image: Tensor, masks: Tensor) -> Tensor:
        """Return the segmentations at the posterior's means on every scale."""
        zeros = [torch.zeros_like(one) for one in self.noise(len(image), image, Generator())]
        each = [self.encode_and_decode(image, mask, zeros)[1] for mask in masks.unbind(1)]
        size = image.shape[-2:]
        return torch.stack([most_likely(self.logits_of(prior, size)) for prior in each], dim=1)

    def noise(self, count: int, image: Tensor, generator: Generator) -> list[Tensor]:
        """Return standard normal noise for each latent map, (count, channels, h_i, w_i)."""
        scales = range(self.scales - 1, self.scales - 1 - self.latent_scales, -1)
        height, width = image.shape[-2:]
        shapes = [(count, self.latent_channels, height >> s, width >> s) for s in scales]
        return [sent(torch.randn(shape, generator=generator), image.device) for shape in shapes]


def kl_of_maps(posterior: Decoded, prior: Decoded) -> Tensor:
    """Return KL(q || p) of each latent map, summed over its pixels: (maps, B) float32."""
    pairs = zip(posterior.distributions, prior.distributions, strict=True)
    return torch.stack([kl_divergence(_flat(q), _flat(p)) for q, p in pairs])


def _flat(gaussian: Gaussian) -> Gaussian:
    """Return the distribution with its maps (B, channels, h, w) as vectors."""
    return Gaussian(gaussian.mean.flatten(1), gaussian.log_sigma.flatten(1))
