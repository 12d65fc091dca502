"""Names and numbers as a reader sees them."""

import math

from probunet.config import WITHOUT_KL
from probunet.run import format_beta

NBSP = "\N{NO-BREAK SPACE}"
MODELS = {
    "probabilistic_unet": "Probabilistic U-Net",
    "unet": "U-Net",
    "dropout_unet": "Dropout U-Net",
    "unet_ensemble": "U-Net ensemble",
    "m_heads": "M-Heads",
    "image2image_vae": "Image2Image VAE",
    "stochastic_segmentation_network": "Stochastic Segmentation Network",
    "hierarchical_probabilistic_unet": "Hierarchical Probabilistic U-Net",
    "deterministic": "Deterministic (prior mean)",
}
DATASETS = {"lidc": "LIDC-IDRI", "cityscapes": "Cityscapes"}
DEGENERATE = ("deterministic", "empty", "graders")
SHARED = {  # by data set, the predictors that are no model's
    "lidc": {"empty": "Always empty", "graders": "The graders themselves"},
    "cityscapes": {"empty": "None of the ten classes", "graders": "The 32 modes themselves"},
}


def predictor(model: str, beta: float, dataset: str) -> str:
    """Return a row's name in the tables, without beta where there is none or it has no effect.

    >>> predictor("empty", math.nan, "lidc"), predictor("graders", math.nan, "cityscapes")
    ('Always empty', 'The 32 modes themselves')
    >>> predictor("probabilistic_unet", 10.0, "lidc").replace(NBSP, " ")
    'Probabilistic U-Net, β = 10'
    >>> predictor("deterministic (m_heads)", 1.0, "lidc")
    'Deterministic (M-Heads)'
    """
    kind, _, owner = model.removesuffix(")").partition(" (")
    shared = SHARED.get(dataset, SHARED["lidc"])
    name = MODELS.get(kind, shared.get(kind, kind))
    if owner:
        name = f"Deterministic ({MODELS.get(owner, owner)})"
    if math.isnan(beta) or (owner or kind) in WITHOUT_KL:
        return name
    return f"{name}, β{NBSP}={NBSP}{format_beta(beta)}"


def place(dataset: str) -> tuple[int, str]:
    """Return where a data set stands in the report: as in the paper, then by name.

    >>> sorted(["cityscapes", "another", "lidc"], key=place)
    ['lidc', 'cityscapes', 'another']
    """
    known = list(DATASETS)
    return (known.index(dataset) if dataset in known else len(known)), dataset


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
