"""Models by name. To add one, write one file here and add one line to the registry.

`UNetEnsemble` is not in the registry, because it is not trained as a whole: it consists of trained
`unet` models.

Imports only torch and NumPy, so that a model can be used without the rest of the package.
"""

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

from probunet.errors import ProbunetError
from probunet.models.base import Architecture, Hypotheses, Loss, Model
from probunet.models.ccdm import CCDM
from probunet.models.dropout_unet import DropoutUNet
from probunet.models.hierarchical_probabilistic_unet import HierarchicalProbabilisticUNet
from probunet.models.image2image_vae import Image2ImageVAE
from probunet.models.m_heads import MHeads
from probunet.models.mose import MoSE
from probunet.models.phiseg import PHiSeg
from probunet.models.plain_unet import PlainUNet
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.stochastic_segmentation_network import StochasticSegmentationNetwork
from probunet.models.unet_ensemble import UNetEnsemble

__all__ = [
    "MODELS",
    "Architecture",
    "Hypotheses",
    "Loss",
    "Model",
    "UNetEnsemble",
    "build",
    "outline",
]

MODELS: Mapping[str, type[Model]] = {
    "probabilistic_unet": ProbabilisticUNet,
    "unet": PlainUNet,
    "dropout_unet": DropoutUNet,
    "m_heads": MHeads,
    "image2image_vae": Image2ImageVAE,
    "stochastic_segmentation_network": StochasticSegmentationNetwork,
    "phiseg": PHiSeg,
    "hierarchical_probabilistic_unet": HierarchicalProbabilisticUNet,
    "mose": MoSE,
    "ccdm": CCDM,
}


def build(
    name: str,
    architecture: Mapping[str, Any],
    *,
    in_channels: int = 1,
    classes: int = 2,
    seed: int = 0,
) -> Model:
    """Return the model of this name, with weights drawn from the seed.

    Parameters
    ----------
    name
        A key of `MODELS`.
    architecture
        The result of `config.Settings.architecture_of`: the fields of `Architecture` and the
        model's own parameters. Keys that the model has no parameter for are ignored.
    in_channels, classes
        Channels of an image and classes of a segmentation, see `Architecture`.
    seed
        Of the initial weights.

    Raises
    ------
    ProbunetError
        If there is no model of this name.
    TypeError
        If a parameter is missing in `architecture`.
    """
    model, shared = _construct(name, architecture, in_channels, classes)
    model.initialise(shared.initialisation, torch.Generator().manual_seed(seed))
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def outline(
    name: str, architecture: Mapping[str, Any], *, in_channels: int, classes: int, most: int
) -> Model:
    """Return the model that `build` returns, on the device "meta": its weights take no memory.

    Raises
    ------
    ValueError
        If it has more than `most` parameters; it is noticed before all of them are created.
    """
    left = itertools.count(most - 1, -1)

    def count(module: object, parameter: str, value: object) -> None:
        if next(left) < 0:
            raise ValueError(f"a network of more than {most} parameters")

    with torch.device("meta"), register_module_parameter_registration_hook(count):
        return _construct(name, architecture, in_channels, classes)[0]


def _construct(
    name: str, architecture: Mapping[str, Any], in_channels: int, classes: int
) -> tuple[Model, Architecture]:
    """Return a model with torch's own initial weights, and what all models have in common."""
    if name not in MODELS:
        raise ProbunetError(f"{name}: no such model; choose one of: {', '.join(MODELS)}.")
    values = {**architecture, "in_channels": in_channels, "classes": classes}
    shared = Architecture(**_parameters_of(Architecture, values))
    return MODELS[name](shared, **_parameters_of(MODELS[name], values)), shared


def _parameters_of(constructor: Callable[..., object], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the constructor has a parameter for."""
    named = inspect.signature(constructor).parameters
    return {name: value for name, value in values.items() if name in named}
