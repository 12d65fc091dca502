"""The Dropout U-Net: a U-Net that also uses dropout when it samples (Monte-Carlo dropout).

From Kohl et al. 2018 (section 4, after Kendall et al. 2017, Bayesian SegNet): dropout with p = 0.5
on the incoming layers of the three inner-most encoder and decoder blocks, in training and in
sampling.
Chosen: single values are dropped, not channels; kept values are divided by 1 - p; the image itself
is never dropped, even with few scales; one 1x1 convolution gives the logits.
`loss` and `draw` pass the kept values explicitly: `train()` and `eval()` do not switch the dropout.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.noise import on_device
from probunet.models.segmentation import Logits, cross_entropy, for_each_mask, most_likely, sampled
from probunet.models.unet import UNet, upsample


class DropoutUNet(Model):
    """U-Net with dropout before its inner blocks.

    Parameters
    ----------
    probability
        p, the probability that a value is dropped.
    blocks
        Inner-most blocks of the encoder, and of the decoder, that have dropout.
    """

    several_masks = True

    def __init__(self, architecture: Architecture, *, probability: float, blocks: int) -> None:
        super().__init__()
        self.channels, self.probability = architecture.channels, probability
        # the outermost scales with dropout
        self.first_encoder = max(1, len(self.channels) - blocks)
        self.first_decoder = max(0, len(self.channels) - 1 - blocks)
        self.unet = UNet(architecture)
        self.logits = Logits(self.channels[0], architecture.classes)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the cross-entropy under dropout; beta has no effect."""
        there = on_device(generator, image.device)
        kept = [
            _keep((len(image), *shape), self.probability, there) for shape in self._inputs(image)
        ]
        logits = for_each_mask(self(image, kept), mask)
        return Loss.without_kl(cross_entropy(logits, mask).mean())

    def forward(self, image: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, H, W); `kept` is a tensor for each entry of `_inputs`."""
        return self.inner(self.outer(image), kept)

    def outer(self, image: Tensor) -> list[Tensor]:
        """Return the features of the encoder's scales before the first dropout."""
        features = [self.unet.encoder.scales[0](image.clone(memory_format=torch.channels_last))]
        for block in self.unet.encoder.scales[1 : self.first_encoder]:
            features.append(block(F.avg_pool2d(features[-1], 2)))
        return features

    def inner(self, outer: list[Tensor], kept: Sequence[Tensor] | None) -> Tensor:
        """Return logits from the features of `outer`; without dropout if `kept` is None."""
        drop = self._dropping(kept)
        features = list(outer)
        for block in self.unet.encoder.scales[self.first_encoder :]:
            features.append(block(drop(F.avg_pool2d(features[-1], 2))))
        x = features.pop()
        for scale in reversed(range(len(features))):
            x = torch.cat([features[scale], upsample(x, features[scale])], dim=1)
            x = self.unet.decoder.scales[scale](drop(x) if scale >= self.first_decoder else x)
        logits: Tensor = self.logits(x)
        return logits

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n segmentations with dropout, and one without."""
        outer = self.outer(image)
        there = [on_device(generator, image.device) for generator in generators]
        samples = []
        for _ in range(n):
            kept = [
                torch.cat([_keep((1, *shape), self.probability, one) for one in there])
                for shape in self._inputs(image)
            ]
            samples.append(sampled(self.inner(outer, kept), see))
        return Hypotheses(torch.stack(samples), most_likely(self.inner(outer, None)))

    def _inputs(self, image: Tensor) -> list[tuple[int, int, int]]:
        """Return channels, height and width of each input with dropout, in the order of use."""
        height, width = image.shape[-2:]
        last = len(self.channels) - 1
        encoder = [(s, self.channels[s - 1]) for s in range(self.first_encoder, last + 1)]
        decoder = [
            (s, self.channels[s] + self.channels[s + 1])
            for s in reversed(range(self.first_decoder, last))
        ]
        return [(channels, height >> s, width >> s) for s, channels in encoder + decoder]

    def _dropping(self, kept: Sequence[Tensor] | None) -> Callable[[Tensor], Tensor]:
        """Return a function that applies the next tensor of `kept` to its argument."""
        if kept is None:
            return lambda x: x
        following = iter(kept)
        return lambda x: torch.where(next(following), x / (1 - self.probability), 0)


def _keep(shape: tuple[int, int, int, int], probability: float, generator: Generator) -> Tensor:
    """Return which values are kept, (B, C, H, W) bool, channels last in memory."""
    batch, channels, height, width = shape
    keep = torch.empty(batch, height, width, channels, dtype=torch.bool, device=generator.device)
    return keep.bernoulli_(1 - probability, generator=generator).movedim(-1, 1)
