"""Mean probability, entropy and mutual information of samples, one sample at a time.

Of a pixel with the probabilities p_s of each sample s:

    mean   p = 1/n sum_s p_s
    H[p]   entropy: all uncertainty, in nats
    I      mutual information: H[p] - 1/n sum_s H[p_s], what differs between samples

Samples with weights count by them in both sums; the weights of an image are 1 on average.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Maps(NamedTuple):
    """What is known of the samples of a batch of images, float32."""

    mean: Tensor  # (B, classes, H, W)
    entropy: Tensor  # (B, H, W), nats
    mutual_information: Tensor  # (B, H, W), nats


class Uncertainty:
    """Adds up samples that a model shows; see `models.base.See`."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | float = 0.0
        self._within: Tensor | float = 0.0

    def see(self, logits: Tensor, weights: Tensor | None = None) -> None:
        """Add a sample's logits (B, classes, H, W), with its weights (B,) if it has any."""
        logs = F.log_softmax(logits.float(), dim=1)
        probabilities = logs.exp()
        self.count += 1
        self._within = self._within - _times(weights, (probabilities * logs).sum(dim=1))
        self._mean = self._mean + _times(weights, probabilities)

    def maps(self, samples: Tensor, classes: int, weights: Tensor | None = None) -> Maps:
        """Return the maps; of a model that shows no logits, from its samples (n, B, H, W).

        `weights` (B, n) are those of the samples, see `models.base.Hypotheses`.
        """
        if self.count == 0:
            for i, one in enumerate(samples.long()):
                of_classes = F.one_hot(one, classes).movedim(-1, 1).float()
                own = None if weights is None else weights[:, i]
                self._mean = self._mean + _times(own, of_classes)
            self._within, self.count = torch.zeros_like(samples[0]).float(), len(samples)
        assert isinstance(self._mean, Tensor)
        mean = self._mean / self.count
        entropy = -torch.xlogy(mean, mean).sum(dim=1)
        return Maps(mean, entropy, (entropy - self._within / self.count).clamp_(min=0))


def _times(weights: Tensor | None, values: Tensor) -> Tensor:
    """Return values (B, ...) times the weights (B,) of their images."""
    return values if weights is None else values * weights.view(-1, *[1] * (values.ndim - 1))
