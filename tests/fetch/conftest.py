import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from probunet import outlines
from probunet.fetch import download, http, local, phantom

lesions = cache(lambda: outlines.read_lesions())
scans = cache(lambda: outlines.read_scans())


@pytest.fixture(autouse=True)
def _database_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (local, phantom):
        monkeypatch.setattr(verb, "read_lesions", lesions)
    for verb in (download, local, phantom):
        monkeypatch.setattr(verb, "read_scans", scans)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries of a download, none of which takes time."""
    waited: list[float] = []
    monkeypatch.setattr(http.Client, "_wait", lambda self, seconds: waited.append(seconds))
    return waited


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount the small file system that this needs")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)
