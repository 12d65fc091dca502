"""Files of one's own: what is read is what was written, and what would be changed is refused."""

import gzip
import io
import struct
import zlib

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from probunet.datasets.folder.image_files import common_dtype, decode_image, decode_mask
from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.raw_file import BadFileError

RANDOM = np.random.default_rng(0)


def png(pixels: np.ndarray, mode: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def nifti(values: np.ndarray, packed: bool = False, second: bool = False, **header) -> bytes:
    image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image)(values, np.eye(4))
    if header:
        image.header.set_slope_inter(**header)
    content = image.to_bytes()
    return gzip.compress(content, mtime=0) if packed else content


def values(dtype: str, *shape: int) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return RANDOM.normal(size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return RANDOM.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(
    ("dtype", "shape", "write"),
    [
        ("uint8", (5, 7), png),
        ("uint16", (5, 7), png),
        ("uint8", (5, 7, 3), png),
        ("uint8", (5, 7), tiff),
        ("uint16", (5, 7), tiff),
        ("float32", (5, 7), tiff),
        ("uint8", (5, 7, 3), tiff),
        ("uint16", (5, 7, 3), tiff),
    ],
)
def test_pictures_are_read_to_the_bit(dtype, shape, write):
    pixels = values(dtype, *shape)
    read = decode_image(write(pixels))
    assert (read.pixels.dtype, read.volume) == (np.dtype(dtype), False)
    assert read.pixels.shape == (1, 5, 7, pixels.size // 35)
    np.testing.assert_array_equal(read.pixels[0].reshape(shape), pixels)


def test_tiff_of_other_byte_order_and_with_a_plane_for_each_colour():
    grey, colour = values("uint16", 5, 7), values("uint16", 3, 5, 7)
    read = decode_image(tiff(grey, byteorder=">")).pixels
    np.testing.assert_array_equal(read[0, ..., 0], grey)
    assert read.dtype.isnative
    planes = tiff(colour, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(decode_image(planes).pixels[0], np.moveaxis(colour, 0, -1))


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("uint8", "uint8"),
        ("int8", "int16"),
        ("int16", "int16"),
        (">i2", "int16"),
        ("uint16", "uint16"),
        ("int32", "float32"),
        ("float64", "float32"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"packed": True}, {"second": True}])
def test_a_volume_s_slices_lie_along_the_last_axis(dtype, kept, options):
    volume = values("int8", 4, 5, 3).astype(dtype)  # columns, rows, slices
    read = decode_image(nifti(volume, **options))
    assert (read.pixels.dtype, read.volume) == (np.dtype(kept), True)
    assert read.orientation == ("R", "A", "S")
    for k in range(3):
        np.testing.assert_array_equal(read.pixels[k, ..., 0], volume[..., k].T)


def test_nifti_of_one_slice_and_scaled():
    flat = values("int16", 4, 5)
    read = decode_image(nifti(flat))
    assert (read.pixels.shape, read.volume) == ((1, 5, 4, 1), False)
    single = decode_image(nifti(flat[..., None, None]))
    np.testing.assert_array_equal(single.pixels, read.pixels)
    assert not single.volume
    small = values("int8", 4, 5).astype(np.int16)
    scaled = decode_image(nifti(small, slope=0.5, inter=-3)).pixels
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0, ..., 0], small.T * 0.5 - 3)


def test_modes_that_mean_the_same_are_read_alike():
    grey = values("uint8", 4, 6)
    opaque = np.stack([grey, np.full_like(grey, 255)], axis=-1)
    np.testing.assert_array_equal(decode_image(png(opaque)).pixels[0, ..., 0], grey)
    colour = values("uint8", 4, 6, 3)
    with_alpha = np.concatenate([colour, np.full((4, 6, 1), 255, np.uint8)], axis=-1)
    np.testing.assert_array_equal(decode_image(png(with_alpha)).pixels[0], colour)
    bilevel = png(grey > 99)
    np.testing.assert_array_equal(decode_image(bilevel).pixels[0, ..., 0], (grey > 99) * 255)


def deep_png() -> bytes:
    """A PNG of 16 bits a colour, one pixel, by the format's specification."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    line = b"\0" + struct.pack(">HHH", 258, 3, 65535)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(line)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", ImageReason.UNREADABLE, ""),
        (b"GIF89a", ImageReason.UNREADABLE, ""),
        (png(values("uint8", 40, 40))[:-300], ImageReason.UNREADABLE, "truncated"),
        (nifti(values("int16", 4, 5, 3))[:-9], ImageReason.UNREADABLE, "Expected"),
        (nifti(values("int16", 4, 5, 3), packed=True)[:-9], ImageReason.UNREADABLE, "end"),
        (gzip.compress(b"no NIfTI", mtime=0), ImageReason.UNREADABLE, ""),
        (deep_png(), ImageReason.FORM, "save it as TIFF"),
        (png(values("uint8", 4, 5, 4)), ImageReason.FORM, "partly transparent"),
        (tiff(values("uint8", 2, 4, 5), photometric="minisblack"), ImageReason.FORM, "2 pictures"),
        (nifti(values("int16", 4, 5, 3, 2)), ImageReason.FORM, "4 x 5 x 3 x 2 values"),
        (nifti(np.zeros((4, 5), np.complex64)), ImageReason.FORM, "complex64"),
    ],
)
def test_what_cannot_be_read_as_it_is_is_refused(content, reason, detail):
    for decode in (decode_image, decode_mask):
        with pytest.raises(BadFileError) as caught:
            decode(content)
        assert caught.value.reason is reason
        assert detail in caught.value.detail


def test_what_is_not_0_is_foreground():
    mask = RANDOM.random((6, 5)) < 0.5
    palette = Image.fromarray(mask.astype(np.uint8))
    palette.putpalette([255, 0, 0, 0, 0, 0])  # colours that say the opposite
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    colour = np.zeros((6, 5, 3), np.uint8)
    colour[mask, 1] = 1
    volume = np.stack([mask.T * -0.5, np.zeros(mask.T.shape)], axis=-1)
    for content in (
        png(mask),
        png(mask.astype(np.uint8)),
        png(mask.astype(np.uint16) * 7),
        png(colour),
        tiff(mask.astype(np.float32) * 0.1),
        nifti(mask.T.astype(np.uint8)),
        buffer.getvalue(),
    ):
        read = decode_mask(content)
        np.testing.assert_array_equal(read.pixels[0, ..., 0], mask)
    read = decode_mask(nifti(volume))
    np.testing.assert_array_equal(read.pixels[0, ..., 0], mask)
    assert not read.pixels[1].any()
    volume[0, 0, 0] = np.nan
    with pytest.raises(BadFileError, match="NaN"):
        decode_mask(nifti(volume))


@pytest.mark.parametrize(
    ("names", "together"),
    [
        ({"uint8"}, "uint8"),
        ({"uint8", "uint16"}, "uint16"),
        ({"uint8", "int16"}, "int16"),
        ({"uint16", "int16"}, "float32"),
        ({"uint16", "float32"}, "float32"),
    ],
)
def test_the_type_that_holds_all(names, together):
    assert common_dtype(names) == np.dtype(together)
