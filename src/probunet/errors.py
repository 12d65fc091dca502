"""Errors for users: `probunet` prints them as one line without a traceback."""


class ProbunetError(Exception):
    """A user's mistake or bad input; the message says what is wrong, where, and what to do."""

    exit_code = 1


class TimeLimitError(ProbunetError):
    """Training saved a checkpoint and stopped early; the same command resumes it."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again


class OutOfMemoryError(ProbunetError):
    """The machine or the device lacks memory for what was asked; another try needs it, too."""


def few(names: list[str], most: int = 5) -> str:
    """Return the first names, and the number of further ones.

    >>> few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
