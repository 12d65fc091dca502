"""An ensemble of trained models of any kind: its samples are those of its members in turn."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Generator, Tensor, nn

from probunet.models import Hypotheses, Model, UNetEnsemble
from probunet.models.base import See
from probunet.models.plain_unet import PlainUNet
from probunet.predict.uncertainty import Uncertainty


class Mixture(Model):
    """Trained models with equal weights.

    Sample i is sample i // m of member i % m, which draws as it does alone. The single best guess
    is the class with the largest mean probability over all samples.
    """

    def __init__(self, members: Sequence[Model], classes: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.classes = classes

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n samples of each image; see `Model.draw`."""
        total, states = Uncertainty(), [one.get_state() for one in generators]
        samples: list[Tensor | None] = [None] * n

        def show(logits: Tensor) -> None:
            total.see(logits)
            if see is not None:
                see(logits)

        for k, member in enumerate(self.members):
            places = range(k, n, len(self.members))
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            if places:
                drawn = cast(Model, member).draw(image, len(places), generators, show)
                for place, sample in zip(places, drawn.samples, strict=True):
                    samples[place] = sample
        together = torch.stack([one for one in samples if one is not None])
        mean = total.maps(together, self.classes).mean
        return Hypotheses(together, mean.argmax(dim=1).to(torch.uint8))


def combine(models: Sequence[Model], classes: int) -> Model:
    """Return models as one; U-Nets as the ensemble that a study samples."""
    if len(models) == 1:
        return models[0]
    if all(isinstance(one, PlainUNet) for one in models):
        return UNetEnsemble(models)  # type: ignore[arg-type]
    return Mixture(models, classes)
