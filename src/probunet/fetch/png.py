"""Whether a PNG file is whole, and what its pixels are like (PNG specification, third edition)."""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from probunet.scene_manifest import SceneReason

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class BadPngError(Exception):
    """A file that cannot be used, and why."""

    def __init__(self, reason: SceneReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Png:
    """A decoded file; `form` is of the file, where `image` may have been converted."""

    form: str  # "8-bit RGB", "16-bit grey"
    image: Image.Image


def decode(data: bytes) -> Png:
    """Return the picture in these bytes, all of its chunks' checksums compared.

    Decoders look at neither checksums nor the end of the file, and take what has no more than
    lost its last bytes for good.

    Raises
    ------
    BadPngError
        If it is empty, not PNG, cut off, or damaged.
    """
    form = _form(data)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
    except Exception as error:  # whatever a decoder raises over damaged data
        raise BadPngError(SceneReason.TRUNCATED, str(error)) from None
    return Png(form, image)


def _form(data: bytes) -> str:
    """Return bits and channels that the header names, after a walk to the last chunk."""
    if not data:
        raise BadPngError(SceneReason.EMPTY)
    if not data.startswith(_SIGNATURE):
        raise BadPngError(SceneReason.NOT_PNG)
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(data):
            raise BadPngError(SceneReason.TRUNCATED, f"ends after {len(data)} bytes")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise BadPngError(SceneReason.TRUNCATED, f"ends after {len(data)} bytes")
        if zlib.crc32(memoryview(data)[start + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise BadPngError(SceneReason.TRUNCATED, f"checksum differs at byte {start}")
        start = end + 4
    bits, channels = struct.unpack_from("BB", data, len(_SIGNATURE) + 16)
    return f"{bits}-bit {_CHANNELS.get(channels, 'unknown')}"
