"""Validation of a model that draws in steps."""

from types import SimpleNamespace

import numpy as np
import torch

from probunet.models import build
from probunet.train.validation import validate
from support.settings import tiny_settings

SETTINGS = tiny_settings()  # four steps in validation, of 20


def seen(stops: list[bool]) -> tuple[object, int]:
    """Return the scores with these answers of `stop`, and how often the network was asked."""
    model = build("ccdm", SETTINGS.architecture_of("ccdm"))
    passes: list[int] = []
    model.unet.register_forward_hook(lambda *_: passes.append(1))
    subset = SimpleNamespace(
        rows=np.arange(3),
        in_tiles=None,
        images=lambda part: torch.zeros(3, 1, 16, 16),
        kept=lambda samples: samples.movedim(0, 1).numpy(),
        scores=lambda samples, *_: SimpleNamespace(
            ged=np.full(3, samples.shape[1]), diversity=np.zeros(3)
        ),
    )
    answers = iter(stops)
    return validate(model, subset, SETTINGS, 0, lambda: next(answers, False)), len(passes)


def test_it_takes_the_steps_of_validation() -> None:
    assert seen([]) == ((2.0, 0.0), 4)


def test_it_stops_between_two_steps() -> None:
    assert seen([False, False, False, True]) == (None, 2)
    assert seen([True]) == (None, 0)
