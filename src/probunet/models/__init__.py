"""Models by name. A further model is one file here and one line in the registry.

`UNetEnsemble` has none, since it is not trained as a whole: it is made of trained models `unet`.

Imports nothing but torch and NumPy, so that a model can be used without the rest.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from probunet.errors import ProbunetError
from probunet.models.base import Hypotheses, Loss, Model
from probunet.models.dropout_unet import DropoutUNet
from probunet.models.hierarchical_probabilistic_unet import HierarchicalProbabilisticUNet
from probunet.models.image2image_vae import Image2ImageVAE
from probunet.models.m_heads import MHeads
from probunet.models.plain_unet import PlainUNet
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.stochastic_segmentation_network import StochasticSegmentationNetwork
from probunet.models.unet_ensemble import UNetEnsemble

__all__ = ["MODELS", "Hypotheses", "Loss", "Model", "UNetEnsemble", "build"]

MODELS: Mapping[str, Callable[..., Model]] = {
    "probabilistic_unet": ProbabilisticUNet,
    "unet": PlainUNet,
    "dropout_unet": DropoutUNet,
    "m_heads": MHeads,
    "image2image_vae": Image2ImageVAE,
    "stochastic_segmentation_network": StochasticSegmentationNetwork,
    "hierarchical_probabilistic_unet": HierarchicalProbabilisticUNet,
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
        What `config.Settings.architecture_of` gives: the shared settings and the model's own. The
        model takes those that its constructor names.

    Raises
    ------
    ProbunetError
        If there is no model of this name.
    """
    if name not in MODELS:
        raise ProbunetError(f"{name}: no such model; choose one of: {', '.join(MODELS)}.")
    model = MODELS[name]
    named = inspect.signature(model).parameters
    own = {field: value for field, value in architecture.items() if field in named}
    return model(in_channels, classes, **own, generator=torch.Generator().manual_seed(seed))
