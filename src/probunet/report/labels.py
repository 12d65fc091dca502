"""Names and numbers as a reader sees them."""

import math

from probunet.config import WITHOUT_KL
from probunet.run import format_beta

NBSP = "\N{NO-BREAK SPACE}"
MODELS = {
    "probabilistic_unet": "Probabilistic U-Net",
    "unet": "U-Net",
    "dropout_unet": "Dropout U-Net",
    "m_heads": "M-Heads",
    "image2image_vae": "Image2Image VAE",
    "stochastic_segmentation_network": "Stochastic Segmentation Network",
    "hierarchical_probabilistic_unet": "Hierarchical Probabilistic U-Net",
    "deterministic": "Deterministic (prior mean)",
    "empty": "Always empty",
    "graders": "The graders themselves",
}
DATASETS = {"lidc": "LIDC-IDRI"}
DEGENERATE = ("deterministic", "empty", "graders")


def predictor(model: str, beta: float) -> str:
    """Return a row's name in the tables, without beta where there is none or it has no effect.

    >>> predictor("empty", math.nan)
    'Always empty'
    >>> predictor("probabilistic_unet", 10.0).replace(NBSP, " ")
    'Probabilistic U-Net, β = 10'
    >>> predictor("deterministic (m_heads)", 1.0)
    'Deterministic (M-Heads)'
    """
    kind, _, owner = model.removesuffix(")").partition(" (")
    name = f"Deterministic ({MODELS.get(owner, owner)})" if owner else MODELS.get(kind, kind)
    if math.isnan(beta) or (owner or kind) in WITHOUT_KL:
        return name
    return f"{name}, β{NBSP}={NBSP}{format_beta(beta)}"


def degenerate(model: str) -> str | None:
    """Return which degenerate predictor a row's `model` is, or None for a model.

    >>> degenerate("deterministic (m_heads)"), degenerate("m_heads")
    ('deterministic', None)
    """
    kind = model.partition(" (")[0]
    return kind if kind in DEGENERATE else None


def deterministic(model: str) -> str:
    """Return the name of a model's deterministic rows, as `score.table` gives it.

    >>> deterministic("m_heads")
    'deterministic (m_heads)'
    """
    return "deterministic" if model == "probabilistic_unet" else f"deterministic ({model})"


def number(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign, or a dash where there is none.

    >>> number(0.12345), number(-0.5), number(math.nan)
    ('0.123', '−0.500', '–')
    """
    if math.isnan(value):
        return "\N{EN DASH}"
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def count(value: int) -> str:
    """Return a whole number with thousands apart.

    >>> count(15798)
    '15,798'
    """
    return f"{value:,}"
