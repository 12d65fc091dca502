"""The plain U-Net: one deterministic segmentation, the baseline of every comparison.

Ronneberger et al. 2015, with the convolutions and resampling of the Probabilistic U-Net's own
U-Net (Kohl et al. 2018, appendix H.1), so that the two models differ only in the latent space.

From the paper: channels, convolutions, initialisation, the loss's reduction.
Chosen: one 1x1 convolution from features to logits, instead of f_comb.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.segmentation import Logits, cross_entropy, for_each_mask, most_likely
from probunet.models.unet import UNet


class PlainUNet(Model):
    """U-Net and logits."""

    population = 1
    several_masks = True

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.unet = UNet(architecture)
        self.logits = Logits(architecture.channels[0], architecture.classes)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the cross-entropy; beta and generator have no effect."""
        return Loss.without_kl(cross_entropy(for_each_mask(self(image), mask), mask).mean())

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of images (B, in_channels, H, W)."""
        logits: Tensor = self.logits(self.unet(image))
        return logits

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return the one segmentation, n times."""
        logits = self(image)
        segmentation = most_likely(logits)
        if see is not None:
            for _ in range(n):
                see(logits)
        return Hypotheses(segmentation.expand(n, *segmentation.shape), segmentation)
