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

    Sample i is sample i // m of member i % m, which draws as it does alone; if a member's samples
    have weights, these divide what the member counts. The single best guess is the class with the
    largest mean probability over all samples.
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
        weights: Tensor | None = None

        def show(logits: Tensor, *of_sample: Tensor) -> None:
            total.see(logits, *of_sample)
            if see is not None:
                see(logits, *of_sample)

        for k, member in enumerate(self.members):
            places = range(k, n, len(self.members))
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            if places:
                drawn = cast(Model, member).draw(image, len(places), generators, show)
                for place, sample in zip(places, drawn.samples, strict=True):
                    samples[place] = sample
                if drawn.sample_weights is not None:
                    if weights is None:
                        weights = image.new_ones(len(image), n, dtype=torch.float32)
                    weights[:, k :: len(self.members)] = drawn.sample_weights
        together = torch.stack([one for one in samples if one is not None])
        mean = total.maps(together, self.classes, weights).mean
        best = mean.argmax(dim=1).to(torch.uint8)
        return Hypotheses(together, best, sample_weights=weights)


def combine(models: Sequence[Model], classes: int) -> Model:
    """Return models as one; U-Nets as the ensemble that a study samples."""
    if len(models) == 1:
        return models[0]
    if all(isinstance(one, PlainUNet) for one in models):
        return UNetEnsemble(models)  # type: ignore[arg-type]
    return Mixture(models, classes)
