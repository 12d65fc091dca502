"""Stochastic Segmentation Networks: a normal distribution over all logits of an image at once.

    eta ~ N(mu(x), P(x) P(x)^T + D(x)),   P of rank R, D diagonal;   y = argmax eta

    L = -log 1/S sum_s p(y | eta_s) = log S - logsumexp_s(-CE_s)

CE_s is the cross-entropy of the s-th sample of the logits, summed over pixels. The average is over
whole segmentations, so that pixels can vary together.

From Monteiro et al. 2020 ("Stochastic Segmentation Networks", arXiv 2006.06015): the distribution,
rank 10, the Monte-Carlo loss with 20 samples, and one 1x1 convolution of a network's features for
each of the mean, D and P.
Chosen: the features are those of the Probabilistic U-Net's own U-Net; the logarithm of D's standard
deviation is limited smoothly, like that of the latent space; background pixels have no special
weight; D and P start with a hundredth of the drawn weights, because with the full weights the noise
hides the mean. Samples are independent and drawn one by one, so that the first ones do not depend
on how many are drawn; the release draws antithetic pairs (each noise, and its negative).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.latent import bounded
from probunet.models.noise import normal_per_image, on_device
from probunet.models.segmentation import (
    Logits,
    for_each_mask,
    most_likely,
    pixelwise_cross_entropy,
    sampled,
)
from probunet.models.unet import UNet

SMALL = 0.01  # times the weights that `Model.initialise` draws


class LowRankNormal(NamedTuple):
    """A normal distribution over the logits of each image of a batch, float32."""

    mean: Tensor  # (B, H, W, classes)
    factor: Tensor  # (B, H, W, classes, rank), P
    sigma: Tensor  # (B, H, W, classes), square root of D

    def at(self, shared: Tensor, single: Tensor) -> Tensor:
        """Return the logits (S, B, H, W, classes) for standard normal noise.

        Parameters
        ----------
        shared : (S, B, rank)
            The noise that all pixels of an image share.
        single : (S, B, H, W, classes)
            The noise of each logit.
        """
        together = torch.einsum("bhwcr,sbr->sbhwc", self.factor, shared)
        return self.mean + together + self.sigma * single


class StochasticSegmentationNetwork(Model):
    """U-Net and a distribution over logits.

    Parameters
    ----------
    rank
        R, columns of P.
    loss_samples
        S, samples of the logits for the loss.
    """

    several_masks = True

    def __init__(self, architecture: Architecture, *, rank: int, loss_samples: int) -> None:
        super().__init__()
        features, classes = architecture.channels[0], architecture.classes
        self.classes, self.rank, self.loss_samples = classes, rank, loss_samples
        self.unet = UNet(architecture)
        self.mean = Logits(features, classes)
        self.log_sigma = Logits(features, classes)
        self.factor = Logits(features, classes * rank)

    @torch.no_grad()
    def initialise(self, how: str, generator: Generator) -> None:
        """Draw all weights; multiply those of D and P by `SMALL`."""
        super().initialise(how, generator)
        self.log_sigma.weight *= SMALL
        self.factor.weight *= SMALL

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the Monte-Carlo estimate of -log p(y | x); beta has no effect."""
        shared = torch.randn(self.loss_samples, len(mask), self.rank, generator=generator)
        shape = (self.loss_samples, *mask.shape, self.classes)
        there = on_device(generator, image.device)
        single = torch.randn(shape, generator=there, device=image.device)
        return Loss.without_kl(self(image, mask, sent(shared, image.device), single))

    def forward(self, image: Tensor, mask: Tensor, shared: Tensor, single: Tensor) -> Tensor:
        """Return the loss for this noise (see `LowRankNormal.at`), mean over the batch."""
        distribution = (for_each_mask(part, mask) for part in self.distribution(image))
        logits = LowRankNormal(*distribution).at(shared, single)
        masks = mask.expand(len(logits), *mask.shape)
        pixels = pixelwise_cross_entropy(logits.flatten(0, 3), masks.flatten())
        each = pixels.view(*shared.shape[:2], -1).sum(dim=2)  # (S, B)
        return (math.log(len(each)) - torch.logsumexp(-each, dim=0)).mean()

    def distribution(self, image: Tensor) -> LowRankNormal:
        """Return the distribution over the logits of images (B, in_channels, H, W)."""
        features = self.unet(image)
        factor = self.factor(features).movedim(1, -1)
        return LowRankNormal(
            mean=self.mean(features).movedim(1, -1),
            factor=factor.view(*factor.shape[:-1], self.classes, self.rank),
            sigma=bounded(self.log_sigma(features)).exp().movedim(1, -1),
        )

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return the segmentations of n samples of the logits, and of their mean."""
        distribution = self.distribution(image)
        there = [on_device(generator, image.device) for generator in generators]
        shape = distribution.mean.shape[1:]
        samples = []
        for _ in range(n):  # one by one: the noise of all samples needs much memory
            shared = normal_per_image(1, self.rank, generators, image.device)
            single = [torch.randn(shape, generator=own, device=image.device) for own in there]
            logits = distribution.at(shared, torch.stack(single)[None])[0]
            samples.append(sampled(logits, see, dim=-1))
        return Hypotheses(torch.stack(samples), most_likely(distribution.mean, dim=-1))
