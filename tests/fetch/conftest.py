from functools import cache

import pytest

from probunet import outlines
from probunet.fetch import download, local, phantom

lesions = cache(lambda: outlines.read_lesions())
scans = cache(lambda: outlines.read_scans())


@pytest.fixture(autouse=True)
def _database_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (local, phantom):
        monkeypatch.setattr(verb, "read_lesions", lesions)
    for verb in (download, local, phantom):
        monkeypatch.setattr(verb, "read_scans", scans)
