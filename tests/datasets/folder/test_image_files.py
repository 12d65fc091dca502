"""Files of one's own: what is read is what was written, and what would be changed is refused."""

import gzip
import io
import struct
import zlib

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from probunet.datasets.folder.image_files import common_dtype, decode_image, decode_mask
from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.raw_file import BadFileError
from support.own_images import disc

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


def pages(*pixels: np.ndarray, kind: str = "TIFF", **options) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(one) for one in pixels)
    first.save(buffer, kind, save_all=True, append_images=others, **options)
    return buffer.getvalue()


def animation() -> bytes:
    return pages(values("uint8", 4, 5), values("uint8", 4, 5), kind="GIF")


def pages_of_two_sizes() -> bytes:
    return pages(values("uint8", 4, 5), values("uint8", 2, 3))


def stack_of_channels() -> bytes:
    return tiff(values("uint16", 4, 2, 5, 7), imagej=True, metadata={"axes": "ZCYX"})


def several_channels(dtype: str, channels: int) -> bytes:
    """A TIFF file with a channel more than grey or RGB, of which nothing says what it is."""
    first = 1 if channels == 2 else 3
    return tiff(
        values(dtype, 4, 5, channels),
        photometric="minisblack" if first == 1 else "rgb",
        planarconfig="contig",
        extrasamples=["unspecified"] * (channels - first),
    )


def nifti_without_place() -> bytes:
    content = bytearray(nifti(values("int16", 4, 5, 3)))
    content[312:316] = struct.pack("<f", np.nan)  # srow_z, first value
    return bytes(content)


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
        (animation(), ImageReason.FORM, "2 pictures"),
        (
            stack_of_channels(),
            ImageReason.FORM,
            "8 pictures along axes ZCYX; save one channel as one stack",
        ),
        (
            tiff(
                values("uint8", 3, 4, 5), photometric="minisblack", volumetric=True, tile=(16, 16)
            ),
            ImageReason.FORM,
            "3 slices in 1 page; save a page for each",
        ),
        (
            tiff(values("uint8", 4, 5), description="ImageJ=1.11a\nimages=7\nslices=7\n"),
            ImageReason.FORM,
            "7 slices in 1 page",
        ),
        (pages_of_two_sizes(), ImageReason.FORM, "several sizes"),
        (
            tiff(values("uint8", 2, 4, 5, 7), photometric="minisblack"),
            ImageReason.FORM,
            "8 pictures along axes QQYX",
        ),
        (tiff(values("uint16", 4, 5), photometric="miniswhite"), ImageReason.FORM, "0 is white"),
        (tiff(values("float64", 4, 5), photometric="miniswhite"), ImageReason.FORM, "0 is white"),
        *(
            (several_channels(dtype, channels), ImageReason.FORM, f"{channels} channels")
            for channels in (2, 4, 5)
            for dtype in ("uint8", "uint16", "float32")
        ),
        (png(np.eye(4, dtype=np.uint16), transparency=1), ImageReason.FORM, "transparent"),
        (nifti_without_place(), ImageReason.FORM, "NaN or infinite values in the affine"),
        (b"P6\n1 1\n4095\n" + bytes(6), ImageReason.FORM, "PPM of 16 bits a colour"),
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


def palette(indices: np.ndarray, colours: list[int], kind: str = "PNG") -> bytes:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colours)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_0_is_background_and_one_other_value_is_foreground():
    mask = RANDOM.random((6, 5)) < 0.5
    colour = np.zeros((6, 5, 3), np.uint8)
    colour[mask, 2] = 1  # a blue whose grey level rounds to 0
    for content in (
        png(mask),
        png(mask.astype(np.uint8)),
        png(mask.astype(np.uint16) * 7),
        png(colour),
        tiff(mask.astype(np.float32) * 0.1),
        nifti(mask.T.astype(np.uint8)),
        palette(mask, [0, 0, 0, 128, 0, 0]),
        palette(mask, [0, 0, 0, 9, 9, 9], "GIF"),
        b"P2 5 6 1\n" + " ".join(str(int(one)) for one in mask.ravel()).encode(),
    ):
        read = decode_mask(content)
        np.testing.assert_array_equal(read.pixels[0, ..., 0], mask)
        assert len(read.values) == 2
    volume = np.stack([mask.T * -0.5, np.zeros(mask.T.shape)], axis=-1)
    read = decode_mask(nifti(volume))
    np.testing.assert_array_equal(read.pixels[0, ..., 0], mask)
    assert not read.pixels[1].any()
    volume[0, 0, 0] = np.nan
    with pytest.raises(BadFileError, match="NaN"):
        decode_mask(nifti(volume))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_is_judged_by_its_colours(kind):
    mask = RANDOM.random((6, 5)) < 0.5
    white_first = palette(mask, [255, 255, 255, 0, 0, 0], kind)
    np.testing.assert_array_equal(decode_mask(white_first).pixels[0, ..., 0], ~mask)
    assert decode_mask(white_first).values == (0, 255)
    with pytest.raises(BadFileError, match=r"values 3, 253; set `threshold`") as caught:
        decode_mask(palette(mask, [3, 3, 3, 253, 253, 253], kind))
    assert caught.value.reason is ImageReason.VALUES


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([3, 253], "values 3, 253;"),
        ([0, 1, 255], "values 0, 1, 255;"),
        ([1, 2], "values 1, 2;"),
        ([7], "value 7;"),
        ([*range(0, 256, 2)], "values 0, 2, 4, 6, 8, 10 to 254;"),
    ],
)
def test_values_that_do_not_say_what_is_marked_need_a_threshold(found, shown):
    soft = np.resize(np.array(found, np.uint8), (16, 16))
    for write in (png, tiff, nifti):
        with pytest.raises(BadFileError, match=shown) as caught:
            decode_mask(write(soft))
        assert caught.value.reason is ImageReason.VALUES
    for threshold in (3, 100.5):
        read = decode_mask(png(soft), threshold)
        np.testing.assert_array_equal(read.pixels[0, ..., 0], soft >= threshold)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_mask_of_one_value_is_empty_or_full(value):
    read = decode_mask(png(np.full((4, 5), value, np.uint8)))
    assert read.pixels.all() == bool(value)
    assert read.values == (value,)


def test_a_mask_compressed_as_jpeg_needs_a_threshold():
    mask = disc((32, 32), 9)
    content = jpeg(mask.astype(np.uint8) * 255)
    with pytest.raises(BadFileError, match="set `threshold`") as caught:
        decode_mask(content)
    assert caught.value.reason is ImageReason.JPEG_MASK
    np.testing.assert_array_equal(decode_mask(content, 128).pixels[0, ..., 0], mask)


def jpeg(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_pictures_of_cameras_and_of_older_programs_are_read(channels):
    pixels = np.ascontiguousarray(np.broadcast_to(np.uint8(77), (8, 8, *channels)))
    for kind in ("JPEG", "GIF", "BMP", "PPM"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        read = decode_image(buffer.getvalue())
        assert (read.pixels.dtype, read.volume) == (np.uint8, False)
        expected = pixels.reshape(8, 8, -1)
        if kind == "GIF":  # has a palette; all of its colours are grey
            expected = expected[..., :1]
        np.testing.assert_array_equal(read.pixels[0], expected)


@pytest.mark.parametrize("maximum", [3, 100, 255, 256, 4095, 65535])
def test_values_of_pgm_and_ppm_are_the_file_s_own(maximum):
    own = RANDOM.integers(0, maximum, 35, endpoint=True)
    dtype = np.dtype(np.uint16 if maximum > 255 else np.uint8)
    header = f"7 5 {maximum}\n".encode()
    plain = b"P2 " + header + " ".join(map(str, own)).encode()
    for content in (b"P5 " + header + own.astype(dtype.newbyteorder(">")).tobytes(), plain):
        read = decode_image(content).pixels
        assert read.dtype == dtype
        np.testing.assert_array_equal(read.ravel(), own)
    if maximum < 256:
        colour = np.repeat(own.astype(np.uint8), 3)
        np.testing.assert_array_equal(
            decode_image(b"P6 " + header + colour.tobytes()).pixels.ravel(), colour
        )


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_not():
    indices = RANDOM.integers(0, 3, (4, 6))
    grey = decode_image(palette(indices, [9, 9, 9, 5, 5, 5, 200, 200, 200])).pixels
    np.testing.assert_array_equal(grey[0, ..., 0], np.array([9, 5, 200])[indices])
    assert grey.shape[-1] == 1
    colours = [9, 9, 9, 5, 5, 5, 200, 200, 0]
    assert decode_image(palette(indices, colours)).pixels.shape[-1] == 3


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("dtype", "colours", "kept"),
    [
        ("float16", (), "float32"),
        ("float64", (), "float32"),
        (">f8", (), "float32"),
        ("uint64", (), "float32"),
        ("int16", (3,), "int16"),
        ("float32", (3,), "float32"),
    ],
)
def test_a_tiff_of_a_type_that_pillow_does_not_know_is_read(dtype, colours, kept, orientation):
    stack = values("int8", 4, 5, 7, *colours).astype(dtype)
    kind = {"photometric": "rgb" if colours else "minisblack"}
    tag = {"extratags": [(274, 3, 1, orientation, False)]}
    expected = stack.reshape(4, 5, 7, -1)
    expected = np.rot90(expected, -1, (1, 2)) if orientation == 6 else expected
    for pixels in (stack, stack[0]):
        read = decode_image(tiff(pixels, **kind, **tag))
        assert (read.pixels.dtype, read.volume) == (np.dtype(kept), pixels is stack)
        assert read.turned == (orientation == 6)
        np.testing.assert_array_equal(read.pixels, expected[: len(read.pixels)])
    mask = decode_mask(tiff(np.eye(5, 7).astype(dtype), photometric="minisblack"))
    np.testing.assert_array_equal(mask.pixels[0, ..., 0], np.eye(5, 7))


def test_an_unused_transparent_level_changes_no_value():
    deep = png(np.arange(12, dtype=np.uint16).reshape(3, 4) + 300, transparency=7)
    np.testing.assert_array_equal(decode_image(deep).pixels.ravel(), np.arange(300, 312))
    bilevel = png(np.ones((3, 4), bool), transparency=0)
    assert decode_image(bilevel).pixels.shape[-1] == 1


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize(
    ("dtype", "kept"), [("int16", "int16"), ("int8", "int16"), ("int32", "float32")]
)
def test_signed_tiff_stays_signed(dtype, kept, byteorder):
    pixels = values("int8", 5, 7).astype(dtype)
    read = decode_image(tiff(pixels, byteorder=byteorder, photometric="minisblack"))
    assert (read.pixels.dtype, read.pixels.dtype.isnative) == (np.dtype(kept), True)
    np.testing.assert_array_equal(read.pixels[0, ..., 0], pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "colour", "deep"])
def test_a_tiff_stack_is_a_volume(dtype):
    shape = (4, 5, 7) if dtype not in ("colour", "deep") else (4, 5, 7, 3)
    stack = values({"colour": "uint8", "deep": "uint16"}.get(dtype, dtype), *shape)
    photometric = "minisblack" if len(shape) == 3 else "rgb"
    read = decode_image(tiff(stack, photometric=photometric))
    assert (read.volume, read.pixels.dtype) == (True, stack.dtype)
    np.testing.assert_array_equal(read.pixels, stack.reshape(4, 5, 7, -1))
    masks = decode_mask(pages(*(np.eye(5, 7, k, np.uint8) for k in range(4))))
    assert masks.volume
    np.testing.assert_array_equal(masks.pixels[2, ..., 0], np.eye(5, 7, 2))


def turned(pixels: np.ndarray, orientation: int) -> list[bytes]:
    """Return files of these pixels (H, W) or (H, W, 3) with an orientation tag."""
    exif = Image.Exif()
    exif[274] = orientation
    tag = {"extratags": [(274, 3, 1, orientation, False)]}
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    files = [tiff(pixels, photometric=kind, **tag)]
    files.append(tiff(np.stack([pixels] * 3), photometric=kind, **tag))
    if pixels.dtype == np.uint8 or (pixels.ndim == 2 and pixels.dtype == np.uint16):
        files.append(png(pixels, exif=exif))
    return files


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("colours", [(), (3,)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_orientation_tags_turn_every_format_alike(dtype, colours, orientation):
    if colours and dtype in ("int16", "float32"):
        return
    pixels = values(dtype, 5, 7, *colours)
    rows, columns = np.indices((5, 7))
    places = Image.fromarray((rows * 7 + columns).astype(np.uint8))
    places.getexif()[274] = orientation
    upright = np.asarray(ImageOps.exif_transpose(places))
    expected = pixels.reshape(35, -1)[upright]
    for content in turned(pixels, orientation):
        read = decode_image(content)
        assert read.turned == (orientation != 1)
        for one in read.pixels:
            np.testing.assert_array_equal(one, expected)
    if dtype == "uint8":
        mask = pixels.reshape(5, 7, -1)[..., 0] > 99
        for content in turned(mask.astype(np.uint8), orientation):
            read = decode_mask(content)
            np.testing.assert_array_equal(read.pixels[-1, ..., 0], mask.ravel()[upright])
            assert read.turned == (orientation != 1)


def test_an_orientation_tag_turns_jpeg():
    exif = Image.Exif()
    exif[274] = 6
    wide = np.zeros((8, 24), np.uint8)
    wide[:, :8] = 255
    read = decode_image(jpeg(wide, exif=exif))
    assert read.pixels.shape == (1, 24, 8, 1)
    assert read.pixels[0, :8].min() > 200 > 50 > read.pixels[0, 8:].max()


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


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nifti_with_a_place_that_is_no_number_is_refused(value, second):
    image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image)(
        np.zeros((4, 5, 3), np.uint8), np.eye(4)
    )
    image.header["srow_x"] = value
    image.header["sform_code"] = 1
    content = image.header.binaryblock + bytes(4 + 60)
    for decode in (decode_image, decode_mask):
        with pytest.raises(BadFileError, match="NaN or infinite values in the affine"):
            decode(content)


def test_a_tiff_without_a_picture_is_unreadable() -> None:
    with pytest.raises(BadFileError, match="no picture in it"):
        decode_image(b"II*\0" + bytes(4))
