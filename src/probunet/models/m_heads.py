"""M-Heads: a U-Net with m outputs, trained mainly by the best of them.

    L = (1 - e) min_j CE_j + e / (m - 1) sum_{j != best} CE_j

CE_j is the cross-entropy of head j, summed over pixels; the best head is chosen for each image.

From Kohl et al. 2018 (section 4): a baseline whose heads branch off after the last layer, trained
by the multi-choice (oracle) loss. From Rupprecht et al. 2017 ("Learning in an uncertain world"):
the small share e of the other heads; without it, a head that is never the best never learns.
Chosen: 1x1 convolutions as heads; m = 16, the largest number of scored samples; e = 0.05, as in
Rupprecht et al.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.segmentation import Logits, cross_entropy, for_each_mask, most_likely
from probunet.models.unet import UNet


class MHeads(Model):
    """U-Net and m heads.

    Parameters
    ----------
    heads
        m, the number of different hypotheses.
    others
        e, the share of the loss that all heads except the best have together.
    """

    several_masks = True

    def __init__(self, architecture: Architecture, *, heads: int, others: float) -> None:
        super().__init__()
        self.classes, self.heads, self.others = architecture.classes, heads, others
        self.population = heads
        self.unet = UNet(architecture)
        self.logits = Logits(architecture.channels[0], heads * architecture.classes)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the multi-choice loss; beta and generator have no effect."""
        logits = for_each_mask(self(image), mask)
        by_head = torch.stack([cross_entropy(one, mask) for one in logits.unbind(1)])
        best = by_head.min(dim=0).values
        if self.heads > 1:
            rest = (by_head.sum(dim=0) - best) / (self.heads - 1)
            best = (1 - self.others) * best + self.others * rest
        return Loss.without_kl(best.mean())

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, heads, classes, H, W) of images (B, in_channels, H, W)."""
        logits: Tensor = self.logits(self.unet(image))
        return logits.view(len(image), self.heads, self.classes, *image.shape[-2:])

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return the segmentations of n heads, in an order that is drawn for each image.

        The first m samples are all heads, each once, so that fewer samples are an unbiased choice
        of them. After m samples the heads repeat in another order: n > m adds no new hypotheses.
        The deterministic segmentation is that of the mean probability over all heads.
        """
        logits = self(image)
        by_head = most_likely(logits, dim=2)  # (B, heads, H, W)
        rounds = -(-n // self.heads)
        orders, samples = [], []
        for one, generator in zip(by_head, generators, strict=True):
            order = [torch.randperm(self.heads, generator=generator) for _ in range(rounds)]
            orders.append(sent(torch.cat(order)[:n], image.device))
            samples.append(one[orders[-1]])
        if see is not None:
            for heads in torch.stack(orders, dim=1):  # (B,), the head of each image
                see(torch.stack([one[head] for one, head in zip(logits, heads, strict=True)]))
        return Hypotheses(
            samples=torch.stack(samples, dim=1),
            deterministic=most_likely(logits.softmax(dim=2).mean(dim=1)),
        )
