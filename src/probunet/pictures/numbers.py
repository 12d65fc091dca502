"""Numbers as a reader sees them."""

import math

DASH = "\N{EN DASH}"  # for a value that does not exist


def number(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign, or a dash for NaN.

    >>> number(0.12345), number(-0.5), number(math.nan)
    ('0.123', '−0.500', '–')
    """
    return DASH if math.isnan(value) else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def count(value: int) -> str:
    """Return a whole number with thousands separated.

    >>> count(15798)
    '15,798'
    """
    return f"{value:,}"
