import logging
import os
import threading
import time
from pathlib import Path

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
    wanted_series,
    write_licence,
)
from probunet.outlines import read_lesions, read_outlined


def test_wanted_series_are_those_with_outlines() -> None:
    series = wanted_series(None)
    lesions = read_lesions()
    assert set(series) == set(lesions) == read_outlined()
    assert len(series) == 883
    assert sum(len(zs) for _, zs in series.values()) == 14_627
    for uid, (_, zs) in series.items():
        assert zs == sorted({lesion.z for lesion in lesions[uid]})


def test_the_first_patients() -> None:
    ids = [scan.patient for scan, _ in wanted_series(5).values()]
    assert sorted(set(ids)) == [f"LIDC-IDRI-{number:04}" for number in range(1, 6)]
    assert ids == sorted(ids)


@given(st.lists(st.integers()), st.integers(1, 9))
def test_parts_share_all_items(items: list[int], parts: int) -> None:
    shares = [share_of(items, (part, parts)) for part in range(parts)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share_of(items, None) == items


def test_in_threads_keeps_the_order_and_stops_at_an_error() -> None:
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


def test_an_error_stops_the_threads_that_wait() -> None:
    stopped = threading.Event()

    def work(number: int) -> bool:
        if number == 1:
            raise ValueError("the second one")
        return stopped.wait(20)

    begun = time.monotonic()
    with pytest.raises(ValueError, match="the second one"):
        in_threads(work, range(3), 2, stopped.set)
    assert time.monotonic() - begun < 10


def test_space_is_looked_at(tmp_path: Path) -> None:
    check_space(tmp_path / "new", 1)
    with pytest.raises(ProbunetError, match=r"1000000\.0 GB are still to come, and the disk has"):
        check_space(tmp_path, 10**15)
    (tmp_path / "file").touch()
    with pytest.raises(ProbunetError, match="cannot be written"):
        check_space(tmp_path / "file" / "below", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ProbunetError, match="cannot be written"):
        check_space(tmp_path, 1)


def test_roots_are_relative_where_possible(tmp_path: Path) -> None:
    assert root_of(tmp_path / "raw/lidc", tmp_path / "raw/lidc.manifest.json") == "lidc"
    assert root_of(tmp_path / "a", tmp_path / "b/m.json") == str(tmp_path / "a")


def test_the_licence_lies_beside(tmp_path: Path) -> None:
    write_licence(tmp_path / "lidc", "CC BY 3.0")
    assert (tmp_path / "lidc.LICENCE.txt").read_text() == "CC BY 3.0\n"


def test_a_log_has_a_line_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
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
