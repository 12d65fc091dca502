"""Damage the content of a file at random, but the same way for the same random numbers."""

import re
from collections.abc import Callable
from random import Random

_NUMBERS = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62)
_TEXTS = (
    b"", b"null", b"-1", b"1e999", b"NaN", b"-Infinity", b"true", b"[]", b"{}", b'""', b'"a"', b"0",
    b"9" * 5000, b"../../x", b"/etc/passwd", b"\\ud800", b"\\u0000", b"\0", b"\xff\xfe", b"\x1b[2J",
    b"\r", b"[" * 3000, b"1" * 200_000, b"a,b\n", b'"', b"1:30", "ß".encode(), "\u2028".encode(),
)  # fmt: skip


def mutate(random: Random, content: bytes, other: bytes) -> bytes:
    """Return a content with one to eight mutations; some take parts of `other`."""
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        content = random.choice(_MUTATIONS)(random, content, other)
    return content


def _place(random: Random, content: bytes) -> int:
    """Return a place in a content; more often near its beginning, where headers are."""
    end = len(content) if random.random() < 0.5 else min(len(content), 400)
    return random.randint(0, end)


def _flip(random: Random, content: bytes, _: bytes) -> bytes:
    at = _place(random, content)
    return (
        content[:at]
        + bytes(one ^ 1 << random.randrange(8) for one in content[at : at + 1])
        + (content[at + 1 :])
    )


def _number(random: Random, content: bytes, _: bytes) -> bytes:
    at, size = _place(random, content), random.choice((1, 2, 4, 8))
    number = random.choice(_NUMBERS) % 2 ** (8 * size)
    return (
        content[:at]
        + number.to_bytes(size, random.choice(("little", "big")))
        + (content[at + size :])
    )


def _cut(random: Random, content: bytes, _: bytes) -> bytes:
    return content[: _place(random, content)]


def _remove(random: Random, content: bytes, _: bytes) -> bytes:
    at = _place(random, content)
    return content[:at] + content[at + random.choice((1, 4, 100)) :]


def _insert(random: Random, content: bytes, _: bytes) -> bytes:
    at = _place(random, content)
    return content[:at] + random.randbytes(random.choice((1, 4, 100))) + content[at:]


def _repeat(random: Random, content: bytes, _: bytes) -> bytes:
    at = _place(random, content)
    part = content[at : at + random.choice((1, 10, 200))]
    return content[:at] + part * random.choice((2, 10, 1000)) + content[at:]


def _splice(random: Random, content: bytes, other: bytes) -> bytes:
    at = _place(random, content)
    return content[:at] + other[_place(random, other) :]


def _word(random: Random, content: bytes, _: bytes) -> bytes:
    """Replace a number or word of a text by another value."""
    words = list(re.finditer(rb'-?\d[\d.eE+-]*|"[^"\n]{0,200}"|\w+', content[:20_000]))
    if not words:
        return content
    word = random.choice(words)
    return content[: word.start()] + random.choice(_TEXTS) + content[word.end() :]


_MUTATIONS: tuple[Callable[[Random, bytes, bytes], bytes], ...] = (
    _flip, _number, _number, _cut, _remove, _insert, _repeat, _splice, _word, _word,
)  # fmt: skip
