"""Names and numbers as a reader sees them."""

import math

from probunet.config import WITHOUT_KL, drawn_elsewhere
from probunet.datasets import BUILT_IN, find
from probunet.run import format_beta
from probunet.scores import DEGENERATE

NBSP = "\N{NO-BREAK SPACE}"
MODELS = {
    "probabilistic_unet": "Probabilistic U-Net",
    "unet": "U-Net",
    "dropout_unet": "Dropout U-Net",
    "unet_ensemble": "U-Net ensemble",
    "m_heads": "M-Heads",
    "image2image_vae": "Image2Image VAE",
    "stochastic_segmentation_network": "Stochastic Segmentation Network",
    "phiseg": "PHiSeg",
    "hierarchical_probabilistic_unet": "Hierarchical Probabilistic U-Net",
    "mose": "MoSE",
    "ccdm": "CCDM",
    "deterministic": "Deterministic (prior mean)",
}


def predictor(model: str, beta: float, dataset: str) -> str:
    """Return a row's name in the tables, without beta if it has none or beta has no effect.

    >>> predictor("empty", math.nan, "eyes")
    'Always empty'
    >>> predictor("probabilistic_unet", 10.0, "eyes").replace(NBSP, " ")
    'Probabilistic U-Net, β = 10'
    >>> predictor("deterministic (m_heads)", 1.0, "eyes")
    'Deterministic (M-Heads)'
    >>> predictor("theirs", 1.0, "eyes")
    'theirs (drawn elsewhere)'
    """
    kind, _, owner = model.removesuffix(")").partition(" (")
    name = MODELS.get(kind) or find(dataset).predictors.get(kind) or model_name(kind)
    if owner:
        name = f"Deterministic ({MODELS.get(owner, owner)})"
    if math.isnan(beta) or not has_beta(owner or kind):
        return name
    return f"{name}, {beta_label(beta)}"


def model_name(model: str) -> str:
    """Return a model's name; one that is not of this program drew its samples elsewhere."""
    if model in MODELS:
        return MODELS[model]
    return f"{model} (drawn elsewhere)" if drawn_elsewhere(model) else model


def has_beta(model: str) -> bool:
    """Return whether beta has an effect on a model."""
    return model not in WITHOUT_KL and (model in MODELS or not drawn_elsewhere(model))


def beta_label(beta: float) -> str:
    """Return β and its value on one line."""
    return f"β{NBSP}={NBSP}{format_beta(beta)}"


def place(dataset: str) -> tuple[int, str]:
    """Return where a data set is in the report: built-in ones as registered, then by name.

    >>> sorted(["eyes", "another", *BUILT_IN], key=place) == [*BUILT_IN, "another", "eyes"]
    True
    """
    known = list(BUILT_IN)
    return (known.index(dataset) if dataset in known else len(known)), dataset


def degenerate(model: str) -> str | None:
    """Return which degenerate predictor a row's `model` is, or None for a model.

    >>> degenerate("deterministic (m_heads)"), degenerate("m_heads")
    ('deterministic', None)
    """
    kind = model.partition(" (")[0]
    return kind if kind in DEGENERATE else None


def deterministic(model: str) -> str:
    """Return the name of a model's deterministic rows in the tables of scores.

    >>> deterministic("m_heads")
    'deterministic (m_heads)'
    """
    return "deterministic" if model == "probabilistic_unet" else f"deterministic ({model})"
