"""M-Heads: a U-Net with m outputs, trained so that the best of them counts.

    L = (1 - e) min_j CE_j + e / (m - 1) sum_{j != best} CE_j

CE_j is the cross-entropy of head j, summed over pixels; the best head is chosen for each image.

From Kohl et al. 2018 (section 4): a baseline whose heads branch off after the last layer, trained
by the multi-choice (oracle) loss. From Rupprecht et al. 2017 ("Learning in an uncertain world"):
the small share e of the other heads, without which a head that never wins never learns.
Chosen: 1x1 convolutions as heads; m = 16, the most samples that are scored; e = 0.05, Rupprecht's.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.base import Hypotheses, Loss, Model
from probunet.models.segmentation import Logits, cross_entropy, most_likely
from probunet.models.unet import UNet, initialise


class MHeads(Model):
    """U-Net and m heads.

    Parameters
    ----------
    heads
        m, how many different hypotheses there are.
    others
        e, the share of the loss that the heads have together that are not the best.

    The others are those of `ProbabilisticUNet`.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: Sequence[int],
        convolutions: int,
        initialisation: str,
        heads: int,
        others: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.classes, self.heads, self.others = classes, heads, others
        self.unet = UNet(in_channels, channels, convolutions)
        self.logits = Logits(channels[0], heads * classes)
        initialise(self, initialisation, generator)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the multi-choice loss; beta has no effect, and nothing is drawn."""
        by_head = torch.stack([cross_entropy(one, mask) for one in self(image).unbind(1)])
        best = by_head.min(dim=0).values
        if self.heads > 1:
            rest = (by_head.sum(dim=0) - best) / (self.heads - 1)
            best = (1 - self.others) * best + self.others * rest
        reconstruction = best.mean()
        return Loss(reconstruction, reconstruction, torch.zeros_like(reconstruction))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, heads, classes, H, W) of images (B, in_channels, H, W)."""
        logits: Tensor = self.logits(self.unet(image))
        return logits.view(len(image), self.heads, self.classes, *image.shape[-2:])

    @torch.no_grad()
    def draw(self, image: Tensor, n: int, generators: Sequence[Generator]) -> Hypotheses:
        """Return n heads' segmentations, in an order that is drawn for each image.

        The first m are all the heads, once each, so that fewer samples are an unbiased choice of
        them. Beyond m the heads come again, in another order: n > m adds no new hypotheses.
        The deterministic segmentation is that of the heads' mean probability.
        """
        logits = self(image)
        by_head = most_likely(logits, dim=2)  # (B, heads, H, W)
        rounds = -(-n // self.heads)
        samples = []
        for one, generator in zip(by_head, generators, strict=True):
            order = [torch.randperm(self.heads, generator=generator) for _ in range(rounds)]
            samples.append(one[torch.cat(order)[:n].to(image.device)])
        return Hypotheses(
            samples=torch.stack(samples, dim=1),
            deterministic=most_likely(logits.softmax(dim=2).mean(dim=1)),
        )
