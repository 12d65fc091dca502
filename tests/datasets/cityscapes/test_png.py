import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probunet.datasets.cityscapes.manifest import SceneReason
from probunet.datasets.cityscapes.png import decode
from probunet.datasets.raw_file import BadFileError


def png(mode: str = "RGB", size: tuple[int, int] = (7, 5), **options: object) -> bytes:
    """A PNG of noise, which compresses to about its own size."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(noise).convert("I") if mode == "I;16" else Image.fromarray(noise)
    image.convert(mode).save(out, "PNG", **options)
    return out.getvalue()


def why(data: bytes) -> SceneReason:
    with pytest.raises(BadFileError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("RGB", "8-bit RGB"),
        ("L", "8-bit grey"),
        ("P", "8-bit palette"),
        ("LA", "8-bit grey with alpha"),
        ("RGBA", "8-bit RGBA"),
        ("I;16", "16-bit grey"),
        ("1", "1-bit grey"),
    ],
)
def test_form_is_that_of_the_file(mode, form):
    assert decode(png(mode)).form == form


def test_16_bit_colour_is_found_though_decoders_hide_it():
    """Built by hand: Pillow reads 16-bit RGB as 8-bit, and writes none."""
    rows = b"".join(b"\0" + bytes(range(4 * 6)) for _ in range(3))

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4)
        return len(data).to_bytes(4) + kind + data + crc

    head = (4).to_bytes(4) + (3).to_bytes(4) + bytes([16, 2, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    read = decode(data)
    assert (read.form, read.image.mode, read.image.size) == ("16-bit RGB", "RGB", (4, 3))


def test_pixels_come_through():
    values = np.arange(35, dtype=np.uint8).reshape(5, 7)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    np.testing.assert_array_equal(np.asarray(decode(out.getvalue()).image), values)


def test_what_is_no_png():
    assert why(b"") is SceneReason.EMPTY
    assert why(b"no picture at all\n") is SceneReason.NOT_PNG
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG")
    assert why(out.getvalue()) is SceneReason.NOT_PNG


@given(st.integers(min_value=8, max_value=len(png()) - 1))
def test_cut_off_anywhere_is_noticed(length):
    assert why(png()[:length]) is SceneReason.TRUNCATED


@given(st.integers(min_value=8, max_value=len(png()) - 1), st.integers(min_value=1, max_value=255))
def test_one_wrong_byte_anywhere_is_noticed(at, change):
    data = bytearray(png())
    data[at] ^= change
    assert why(bytes(data)) is SceneReason.TRUNCATED


def test_more_pixels_than_any_memory_holds_are_refused():
    data = bytearray(png("L"))
    data[16:24] = b"\x7f\xff\xff\xff" * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    assert why(bytes(data)) is SceneReason.TRUNCATED
