import contextlib
import io
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probunet.errors import ProbunetError
from probunet.fetch.archive import SMALL, unpack
from support.folders import files_of

LIMIT = 10**8
MEMBERS = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 40, "empty": b""}


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def everything(name: str) -> str:
    return name


def refused(archive: Path, match: str, limit: int = LIMIT) -> None:
    """Assert that it is refused, whatever is wanted of it, and that nothing is written."""
    folder = archive.parent / "out"
    with pytest.raises(ProbunetError, match=match) as error:
        unpack(archive, folder, everything, limit)
    assert str(archive) in str(error.value)
    assert not folder.exists()
    assert list(archive.parent.iterdir()) == [archive]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whole(tmp_path, method):
    archive = pack(tmp_path / "a.zip", MEMBERS, method)
    paths = unpack(archive, tmp_path / "out", everything, LIMIT)
    assert paths == [tmp_path / "out" / name for name in MEMBERS]
    assert files_of(tmp_path / "out") == MEMBERS


def test_only_what_is_wanted_where_it_is_wanted(tmp_path):
    archive = pack(tmp_path / "a.zip", {**MEMBERS, "folder/": b""})
    chosen = {"deep/er/b.bin": "other/name"}
    assert unpack(archive, tmp_path / "out", chosen.get, LIMIT) == [tmp_path / "out/other/name"]
    assert files_of(tmp_path / "out") == {"other/name": MEMBERS["deep/er/b.bin"]}


def test_streamed_and_zip64(tmp_path):
    """As servers write that do not know sizes beforehand, and as archives of many GB are."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in MEMBERS.items():
            with file.open(name, "w", force_zip64=True) as out:
                out.write(data)
    archive = tmp_path / "a.zip"
    archive.write_bytes(pipe.getvalue())
    unpack(archive, tmp_path / "out", everything, LIMIT)
    assert files_of(tmp_path / "out") == MEMBERS


def test_goes_on_where_it_was(tmp_path):
    archive = pack(tmp_path / "a.zip", MEMBERS)
    paths = unpack(archive, tmp_path / "out", everything, LIMIT)
    paths[0].write_bytes(b"two")  # as long, and not the same
    paths[2].unlink()
    inode = paths[1].stat().st_ino
    assert unpack(archive, tmp_path / "out", everything, LIMIT) == paths
    assert files_of(tmp_path / "out") == MEMBERS
    assert paths[1].stat().st_ino == inode


ELSEWHERE = ["../x", "a/../../x", "a/..", "..", ".", "./.", "/etc/x", "//x", "C:/x", "c:x"]
ELSEWHERE += ["..\\x", "a\\b", "a\nb", "a\0b", ""]


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("place", [0, 1])
def test_names_that_lead_elsewhere(tmp_path, name, place):
    names = [name, "good"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for one in names[:: 1 if place else -1]:
            info = zipfile.ZipInfo("?" * len(one))
            info.filename = info.orig_filename = one
            file.writestr(info, b"data")
    refused(tmp_path / "a.zip", "name|outside")


def test_all_names_are_looked_at_not_only_the_wanted(tmp_path):
    archive = pack(tmp_path / "a.zip", {"good": b"data", "../x": b"data"})
    with pytest.raises(ProbunetError, match=r"'\.\./x' would lie outside"):
        unpack(archive, tmp_path / "out", {"good": "good"}.get, LIMIT)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_links_and_special_files(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("good", b"data")
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        file.writestr(info, b"/etc/passwd")
    refused(tmp_path / "a.zip", "'link' is a ")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a/b", "a//b"), ("a", "a/")])
def test_a_name_twice(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in names:
            file.writestr(name, b"")
    refused(tmp_path / "a.zip", "occurs twice")


def test_two_members_wanted_at_one_place(tmp_path):
    archive = pack(tmp_path / "a.zip", MEMBERS)
    with pytest.raises(ProbunetError, match="both are same"):
        unpack(archive, tmp_path / "out", lambda name: "same", LIMIT)
    assert list(tmp_path.iterdir()) == [archive]


def altered(place: int, form: str, value: int, members: dict[str, bytes], method: int):
    """Return a function that writes a zip whose last member's entry has another number."""

    def write(path: Path) -> Path:
        change(pack(path, members, method), [(place, form, value)])
        return path

    return write


NOISE = random.Random(0).randbytes(9000)
TWO = {"a": b"1" * 50, "b": b"1" * 50}
REFUSED = {
    "a file in a file": (lambda path: pack(path, {"a": b"1", "a/b/c": b"2"}), "lies in a file"),
    "encrypted": (altered(8, "<H", 1, {"a": b"1"}, zipfile.ZIP_DEFLATED), "is encrypted"),
    "bzip2": (lambda path: pack(path, TWO, zipfile.ZIP_BZIP2), f"method {zipfile.ZIP_BZIP2}"),
    "LZMA": (lambda path: pack(path, TWO, zipfile.ZIP_LZMA), f"method {zipfile.ZIP_LZMA}"),
    "small bomb": (lambda path: pack(path, {"bomb": bytes(SMALL + 1)}), "'bomb' grows from"),
    "bomb": (lambda path: pack(path, {"good": b"1", "bomb": bytes(10**7)}), "'bomb' grows from"),
    "100:1": (lambda path: pack(path, {"bomb": NOISE + bytes(991_000)}), "grows from"),
    "many": (
        lambda path: pack(path, {str(i): bytes(SMALL) for i in range(100)}),
        "bytes to 6553600, as a zip bomb does",
    ),
    "shared bytes": (altered(42, "<I", 10, TWO, zipfile.ZIP_STORED), "overlap"),
    "outside": (altered(42, "<I", 10**6, TWO, zipfile.ZIP_DEFLATED), "outside of it"),
}


@pytest.mark.parametrize(("write", "message"), REFUSED.values(), ids=REFUSED)
def test_zips_that_are_refused(tmp_path, write, message):
    refused(write(tmp_path / "a.zip"), message)


def test_text_and_pictures_may_shrink_as_they_do(tmp_path):
    members = {"hashes.csv": b"00000001.dcm,0123456789abcdef\n" * 2000, "black.png": bytes(50_000)}
    unpack(pack(tmp_path / "a.zip", members), tmp_path / "out", everything, LIMIT)
    assert files_of(tmp_path / "out") == members


def test_a_bomb_of_many_small_members(tmp_path):
    archive = pack(tmp_path / "a.zip", {str(i): bytes(SMALL) for i in range(100)})
    refused(archive, "bytes to 6553600, as a zip bomb does")


def test_more_than_may_come(tmp_path):
    total = sum(map(len, MEMBERS.values()))
    archive = pack(tmp_path / "a.zip", MEMBERS)
    refused(archive, f"has {total} bytes unpacked; the limit is {total - 1}", total - 1)
    assert len(unpack(archive, tmp_path / "out", everything, total)) == 3


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("off", [-100, -1, 1, 100])
@pytest.mark.parametrize("right_crc", [True, False])
def test_a_member_longer_or_shorter_than_declared(tmp_path, method, off, right_crc):
    data = bytes(range(200)) * 4
    archive = pack(tmp_path / "a.zip", {"a": data}, method)
    crc = zlib.crc32(data[: len(data) + off] if right_crc else data)
    change(archive, [(16, "<I", crc), (24, "<I", len(data) + off)])
    with pytest.raises(ProbunetError, match=r"not a complete zip file|size differs"):
        unpack(archive, tmp_path / "out", everything, LIMIT)
    assert not files_of(tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_bytes_that_changed_on_the_way(tmp_path, method):
    archive = pack(tmp_path / "a.zip", {"a": b"fine", "b": bytes(range(256)) * 8}, method)
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\3\4", 4) + 100
    data[at] ^= 0x55
    archive.write_bytes(data)
    with pytest.raises(ProbunetError, match="not a complete zip file"):
        unpack(archive, tmp_path / "out", everything, LIMIT)
    assert files_of(tmp_path / "out") == {"a": b"fine"}  # what came before is whole


@pytest.mark.parametrize("keep", [1, 2, 30, 60, 200, -1, -10, -22, -60])
def test_truncated(tmp_path, keep):
    archive = pack(tmp_path / "a.zip", MEMBERS)
    archive.write_bytes(archive.read_bytes()[:keep])
    refused(archive, "not a complete zip file|not a zip file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><title> Log &amp; in\n</title>", 'a web page "Log & in" instead'),
        (b"\xef\xbb\xbf\n <HTML lang=en><body>", "a web page instead"),
        (b'<?xml version="1.0"?><Error/>', "a web page instead"),
        (b"", "empty"),
        (b"PK is not enough", "not a zip file"),
        (b'{"error": 1}', "not a zip file"),
    ],
)
def test_something_else_than_a_zip(tmp_path, content, message):
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", message)


def test_a_page_with_a_zip_behind_it(tmp_path):
    archive = pack(tmp_path / "a.zip", MEMBERS)
    archive.write_bytes(b"<html>" + archive.read_bytes())
    refused(archive, "a web page")


def test_no_archive(tmp_path):
    with pytest.raises(ProbunetError, match=r"cannot be read \(No such file"):
        unpack(tmp_path / "a.zip", tmp_path, everything, LIMIT)


def test_paths_with_spaces_and_letters_of_any_kind(tmp_path):
    archive = pack(tmp_path / "ein Archiv ü.zip", {"Köln Süd/名 1.png": b"data"})
    unpack(archive, tmp_path / "Ziel ß", everything, LIMIT)
    assert files_of(tmp_path / "Ziel ß") == {"Köln Süd/名 1.png": b"data"}


def test_disk_full(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.zip", MEMBERS)

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ProbunetError, match="disk or quota is full"):
        unpack(archive, tmp_path / "out", everything, LIMIT)
    assert files_of(tmp_path / "out") == {}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=8),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_garbage_is_an_error_and_never_unpacked(tmp_path_factory, flips, method):
    folder = tmp_path_factory.mktemp("flips")
    data = bytearray(
        pack(folder / "a.zip", {"a": b"0123456789" * 9, "b/c": b"x"}, method).read_bytes()
    )
    for at, change_by in flips:
        data[at % len(data)] ^= change_by
    (folder / "a.zip").write_bytes(data)
    with contextlib.suppress(ProbunetError):
        unpack(folder / "a.zip", folder / "out", everything, LIMIT)
    # names may have become others; the bytes are the right ones, and lie where they may
    assert set(files_of(folder / "out").values()) <= {b"0123456789" * 9, b"x"}
    assert {path.name for path in folder.iterdir()} <= {"a.zip", "out"}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.text("./\\:aC\0é", min_size=1, max_size=8), min_size=1, max_size=4))
def test_no_name_leads_out_of_the_folder(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for name in dict.fromkeys(names):
            info = zipfile.ZipInfo("?")
            info.filename = info.orig_filename = name
            file.writestr(info, name.encode())
    (folder / "deep/er").mkdir(parents=True)
    with contextlib.suppress(ProbunetError):
        paths = unpack(folder / "a.zip", folder / "deep/er/out", everything, LIMIT)
        assert len(paths) == sum(not name.endswith("/") for name in dict.fromkeys(names))
    assert [path.name for path in (folder / "deep/er").iterdir()] in ([], ["out"])
    assert not (folder / "deep/er/out").is_file()
    assert {path.name for path in folder.iterdir()} == {"a.zip", "deep"}


def change(archive: Path, central: list[tuple[int, str, int]]) -> None:
    """Write other numbers into the only member's entry in the zip's list (APPNOTE.TXT, 4.3.12)."""
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b"PK\1\2")
    for offset, form, value in central:
        struct.pack_into(form, data, entry + offset, value)
    archive.write_bytes(data)
