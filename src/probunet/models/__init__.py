"""Models by name. A further model is one file here and one line in the registry.

Imports nothing but torch and NumPy, so that a model can be used without the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from probunet.errors import ProbunetError
from probunet.models.base import Hypotheses, Loss, Model
from probunet.models.probabilistic_unet import ProbabilisticUNet

__all__ = ["MODELS", "Hypotheses", "Loss", "Model", "build"]

MODELS: Mapping[str, Callable[..., Model]] = {
    "probabilistic_unet": ProbabilisticUNet,
}


def build(
    name: str,
    architecture: Mapping[str, Any],
    *,
    in_channels: int = 1,
    classes: int = 2,
    seed: int = 0,
) -> Model:
    """Return the model of this name, its weights drawn from the seed.

    Parameters
    ----------
    name
        A key of `MODELS`.
    architecture
        The fields of `config.Architecture` by name.

    Raises
    ------
    ProbunetError
        If there is no model of this name.
    """
    if name not in MODELS:
        raise ProbunetError(f"{name}: no such model; choose one of: {', '.join(MODELS)}.")
    generator = torch.Generator().manual_seed(seed)
    return MODELS[name](in_channels, classes, **architecture, generator=generator)
