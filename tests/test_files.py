import errno
import subprocess
import sys
from pathlib import Path

import pytest

from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole


def test_file_and_folder_appear_whole(tmp_path):
    with written_whole(tmp_path / "deep" / "file") as aside:
        aside.write_text("new")
        assert not (tmp_path / "deep" / "file").exists()
    assert (tmp_path / "deep" / "file").read_text() == "new"

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    with written_whole(folder) as aside:
        aside.mkdir()
        (aside / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]


def _fail_half_way(path: Path, error: BaseException) -> None:
    with written_whole(path) as aside:
        aside.write_text("half")
        raise error


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_and_nothing_aside(tmp_path, kind):
    (tmp_path / "file").write_text("old")
    with pytest.raises(kind):
        _fail_half_way(tmp_path / "file", kind())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_leftovers_of_a_killed_process_are_replaced(tmp_path):
    (tmp_path / ".file.partial").mkdir()
    (tmp_path / ".file.partial" / "half").touch()
    with written_whole(tmp_path / "file") as aside:
        aside.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(ProbunetError, match="the disk or quota is full"):
        _fail_half_way(tmp_path / "file", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_second_writer_is_refused_until_the_first_is_gone(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path; from probunet.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ProbunetError, match="another process"), locked(tmp_path / "run"):
            pass
    finally:
        first.kill()
        first.wait()
    with locked(tmp_path / "run"):  # a killed process holds nothing
        pass


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "file") == known
