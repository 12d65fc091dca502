"""Errors for users: `probunet` prints them as one line without a traceback."""

import re

# control characters, those that end lines or reverse their direction, and undecodable bytes
_UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 4_000  # characters of a line


def printable(text: object, most: int | None = _LONGEST) -> str:
    r"""Return a text on one line: unsafe characters are escaped, and a long text is cut.

    Names, servers' answers and errors of libraries are foreign: they must neither begin a line of
    their own in a log nor reach a terminal as a command. `most` is the number of characters that
    are kept; None keeps all.

    >>> printable("a\nb\x1b[2J"), printable("abcdef", most=3)
    ('a\\nb\\x1b[2J', 'abc... (3 more characters)')
    """
    whole = str(text)
    rest = 0 if most is None else len(whole) - most
    kept = f"{whole[:most]}... ({rest} more characters)" if rest > 0 else whole
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), kept)


def printable_lines(text: object) -> str:
    """Return a text of several lines of our own, each of them printable."""
    return "\n".join(map(printable, str(text).split("\n")))


class ProbunetError(Exception):
    """A user's mistake or bad input; the message says what is wrong, where, and what to do.

    Each argument is a line of the message; what is foreign in it cannot begin another line.
    """

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(printable, self.args))


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
