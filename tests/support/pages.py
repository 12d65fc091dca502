"""The pages of the documentation and their blocks of code."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts),
]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_FENCE = re.compile(r"^( *)```([\w{}-]*)[^\n]*\n(.*?)^\1```$", re.M | re.S)


def fences(name: str) -> list[tuple[str, str]]:
    """Return language and text of each fenced block of a page, in order."""
    found = _FENCE.findall((ROOT / name).read_text())
    return [(language, textwrap.dedent(text)) for _, language, text in found]


def blocks(name: str, *languages: str) -> list[str]:
    """Return the text of a page's blocks in these languages."""
    return [text for language, text in fences(name) if language in languages]


def prose(name: str) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", (ROOT / name).read_text())


def commands(name: str) -> list[str]:
    """Return each command of a page's shell blocks on one line, without comments."""
    text = "\n".join(blocks(name, "sh", "bash")).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*$", "", line) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]
