import logging
import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.errors import ProbunetError
from probunet.fetch import download
from probunet.fetch.download import (
    Progress,
    check_space,
    in_threads,
    root_of,
    share_of,
    write_licence,
)


@given(st.lists(st.integers()), st.integers(1, 9))
def test_parts_share_all_items(items, parts):
    shares = [share_of(items, (part, parts)) for part in range(parts)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share_of(items, None) == items


def test_in_threads_keeps_the_order_and_stops_at_an_error():
    assert in_threads(str, range(100), 7) == [str(number) for number in range(100)]
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("the first one")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="the first one"):
        in_threads(work, range(1000), 2)
    assert len(begun) < 1000


def test_an_error_stops_the_threads_that_wait():
    stopped = threading.Event()

    def work(number: int) -> bool:
        if number == 1:
            raise ValueError("the second one")
        return stopped.wait(20)

    begun = time.monotonic()
    with pytest.raises(ValueError, match="the second one"):
        in_threads(work, range(3), 2, stopped.set)
    assert time.monotonic() - begun < 10


def test_space_is_looked_at(tmp_path):
    check_space(tmp_path / "new", 1)
    with pytest.raises(ProbunetError, match=r"1000000\.0 GB more, and the disk has"):
        check_space(tmp_path, 10**15)
    (tmp_path / "file").touch()
    with pytest.raises(ProbunetError, match="cannot be written"):
        check_space(tmp_path / "file" / "below", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProbunetError, match="cannot be written"):
        check_space(tmp_path, 1)


def test_roots_are_relative_where_possible(tmp_path):
    assert root_of(tmp_path / "raw/lidc", tmp_path / "raw/lidc.manifest.json") == "lidc"
    assert root_of(tmp_path / "a", tmp_path / "b/m.json") == str(tmp_path / "a")


def test_the_licence_lies_beside(tmp_path):
    write_licence(tmp_path / "lidc", "CC BY 3.0")
    assert (tmp_path / "lidc.LICENCE.txt").read_text() == "CC BY 3.0\n"


def test_a_log_has_a_line_now_and_then(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO), Progress("images", 120_000_000) as progress:
        for _ in range(120):
            now[0] += 1
            progress.add(1_000_000)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 4
    assert lines[0] == "images: 31 objects, 31.0 MB, 1.0 MB/s, 1 min left"
    assert lines[-1] == "images: 120 objects, 120.0 MB, 1.0 MB/s"
