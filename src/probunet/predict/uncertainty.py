"""Mean probability, entropy and mutual information of samples, one sample at a time.

Of a pixel with the probabilities p_s of each sample s:

    mean   p = 1/n sum_s p_s
    H[p]   entropy: all uncertainty, in nats
    I      mutual information: H[p] - 1/n sum_s H[p_s], what differs between samples
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

    def see(self, logits: Tensor) -> None:
        """Add a sample's logits (B, classes, H, W)."""
        logs = F.log_softmax(logits.float(), dim=1)
        probabilities = logs.exp()
        self.count += 1
        self._within = self._within - (probabilities * logs).sum(dim=1)
        self._mean = self._mean + probabilities

    def maps(self, samples: Tensor, classes: int) -> Maps:
        """Return the maps; of a model that shows no logits, from its samples (n, B, H, W)."""
        if self.count == 0:
            for one in samples.long():
                self._mean = self._mean + F.one_hot(one, classes).movedim(-1, 1).float()
            self._within, self.count = torch.zeros_like(samples[0]).float(), len(samples)
        assert isinstance(self._mean, Tensor)
        mean = self._mean / self.count
        entropy = -torch.xlogy(mean, mean).sum(dim=1)
        return Maps(mean, entropy, (entropy - self._within / self.count).clamp_(min=0))
