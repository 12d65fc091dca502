"""Tar archives: unpacked whole, or refused without writing anything."""

import gzip
import io
import tarfile

import pytest

from probunet.errors import ProbunetError
from probunet.fetch.tarball import unpack_tar
from support.folders import files_of

LIMIT = 10**8
MEMBERS = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 40, "empty": b""}


def pack(path, members=MEMBERS, *others):
    """Write a tar.gz of members by name, and of others as they are."""
    with tarfile.open(path, "w:gz") as file:
        folder = tarfile.TarInfo("deep")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
        for member in others:
            file.addfile(member)
    return path


def other(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def refused(archive, match, limit=LIMIT):
    """Assert that it is refused, and that nothing is written."""
    folder = archive.parent / "out"
    with pytest.raises(ProbunetError, match=match) as error:
        unpack_tar(archive, folder, str, limit)
    assert str(archive) in str(error.value)
    assert not folder.exists()


def test_whole_and_only_what_is_wanted(tmp_path):
    archive = pack(tmp_path / "a.tar.gz")
    paths = unpack_tar(archive, tmp_path / "out", str, LIMIT)
    assert paths == [tmp_path / "out" / name for name in MEMBERS]
    assert files_of(tmp_path / "out") == MEMBERS
    chosen = {"a.txt": "other/name"}
    unpack_tar(archive, tmp_path / "few", chosen.get, LIMIT)
    assert files_of(tmp_path / "few") == {"other/name": b"one"}


def test_an_equal_file_is_not_written_again(tmp_path):
    archive = pack(tmp_path / "a.tar.gz")
    unpack_tar(archive, tmp_path, str, LIMIT)
    before = (tmp_path / "a.txt").stat().st_ino
    (tmp_path / "deep/er/b.bin").write_bytes(b"x" * 256 * 40)
    unpack_tar(archive, tmp_path, str, LIMIT)
    assert (tmp_path / "a.txt").stat().st_ino == before
    assert (tmp_path / "deep/er/b.bin").read_bytes() == MEMBERS["deep/er/b.bin"]


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a\\b", "C:a", "a\nb"])
def test_an_unsafe_name_is_refused(tmp_path, name):
    refused(pack(tmp_path / "a.tar.gz", {**MEMBERS, name: b"x"}), "nothing was unpacked")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_link_or_device_is_refused(tmp_path, kind):
    archive = pack(tmp_path / "a.tar.gz", MEMBERS, other("b", kind, "/etc/passwd"))
    refused(archive, "is a link or another special file")


def test_two_members_of_one_name_are_refused(tmp_path):
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for _ in range(2):
            file.addfile(tarfile.TarInfo("a"))
    refused(archive, "occurs twice")


def test_an_archive_larger_than_the_limit_is_refused(tmp_path):
    refused(pack(tmp_path / "a.tar.gz"), "beyond the limits", limit=5000)


def test_a_member_that_declares_too_much_is_refused_before_it_is_read(tmp_path):
    member = tarfile.TarInfo("big")
    member.size = 2**40
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(member.tobuf() + bytes(10_000)))
    refused(archive, "bytes")
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 2**33
    archive.write_bytes(gzip.compress(long_name.tobuf() + bytes(10_000)))
    refused(archive, "not a complete tar.gz file")


def test_any_cut_is_refused(tmp_path):
    whole = pack(tmp_path / "a.tar.gz").read_bytes()
    for length in (2, 30, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        (tmp_path / "a.tar.gz").write_bytes(whole[:length])
        refused(tmp_path / "a.tar.gz", "not a complete tar.gz file")


def test_a_changed_byte_is_refused(tmp_path):
    whole = bytearray(pack(tmp_path / "a.tar.gz").read_bytes())
    whole[-5] ^= 1  # of the checksum
    (tmp_path / "a.tar.gz").write_bytes(whole)
    refused(tmp_path / "a.tar.gz", "not a complete tar.gz file")


def test_a_page_a_zip_and_an_empty_file_are_refused(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_text("<html><title>Quota exceeded</title>")
    refused(archive, 'a web page "Quota exceeded" instead of a tar.gz file')
    archive.write_bytes(b"PK\3\4")
    refused(archive, "not a tar.gz file")
    archive.write_bytes(b"")
    refused(archive, "an empty file")
