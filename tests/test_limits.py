"""Small files that grow, files without an end, and what is no file: refused in little memory."""

import gzip
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from probunet.limits import read_regular
from support.fuzz.running import read_hostile
from support.slices import slice_bytes

pytestmark = pytest.mark.slow  # a process for each file

MOST = 300  # megabytes


def nifti(shape: tuple[int, ...], kind: str, **header: object) -> bytes:
    """Return the header of a volume, and the four bytes behind it."""
    image = nibabel.Nifti1Image(np.zeros((1, 1, 1), kind), np.eye(4))
    image.header.set_data_shape(shape)
    image.header["vox_offset"] = 352
    for name, value in header.items():
        image.header[name] = value
    return image.header.binaryblock + bytes(4)


def grown(head: bytes, megabytes: int) -> bytes:
    """Return what deflate packs these bytes and zeros into."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + piece * megabytes + packer.flush()


def packed(head: bytes, megabytes: int) -> bytes:
    """Return a gzip file of these bytes and zeros, with a wrong checksum."""
    return gzip.compress(b"")[:10] + grown(head, megabytes) + bytes(8)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a grey PNG file with deflated data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff_pages(pages: int, size: int) -> bytes:
    """Return a TIFF file whose pages are all the same strip of zeros."""
    strip = zlib.compress(bytes(size * size))
    content = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip
    for page in range(pages):
        tags = [
            (256, 4, size), (257, 4, size), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, size), (279, 4, len(strip)),
        ]  # fmt: skip
        directory = struct.pack("<H", len(tags))
        directory += b"".join(
            struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags
        )
        following = len(content) + len(directory) + 4
        content += directory + struct.pack("<I", following if page < pages - 1 else 0)
    return content


def picture(kind: str, width: int, height: int) -> bytes:
    """Return a picture of 8 x 8 pixels whose header declares others."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, kind)
    content = buffer.getvalue()
    places = {
        "GIF": (6, "<HH", (width, height)),
        "BMP": (18, "<ii", (width, height)),
        "JPEG": (content.index(b"\xff\xc0") + 5 if kind == "JPEG" else 0, ">HH", (height, width)),
    }
    at, form, values = places[kind]
    number = struct.pack(form, *values)
    return content[:at] + number + content[at + len(number) :]


def deflated(megabytes: int) -> bytes:
    head = slice_bytes(-1.5, syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(head[140:144], "little")
    elements = zlib.decompress(head[start:], -zlib.MAX_WBITS)
    elements = elements[:-4] + struct.pack("<I", megabytes * 10**6)  # of the pixels: none follow
    return head[:start] + grown(elements, megabytes)


def compressed() -> bytes:
    pixels = encapsulate([bytes(64)])
    return slice_bytes(-1.5, Rows=65_535, Columns=65_535, syntax=RLELossless, PixelData=pixels)


def manifest() -> bytes:
    """Return a manifest of millions of images that are none."""
    texts = '"dataset":"a","source":"a","root":".","licence":"a","window_from":"a"'
    others = '"synthetic":false,"graders":["mask"],"window":[0,1]'
    return f'{{{texts},{others},"images":[{"0," * 4_000_000}0]}}'.encode()


def entities() -> bytes:
    """Return XML whose last entity is ten thousand millions of characters long."""
    lines = ['<!DOCTYPE a [<!ENTITY l0 "x">']
    lines += [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 11)]
    return "".join([*lines, "]><ListBucketResult>&l10;</ListBucketResult>"]).encode()


def long_list() -> bytes:
    """Return a zip file with an empty list of members, said to be long."""
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 2**27, 0, 0)
    return b"PK\3\4" + bytes(2**27 - 4) + end


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("NIfTI", lambda: nifti((1000, 1000, 1100), "uint8") + bytes(100), "Expected 1100000352"),
        ("NIfTI", lambda: nifti((9, 9, 9), "uint8", vox_offset=2.0**40), "Expected"),
        ("NIfTI", lambda: packed(nifti((2000, 2000, 1000), "uint8"), 4000), "4,000,000,000 values"),
        ("NIfTI", lambda: packed(nifti((9, 9, 9), "uint8"), 4000), "more than its header declares"),
        ("NIfTI", lambda: packed(nifti((9, 9, 9), "uint8", vox_offset=2.0**33), 4000), "values in"),
        ("NIfTI", lambda: gzip.compress(nifti((999, 999, 999), "int16")), "values in"),
        ("pictures", lambda: png(60_000, 60_000), "3,600,000,000 values"),
        (
            "pictures",
            lambda: png(40_000, 40_000, b"\x78\x9c" + grown(b"", 1600)),
            "1,600,000,000 values",
        ),
        (
            "pictures",
            lambda: png(60_000, 60_000, b"\x78\x9c" + grown(b"", 100)),
            "3,600,000,000 values",
        ),
        (
            "scene",
            lambda: png(60_000, 60_000, b"\x78\x9c" + grown(b"", 100)),
            "3,600,000,000 values",
        ),
        ("pictures", lambda: tiff_pages(3000, 1000), "values in"),
        ("pictures", lambda: tiff_pages(12_000, 1), "more than 10,000 pages"),
        ("pictures", lambda: picture("GIF", 65_000, 65_000), "4,225,000,000 values"),
        ("pictures", lambda: picture("BMP", 60_000, 60_000), "3,600,000,000 values"),
        ("pictures", lambda: picture("JPEG", 65_000, 65_000), "4,225,000,000 values"),
        ("pictures", lambda: b"P5 60000 60000 255\n" + bytes(99), "3,600,000,000 values"),
        ("DICOM", lambda: deflated(2000), "unpacks to more"),
        ("DICOM", compressed, "4,294,836,225 values"),
        ("DICOM", lambda: slice_bytes(-1.5, Rows=65_535, Columns=65_535), "of pixel data"),
        ("bucket", entities, "not an S3 server"),
        ("archive", long_list, "list of members"),
        ("folds", lambda: b'{"dataset":"a","folds":[' + b"0," * 4_000_000 + b"0]}", "folds"),
        ("image manifest", manifest, "not a manifest"),
        ("table", lambda: b"image,subject,mask\n" + b"a" * 10**7, "field larger"),
        ("table", lambda: b"image,subject,mask\n" + b"a," * 10**7, "cells"),
    ],
)
def test_small_files_that_grow_are_refused_in_little_memory(name, content, message, tmp_path):
    (tmp_path / "input").write_bytes(content())
    outcome = read_hostile(name, tmp_path)
    assert message in outcome.message
    assert "Error: " in outcome.message
    assert "Traceback" not in outcome.message
    assert outcome.megabytes < MOST


@pytest.mark.parametrize(
    ("name", "content", "most"),
    [
        # a scan, and an empty mask of it, which packs a thousandfold
        ("NIfTI", lambda: nifti((512, 512, 700), "int16") + bytes(2 * 512 * 512 * 700), 1900),
        (
            "NIfTI",
            lambda: gzip.compress(nifti((512, 512, 700), "uint8") + bytes(512 * 512 * 700), 1),
            1200,
        ),
        ("pictures", lambda: png(16_000, 16_000, zlib.compress(bytes(16_001 * 16_000))), 1600),
        ("pictures", lambda: slide(20_000), 2400),
        ("scene", lambda: png(2048, 1024, zlib.compress(bytes(2049 * 1024))), 60),
    ],
)
def test_large_files_of_honest_users_are_read(name, content, most, tmp_path):
    (tmp_path / "input").write_bytes(content())
    outcome = read_hostile(name, tmp_path)
    assert outcome.message == ""
    assert outcome.megabytes < most


def slide(size: int) -> bytes:
    """Return a mask of a slide, one bit a pixel, without compression."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((size, size), bool), photometric="minisblack")
    return buffer.getvalue()


SPECIAL = {
    "pipe": lambda path: os.mkfifo(path),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "empty device": lambda path: path.symlink_to("/dev/null"),
    "folder": lambda path: path.mkdir(),
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["NIfTI", "DICOM", "table", "folds", "image manifest", "archive"])
def test_only_regular_files_are_opened(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    SPECIAL[kind](Path("input"))
    assert "input" in read_hostile(name, tmp_path).message


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "input").open("wb") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(OSError, match="bytes; the most are") as error:
        read_regular(tmp_path / "input")
    assert error.value.strerror == "1,099,511,627,776 bytes; the most are 8,589,934,592"
    assert "the most are" in read_hostile("pictures", tmp_path).message
