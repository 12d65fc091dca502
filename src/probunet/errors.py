"""Errors that a user can act on: what, where, what to do. The command prints them as one line."""


class ProbunetError(Exception):
    """A mistake or a bad input, told as advice. `probunet` prints it without a traceback."""

    exit_code = 1


class TimeLimitError(ProbunetError):
    """Training saved itself and stopped before its time limit; the same command goes on."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again
