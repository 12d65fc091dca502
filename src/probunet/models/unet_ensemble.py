"""The U-Net ensemble: one hypothesis per member (Lakshminarayanan et al. 2017).

From the paper (Kohl et al. 2018, section 4): U-Nets trained independently of each other, one for
each sample.
Chosen: each member has its own seed, and so its own initial weights and batches. If there are fewer
members than samples, the members repeat from the first. The single best guess is the class with the
largest mean probability over all members.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from probunet.models.base import Hypotheses, Model, See
from probunet.models.plain_unet import PlainUNet
from probunet.models.segmentation import most_likely


class UNetEnsemble(Model):
    """A list of trained U-Nets. It has no loss: its members are trained one by one."""

    def __init__(self, members: Sequence[PlainUNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.population = len(members)

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return the segmentation of member i as sample i; see `Model.draw`.

        The generators have no effect.
        """
        total: Tensor | float = 0.0  # sum of the members' probabilities, (B, classes, H, W)
        each, all_logits = [], []
        for member in self.members:  # one at a time: the logits of many classes need much memory
            logits = member(image)
            each.append(most_likely(logits))
            total = total + logits.softmax(dim=1)
            if see is not None:
                all_logits.append(logits)
        assert isinstance(total, Tensor)
        if see is not None:
            for i in range(n):
                see(all_logits[i % len(each)])
        samples = torch.stack([each[i % len(each)] for i in range(n)])
        return Hypotheses(samples, most_likely(total))
