"""The U-Net ensemble: as many hypotheses as there are members (Lakshminarayanan et al. 2017).

From the paper (Kohl et al. 2018, section 4): U-Nets trained independently of each other, as many as
samples are wanted, each of which gives one of them.
Chosen: members differ in their initial weights and in the batches that they see, both by a seed of
their own. Where more samples are asked for than there are members they come again from the first
on. The single best guess is the class of the greatest probability, averaged over all members.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from probunet.models.base import Hypotheses, Model
from probunet.models.plain_unet import PlainUNet
from probunet.models.segmentation import most_likely


class UNetEnsemble(Model):
    """Trained U-Nets, side by side. It has no loss: its members are trained one by one."""

    def __init__(self, members: Sequence[PlainUNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @torch.no_grad()
    def draw(self, image: Tensor, n: int, generators: Sequence[Generator]) -> Hypotheses:
        """Return the segmentation of member i as sample i; nothing is drawn. See `Model.draw`."""
        total: Tensor | float = 0.0  # of the members' probabilities, (B, classes, H, W)
        each = []
        for member in self.members:  # one at a time: many classes at full size are much memory
            logits = member(image)
            each.append(most_likely(logits))
            total = total + logits.softmax(dim=1)
        assert isinstance(total, Tensor)
        samples = torch.stack([each[i % len(each)] for i in range(n)])
        return Hypotheses(samples, most_likely(total))
