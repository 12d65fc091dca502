import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from probunet import files
from probunet.datasets import open_data
from probunet.datasets.raw_file import check_folder, read_content
from probunet.errors import ProbunetError
from probunet.files import locked, open_own, sha256, written_whole
from probunet.manifest import RawManifest


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


@pytest.fixture
def once():
    """Let each test see the warnings that come once per process."""
    files._warned.clear()
    yield
    files._warned.clear()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_a_file_system_without_locks_is_told_once(tmp_path, monkeypatch, caplog, once, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    for _ in range(3):
        with locked(tmp_path / "run"):
            pass
    [warning] = caplog.messages
    assert warning.startswith(f"{tmp_path}: this file system has no locks")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_flush_is_told_once(tmp_path, monkeypatch, caplog, once, code):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    for name in ("a", "b"):
        with written_whole(tmp_path / name) as aside:
            aside.write_text("new")
        assert (tmp_path / name).read_text() == "new"
    [warning] = caplog.messages
    assert "cannot flush files or folders to disk" in warning


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_folders_that_cannot_be_flushed_are_told_once(
    tmp_path, monkeypatch, caplog, once, code, call
):
    """As on some network file systems; what is written is there nevertheless."""
    real = getattr(os, call)

    def refuse(what, *arguments):
        found = os.fstat(what) if isinstance(what, int) else Path(what).stat()
        if stat.S_ISDIR(found.st_mode):
            raise OSError(code, os.strerror(code))
        return real(what, *arguments)

    monkeypatch.setattr(os, call, refuse)
    for name in ("a", "b"):
        with written_whole(tmp_path / name) as aside:
            aside.write_text("new")
        assert (tmp_path / name).read_text() == "new"
    [warning] = caplog.messages
    assert warning.startswith(f"{tmp_path}: this file system cannot flush")


def test_other_failures_of_locks_and_flushes_are_errors(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), written_whole(tmp_path / "a") as aside:
        aside.touch()
    monkeypatch.setattr(files.fcntl, "flock", fail)
    with (
        pytest.raises(ProbunetError, match=r"run: cannot be locked \(Input/output error"),
        locked(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize("below", ["file", "deep/file"])
@pytest.mark.parametrize("write", [written_whole, locked])
def test_a_link_without_its_target_is_named(tmp_path, write, below):
    (tmp_path / "data").symlink_to(tmp_path / "scratch/mine")
    with (
        pytest.raises(ProbunetError, match=r"data: is a link to .*scratch/mine, which does not"),
        write(tmp_path / "data" / below),
    ):
        pass
    (tmp_path / "scratch/mine").mkdir(parents=True)
    with write(tmp_path / "data" / below):
        (tmp_path / "data" / below).with_name(".file.partial").touch()


def test_links_in_a_circle_and_forbidden_targets_are_named(tmp_path, monkeypatch):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "secret").symlink_to("/secret/mine")
    real = os.stat

    def status(path, **options):
        if str(path) == str(tmp_path / "secret") and options.get("follow_symlinks", True):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", status)
    for name in ("a", "secret"):
        with pytest.raises(ProbunetError, match=rf"{name}: is a link to .* cannot be seen from"):
            files.check_links(tmp_path / name / "below")
    assert files.dangling_links(tmp_path) == [tmp_path / name for name in ("a", "b", "secret")]


def test_links_without_a_target_are_found_at_any_depth(tmp_path, caplog):
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "lost").symlink_to("nowhere")
    (outside / "round").symlink_to(tree)
    (tree / "deep/outside").symlink_to(outside)
    (tree / "deep/lost").symlink_to("/nowhere/else")
    (tree / "file").touch()
    (tree / "good").symlink_to("file")
    expected = [tree / "deep/lost", tree / "deep/outside/lost"]
    assert files.dangling_links(tree) == expected
    check_folder(tree, "give another")
    [warning] = caplog.messages
    assert warning.startswith(f"{tree}: 2 links in it lead to nothing and are left out; the first")
    assert f"{expected[0]}: is a link to /nowhere/else, which does not exist" in warning


@pytest.mark.parametrize(
    "read",
    [
        lambda path: check_folder(path, "give another"),
        lambda path: check_folder(path / "tree", "give another"),
        lambda path: read_content(path / "1.dcm"),
        lambda path: open_data(path / "lidc.zarr"),
        lambda path: RawManifest.read(path / "lidc.manifest.json"),
    ],
)
def test_a_link_without_its_target_is_named_by_what_reads_there(tmp_path, read):
    (tmp_path / "data").symlink_to("/nowhere/data")
    with pytest.raises(ProbunetError, match="data: is a link to /nowhere/data, which does not"):
        read(tmp_path / "data")


def _links(path: Path, kind: str) -> Path:
    """Put something else in a file's place; return the file that must stay as it is."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "link" else "absent")
    return victim


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_lock_is_no_link_and_no_pipe(tmp_path, kind):
    victim = _links(tmp_path / ".file.lock", kind)
    with pytest.raises(ProbunetError, match=r"\.file\.lock: is a link or another special file"):
        locked(tmp_path / "file").__enter__()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("mode", ["a", "a+", "ab"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_files_of_fixed_names_are_regular_files(tmp_path, kind, mode):
    victim = _links(tmp_path / "log", kind)
    with pytest.raises(ProbunetError, match="is a link or another special file"):
        open_own(tmp_path / "log", mode)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "absent").exists()
