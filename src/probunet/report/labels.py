"""Names and numbers as a reader sees them."""

import math

from probunet.run import format_beta

NBSP = "\N{NO-BREAK SPACE}"
MODELS = {
    "probabilistic_unet": "Probabilistic U-Net",
    "deterministic": "Deterministic (prior mean)",
    "empty": "Always empty",
    "graders": "The graders themselves",
}
DATASETS = {"lidc": "LIDC-IDRI"}
DEGENERATE = ("deterministic", "empty", "graders")


def predictor(model: str, beta: float) -> str:
    """Return a row's name in the tables, without beta where there is none.

    >>> predictor("empty", math.nan)
    'Always empty'
    >>> predictor("probabilistic_unet", 10.0).replace(NBSP, " ")
    'Probabilistic U-Net, β = 10'
    """
    name = MODELS.get(model, model)
    return name if math.isnan(beta) else f"{name}, β{NBSP}={NBSP}{format_beta(beta)}"


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
