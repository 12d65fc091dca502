"""Damage and falsify files in many ways, from a seed: readers must answer with one sentence."""

import copy
import math
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from probunet.errors import ProbunetError

# what can stand in place of any value
WRONG: list[Any] = [
    *(None, True, -1, 0, 3, 10**30, -(10**30), 1.5, 1e308, math.nan, math.inf, -math.inf),
    *("", "x", "x" * 10_000, "../../etc", "a\nb\x1b[2J\0", "\ud800"),
    *([], {}, [[]], {"a": 1}, [1, "x", None]),
]


def damaged(content: bytes, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` descriptions and damaged copies of a file's bytes."""
    draw = random.Random(seed)
    for number in range(count):
        at = draw.randrange(max(len(content), 1))
        kinds = [
            ("emptied", b""),
            ("cut", content[:at]),
            ("a bit flipped", flipped(content, at, 1 << draw.randrange(8))),
            ("not UTF-8", content[:at] + b"\xff\xfe\x80" + content[at:]),
            ("zeros", content[:at] + bytes(64) + content[at + 64 :]),
            ("random bytes", draw.randbytes(64)),
            ("its beginning missing", content[at:]),
            ("nested deeply", b"[" * 100_000),
            ("twice", content + content),
        ]
        name, changed = kinds[number % len(kinds)]
        yield f"{name} at {at}", changed


def flipped(content: bytes, at: int, mask: int = 1) -> bytes:
    """Return bytes of which one differs."""
    if not content:
        return content
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def flip(path: Path, at: int = -1) -> None:
    """Flip a bit of a file: of its byte in the middle, unless another is asked for."""
    content = path.read_bytes()
    path.write_bytes(flipped(content, len(content) // 2 if at < 0 else at))


def falsified(document: Any, seed: int, count: int) -> Iterator[tuple[str, Any]]:
    """Yield `count` descriptions and copies of a document in which one value is wrong or missing.

    Documents are made of mappings and lists, as JSON or a file of weights.
    """
    draw = random.Random(seed)
    places = list(_places(document))
    for _ in range(count):
        place = draw.choice(places)
        changed, wrong = copy.deepcopy(document), draw.choice(WRONG)
        if not place:
            yield f"everything is {wrong!r:.40}", wrong
            continue
        inside = changed
        for key in place[:-1]:
            inside = inside[key]
        key = place[-1]
        kind = draw.choice(["wrong", "wrong", "missing", "added"])
        if kind == "missing":
            del inside[key]
        elif kind == "added" and isinstance(inside, dict):
            inside["unknown"] = wrong
        else:
            inside[key] = wrong
        yield f"{'.'.join(map(str, place))}: {kind} {wrong!r:.40}", changed


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value; of long lists, to the first values only."""
    yield place
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _places(value, (*place, key))
    elif isinstance(document, list):
        for key, value in enumerate(document[:3]):
            yield from _places(value, (*place, key))


def special(path: Path) -> Iterator[str]:
    """Put what is no regular file in place of a file, one after the other; yield what it is."""
    for name, make in (
        ("nothing", lambda: None),
        ("a folder", lambda: path.mkdir()),
        ("a pipe", lambda: os.mkfifo(path)),
        ("an endless device", lambda: path.symlink_to("/dev/zero")),
        ("a link to nothing", lambda: path.symlink_to(path.with_name("nowhere"))),
        ("a link to itself", lambda: path.symlink_to(path)),
    ):
        if path.is_symlink() or path.exists():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        make()
        yield name


def answer(read: Callable[[], Any], what: str) -> str | None:
    """Return the sentence with which a reader refuses a file; None if it reads it.

    Anything but a value or a `ProbunetError` of one short line fails the test.
    """
    try:
        read()
    except ProbunetError as error:
        text = str(error)
        assert 0 < len(text) < 5_000, f"{what}: {len(text)} characters"
        assert not re.search(r"[\0-\x1f\x7f-\x9f]", text), f"{what}: {text!r}"
        return text
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return None
