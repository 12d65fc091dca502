"""Decode PNG files and detect damage (PNG specification, third edition)."""

import struct
import zlib
from typing import NamedTuple

from PIL import Image, ImageOps

from probunet.datasets.cityscapes.manifest import SceneReason
from probunet.datasets.picture import open_picture
from probunet.datasets.raw_file import BadFileError
from probunet.memory import raise_if_memory_lacks

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class Png(NamedTuple):
    """A decoded file and its pixel format; Pillow may have converted `image` to another one."""

    form: str  # "8-bit RGB", "16-bit grey"
    image: Image.Image


def decode(data: bytes) -> Png:
    """Return the image and pixel format of a PNG file, turned as its orientation tag says.

    All checksums are compared, which decoders do not do: they accept a file without its end.

    Raises
    ------
    BadFileError
        If it is empty, not PNG, truncated, or damaged.
    """
    form = _form(data)
    return Png(form, decode_pixels(data))


def decode_pixels(data: bytes) -> Image.Image:
    """Return the image of a PNG file as `decode` does, without comparing its checksums."""
    try:
        with open_picture(data, ("PNG",)) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise anything on damaged data
        raise_if_memory_lacks(error)
        raise BadFileError(SceneReason.TRUNCATED, str(error)) from None


def _form(data: bytes) -> str:
    """Return bits and channels from the header, after a check of all chunks."""
    if not data:
        raise BadFileError(SceneReason.EMPTY)
    if not data.startswith(_SIGNATURE):
        raise BadFileError(SceneReason.NOT_PNG)
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(data):
            raise BadFileError(SceneReason.TRUNCATED, f"ends after {len(data)} bytes")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise BadFileError(SceneReason.TRUNCATED, f"ends after {len(data)} bytes")
        if zlib.crc32(memoryview(data)[start + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise BadFileError(SceneReason.TRUNCATED, f"checksum differs at byte {start}")
        start = end + 4
    bits, channels = struct.unpack_from("BB", data, len(_SIGNATURE) + 16)
    return f"{bits}-bit {_CHANNELS.get(channels, 'unknown')}"
