"""The how-to about your own data shows what `fetch` prints for a good set and for bad ones."""

import logging
from pathlib import Path

import pytest

from probunet.datasets.folder.listing import fetch_folder
from probunet.errors import ProbunetError
from support.own_images import write_flawed, write_folder
from support.pages import blocks

PAGE = "docs/how-to/own-data.md"


def printed(caplog: pytest.LogCaptureFixture) -> str:
    """Return what `fetch` prints about the folder `knees`."""
    caplog.set_level(logging.INFO)
    lines: list[str] = []
    try:
        fetch_folder(Path("knees"), Path("knees.manifest.json"), "knees")
    except ProbunetError as error:
        lines = [str(error)]
    return "\n".join([*caplog.messages, *lines]) + "\n"


@pytest.mark.parametrize("flaw", [None, "near black", "inverted", "swapped"])
def test_the_page_shows_what_fetch_prints(tmp_path, monkeypatch, caplog, flaw):
    monkeypatch.chdir(tmp_path)
    if flaw is None:
        write_folder(Path("knees"))
    else:
        write_flawed(Path("knees"), flaw)
    told = printed(caplog)
    assert told in blocks(PAGE, "text"), told
