"""What was left out, in words."""

from collections.abc import Iterable

from probunet.manifest import Unusable, count_reasons


def told(left_out: Iterable[Unusable], noun: str) -> str:
    """Return the reasons and how often each, to go on a sentence with.

    >>> told([], "slice")
    ''
    """
    reasons = count_reasons(left_out).items()
    return "".join(f"; {reason}: {n} {noun}{'s' if n > 1 else ''}" for reason, n in reasons)
