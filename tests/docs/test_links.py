"""Links within the repository lead to existing files and headings."""

import re

import pytest

from support.pages import NAMES, ROOT, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(name: str) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(name), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    broken = []
    for target in _LINK.findall(prose(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        page = file.relative_to(ROOT).as_posix()
        if not file.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    assert broken == []


def test_a_heading_s_anchor_is_github_s() -> None:
    assert {"on-lidc-idri", "what-the-numbers-mean", "licence-and-citation"} <= anchors("README.md")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_one_title_and_names_the_language_of_its_code(name: str) -> None:
    text = prose(name)
    assert len(re.findall(r"^# ", text, re.M)) == 1
    assert "```" not in text, "a block of code without an end"
