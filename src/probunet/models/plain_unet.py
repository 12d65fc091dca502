"""The plain U-Net: one deterministic segmentation, the zero line of every comparison.

Ronneberger et al. 2015, with the convolutions and resampling of the Probabilistic U-Net's own
U-Net (Kohl et al. 2018, appendix H.1), so that what differs is the latent space alone.

From the paper: channels, convolutions, initialisation, the loss's reduction.
Chosen: one 1x1 convolution from features to logits, in the place of f_comb.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.base import Hypotheses, Loss, Model
from probunet.models.segmentation import Logits, cross_entropy, most_likely
from probunet.models.unet import UNet, initialise


class PlainUNet(Model):
    """U-Net and logits; parameters as in `ProbabilisticUNet`."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: Sequence[int],
        convolutions: int,
        initialisation: str,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.unet = UNet(in_channels, channels, convolutions)
        self.logits = Logits(channels[0], classes)
        initialise(self, initialisation, generator)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the cross-entropy; beta has no effect, and nothing is drawn."""
        reconstruction = cross_entropy(self(image), mask).mean()
        return Loss(reconstruction, reconstruction, torch.zeros_like(reconstruction))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of images (B, in_channels, H, W)."""
        logits: Tensor = self.logits(self.unet(image))
        return logits

    @torch.no_grad()
    def draw(self, image: Tensor, n: int, generators: Sequence[Generator]) -> Hypotheses:
        """Return the one segmentation, n times."""
        segmentation = most_likely(self(image))
        return Hypotheses(segmentation.expand(n, *segmentation.shape), segmentation)
