"""Decode image and mask files: pictures, TIFF stacks, and NIfTI of two or three dimensions.

The content of a file determines its format; the name is ignored. An orientation tag of a picture,
EXIF's or TIFF's, turns the pixels upright.
"""

import gzip
import io
import math
import re
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from probunet.datasets.folder.classes import Classes
from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.folder.mask_values import ADVICE, Values, marked_pixels
from probunet.datasets.picture import open_picture
from probunet.datasets.raw_file import BadFileError
from probunet.limits import excess
from probunet.memory import raise_if_memory_lacks

KEPT = (np.uint8, np.uint16, np.int16)  # types that are stored unchanged
FORMATS = ("PNG", "TIFF", "JPEG", "GIF", "BMP", "PPM")  # Pillow's names; PPM includes PGM and PBM
_GZIP = b"\x1f\x8b"
_JPEG = b"\xff\xd8\xff"
_PIECE = 2**20  # bytes that are unpacked at once
_DEEP = 4  # bytes; larger values count as several
_NIFTI_SIZES = {348, 540}  # first number of the header, its size: NIfTI-1 and NIfTI-2
TIFFS = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}  # first bytes of TIFF and BigTIFF
_ORIENTATION, _BITS_PER_SAMPLE, _SAMPLE_FORMAT = 274, 258, 339  # tags of TIFF; EXIF has the first
_DESCRIPTION, _DEPTH, _SAMPLES, _PHOTOMETRIC = 270, 32997, 277, 262
# types that Pillow returns as another one: by bits and sample format, 1 unsigned and 2 signed
_TIFF_TYPES = {(8, 2): np.int8, (16, 2): np.int16, (32, 1): np.uint32}

# how Pillow calls grey in a file: "L;2" is 2 bits a pixel, "1;I" is 1 bit, of which 0 is white
_FEW_BITS = re.compile(r"[1L](?:;(?P<bits>[24])?(?P<inverted>I)?R?)?")
_WHITE_IS_0 = "0 is white; save it with 0 as black"

_Page = tuple[NDArray[Any], bool]  # the pixels (H, W, C), and whether a tag turned them upright


@dataclass(frozen=True)
class Decoded:
    """The content of a file; a picture is a volume of one slice."""

    pixels: NDArray[Any]  # (slices, H, W, C)
    volume: bool
    orientation: tuple[str | None, ...] | None = None  # NIfTI: direction of the axes, "LPS"
    affine: NDArray[np.float64] | None = None  # NIfTI: (4, 4), from columns, rows, slices to mm
    header: Any = None  # NIfTI: nibabel's
    turned: bool = False  # upright, by an orientation tag
    values: Values = ()  # of a mask, before it became bool


def decode_image(content: bytes) -> Decoded:
    """Return an image as uint8, uint16 or int16 if the file has this type, else as float32.

    The axes of NIfTI are columns, rows and slices.

    Raises
    ------
    BadFileError
        If it is damaged, or in a form that cannot be read without loss.
    """
    decoded = _decode(content)
    pixels = decoded.pixels
    if pixels.dtype.newbyteorder("=") == np.int8:
        pixels = pixels.astype(np.int16)
    elif pixels.dtype.newbyteorder("=") not in KEPT:
        pixels = pixels.astype(np.float32)
    return replace(decoded, pixels=pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def decode_numbers(content: bytes, coloured: bool = False) -> Decoded:
    """Return the numbers in a file that is no image: (slices, H, W, C).

    They are indices into a palette, or grey of a few bits; with `coloured`, the colours instead.

    Raises
    ------
    BadFileError
        If it is damaged or a JPEG file.
    """
    if content.startswith(_JPEG):
        raise BadFileError(ImageReason.JPEG_MASK, "save it as PNG or TIFF")
    return _decode(content, own=not coloured)


def decode_labels(content: bytes, classes: Classes) -> Decoded:
    """Return the class ids of a mask as (slices, H, W, 1) uint8.

    Raises
    ------
    BadFileError
        If it is damaged or a JPEG file, has NaN or infinite values, or values of no class.
    """
    decoded = decode_numbers(content, classes.coloured)
    if not is_finite(decoded.pixels):
        raise BadFileError(ImageReason.NOT_FINITE)
    return replace(decoded, pixels=classes.ids(decoded.pixels))


def decode_mask(content: bytes, threshold: float | None = None) -> Decoded:
    """Return a mask as (slices, H, W, 1) bool: 0 is background, one other value is foreground.

    With a threshold, grey levels of at least this value are foreground.

    Raises
    ------
    BadFileError
        If it is damaged, has NaN or infinite values or, without a threshold, is a JPEG file or has
        other values than 0 and one other.
    """
    if threshold is None and content.startswith(_JPEG):
        raise BadFileError(ImageReason.JPEG_MASK, ADVICE)
    decoded = _decode(content)
    if not is_finite(decoded.pixels):
        raise BadFileError(ImageReason.NOT_FINITE)
    marked, values = marked_pixels(decoded.pixels, threshold)
    return replace(decoded, pixels=marked, values=values)


def _decode(content: bytes, own: bool = False) -> Decoded:
    """Return the content of a file of any format; of a picture its grey levels or colours.

    With `own`, they are the numbers in the file: indices into a palette, grey of a few bits.
    """
    decoded = _nifti(content) if _is_nifti(content) else _picture(content, own)
    if decoded.pixels.size == 0:
        raise BadFileError(ImageReason.UNREADABLE, "has no pixels")
    return decoded


def is_finite(pixels: NDArray[Any]) -> bool:
    """Return whether all values are finite numbers."""
    return pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all())


def common_dtype(names: set[str]) -> np.dtype[Any]:
    """Return the type that represents the values of all these types exactly.

    >>> common_dtype({"uint8", "uint16"}), common_dtype({"uint16", "int16"})
    (dtype('uint16'), dtype('float32'))
    """
    together = np.result_type(*sorted(names))
    return together if together in KEPT else np.dtype(np.float32)


def _picture(content: bytes, own: bool) -> Decoded:
    """Return the pixels of a picture, or of a TIFF stack."""
    try:
        try:
            pages = _pages(content, own)
        except UnidentifiedImageError as error:
            raise_if_memory_lacks(error)
            if content[:4] not in TIFFS:
                raise BadFileError(ImageReason.UNREADABLE) from None
            pages = _pages_of_other_tiff(content)
    except BadFileError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise_if_memory_lacks(error)
        raise BadFileError(ImageReason.UNREADABLE, str(error)) from None
    if not pages:
        raise BadFileError(ImageReason.UNREADABLE, "no picture in it")
    if len({(pixels.shape, pixels.dtype) for pixels, _ in pages}) > 1:
        raise BadFileError(ImageReason.FORM, "pictures of several sizes or types in one file")
    stack = pages[0][0][None] if len(pages) == 1 else np.stack([pixels for pixels, _ in pages])
    return Decoded(stack, volume=len(pages) > 1, turned=any(turned for _, turned in pages))


def _pages(content: bytes, own: bool) -> list[_Page]:
    """Return the pictures in a file that Pillow knows."""
    image = open_picture(content, FORMATS)
    # of a camera's JPEG file with several pictures, the first is the photograph
    count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    _refuse_hidden_slices(image, count)
    if count > 1:
        if image.format != "TIFF":
            raise BadFileError(ImageReason.FORM, f"{count} pictures in one file")
        _check_stack(content, count)
    return [_page(image, content, page, own) for page in range(count)]


def _pages_of_other_tiff(content: bytes) -> list[_Page]:
    """Return the pictures in a TIFF file of a type that Pillow does not know."""
    import tifffile

    count = len(tifffile.TiffFile(io.BytesIO(content)).pages)
    if count > 1:
        _check_stack(content, count)
    return [_page_by_tifffile(content, page) for page in range(count)]


def _refuse_hidden_slices(image: Image.Image, count: int) -> None:
    """Raise BadFileError if a TIFF file has more slices than pages: Pillow reads one of a page."""
    tags = getattr(image, "tag_v2", {})
    named = re.search(r"^ImageJ=.*^images=(\d+)", str(tags.get(_DESCRIPTION, "")), re.M | re.S)
    slices = max(int(tags.get(_DEPTH, 1)), int(named[1]) if named else 1)
    if slices > count:
        detail = f"{slices} slices in {count} page{'s' if count > 1 else ''}; save a page for each"
        raise BadFileError(ImageReason.FORM, detail)


def _check_stack(content: bytes, count: int) -> None:
    """Raise BadFileError unless the pictures in a TIFF file are the slices of one volume."""
    import tifffile

    series = tifffile.TiffFile(io.BytesIO(content)).series[0]
    long = (axis for axis, n in zip(series.axes, series.shape, strict=True) if n > 1)
    axes = [axis for axis in long if axis not in "YXS"]
    if len(axes) > 1 or "C" in axes:
        raise BadFileError(
            ImageReason.FORM,
            f"{count} pictures along axes {series.axes}; save one channel as one stack",
        )


def _page(image: Image.Image, content: bytes, page: int, own: bool) -> _Page:
    """Return a picture in a file."""
    if page:
        image.seek(page)
    orientation = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
    if page and orientation != 1:  # opened again: Pillow turns only the first page that it loads
        image = open_picture(content, FORMATS)
        image.seek(page)
    tags = getattr(image, "tag_v2", {})
    if _is_deep_colour(image, content):
        return _deep_colour(image, content, page)
    if image.format == "TIFF":
        _check_channels(image)
    maximum = _pnm_maximum(image)
    step = _step(image) if own else 1
    image.load()  # turns TIFF
    if image.format != "TIFF":
        orientation = image.getexif().get(_ORIENTATION, 1)
        ImageOps.exif_transpose(image, in_place=True)
    has_indices = own and image.mode == "P"
    pixels = np.asarray(image if has_indices else _grey_or_rgb(image))
    if step > 1:
        pixels = pixels // step
    kind = _TIFF_TYPES.get((_first(tags, _BITS_PER_SAMPLE), _first(tags, _SAMPLE_FORMAT)))
    if kind is not None and image.mode in ("L", "I"):
        pixels = pixels.astype(kind)  # wraps around
    if maximum is not None:
        pixels = _unscaled(pixels, maximum)
    return pixels.reshape(*image.size[::-1], -1), orientation in range(2, 9)


def _step(image: Image.Image) -> int:
    """Return the step between grey levels of few bits, which Pillow spreads over 0 to 255.

    Raises
    ------
    BadFileError
        If Pillow inverts them, because 0 is white.
    """
    arguments = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    stored = arguments if isinstance(arguments, str) else str(arguments[0])
    if (found := _FEW_BITS.fullmatch(stored)) is None:
        return 1
    if found["inverted"]:
        raise BadFileError(ImageReason.FORM, _WHITE_IS_0)
    bits = 1 if stored.startswith("1") else int(found["bits"] or 8)
    return 255 // ((1 << bits) - 1)


def _check_channels(image: Image.Image) -> None:
    """Raise BadFileError if Pillow reads only some channels of a TIFF, or white as black."""
    samples = image.tag_v2.get(_SAMPLES, 1)  # type: ignore[attr-defined]
    if samples != len(image.getbands()):
        raise BadFileError(ImageReason.FORM, f"{samples} channels")
    white_is_0 = image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    if white_is_0 and image.mode not in ("1", "L"):  # those Pillow inverts
        raise BadFileError(ImageReason.FORM, _WHITE_IS_0)


def _first(tags: Any, tag: int) -> int:
    """Return a tag's value, or the first of several; by default 1."""
    value = tags.get(tag, 1)
    return int(value[0] if isinstance(value, tuple) else value)


def _pnm_maximum(image: Image.Image) -> int | None:
    """Return the greatest value of a PGM or PPM file if it is not that of 8 bits."""
    if image.format != "PPM" or image.mode in ("1", "F"):
        return None
    [(decoder, _, _, arguments)] = image.tile  # type: ignore[attr-defined]
    if arguments == "I;16B":
        return 65535
    return int(arguments[1]) if decoder.startswith("ppm") else None


def _unscaled(pixels: NDArray[Any], maximum: int) -> NDArray[Any]:
    """Return a PGM or PPM file's own values, which Pillow scales to 8 or 16 bits."""
    deep = maximum > 255
    own = np.rint(pixels * (maximum / (65535 if deep else 255)))
    return own.astype(np.uint16 if deep else np.uint8)


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H, W, C) turned as an orientation tag says; only those of 2 to 8 do."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    """Return a grey or RGB image; a palette's colours, grey if all of them are."""
    has_palette = image.mode in ("P", "PA")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and not has_palette:  # a grey level
        _refuse_transparent(bool((np.asarray(image) == transparent).any()))
    elif transparent is not None:
        image = image.convert("RGBA")
    if image.mode in ("LA", "RGBA", "PA"):
        _refuse_transparent(image.getchannel("A").getextrema() != (255, 255))
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if has_palette:
        return _grey_if_it_is(image.convert("RGB"))
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("L", "I", "F", "RGB") or image.mode.startswith("I;16"):
        return image
    raise BadFileError(ImageReason.FORM, f"mode {image.mode}")


def _refuse_transparent(transparent: bool) -> None:
    if transparent:
        raise BadFileError(ImageReason.FORM, "partly transparent")


def _grey_if_it_is(image: Image.Image) -> Image.Image:
    """Return an RGB image of grey colours only as grey."""
    red, green, blue = (channel.tobytes() for channel in image.split())
    return image.getchannel("R") if red == green == blue else image


def _is_deep_colour(image: Image.Image, content: bytes) -> bool:
    """Return whether it has more than 8 bits per colour, which Pillow reduces to 8."""
    if image.mode in ("L", "I", "F", "1", "P") or image.mode.startswith("I;16"):
        return False
    if image.format == "PNG":
        return content[24] > 8
    if image.format == "PPM":
        return (_pnm_maximum(image) or 255) > 255
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return any(count > 8 for count in (bits if isinstance(bits, tuple) else (bits,)))


def _deep_colour(image: Image.Image, content: bytes, page: int) -> _Page:
    """Return a page of a TIFF file with 16 bits per colour."""
    if image.format != "TIFF":
        detail = f"{image.format} of 16 bits a colour; save it as TIFF"
        raise BadFileError(ImageReason.FORM, detail)
    return _page_by_tifffile(content, page)


def _page_by_tifffile(content: bytes, number: int) -> _Page:
    """Return a page of a TIFF file, grey or RGB, of any type."""
    import tifffile

    page = tifffile.TiffFile(io.BytesIO(content)).pages[number].aspage()
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        raise BadFileError(ImageReason.FORM, _WHITE_IS_0)
    wanted: dict[int, int] = {tifffile.PHOTOMETRIC.MINISBLACK: 1, tifffile.PHOTOMETRIC.RGB: 3}
    samples = page.samplesperpixel
    if page.axes not in ("YX", "YXS", "SYX") or samples != wanted.get(page.photometric):
        detail = f"{samples} channels of {page.dtype}, axes {page.axes}"
        raise BadFileError(ImageReason.FORM, detail)
    if problem := excess(page.size, len(content)):
        raise BadFileError(ImageReason.UNREADABLE, problem)
    pixels = page.asarray().reshape(page.shape if samples > 1 else (*page.shape, 1))
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    tag = page.tags.get(_ORIENTATION)
    orientation = tag.value if tag else 1
    return _upright(pixels, orientation), orientation in range(2, 9)


def _is_nifti(content: bytes) -> bool:
    """Return whether a file starts as NIfTI does, or as gzip."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    return content[:2] == _GZIP or not _NIFTI_SIZES.isdisjoint(sizes)


def _unpack(file: IO[bytes], needed: int) -> bytes:
    """Return the first `needed` bytes; a file that unpacks to fewer takes no more memory."""
    file.seek(0)
    unpacked = io.BytesIO()
    while piece := file.read(max(0, min(_PIECE, needed - unpacked.tell()))):
        unpacked.write(piece)
    if len(file.read(_PIECE)) == _PIECE:  # at the end of the file, its checksum is compared
        raise ValueError("unpacks to more than its header declares")
    return unpacked.getvalue()


def _nifti(content: bytes) -> Decoded:
    """Return the values of a NIfTI file, scaled by its slope and intercept."""
    import nibabel

    try:
        packed = content[:2] == _GZIP
        file: Any = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
        head = file.read(max(_NIFTI_SIZES))
        second = {int.from_bytes(head[:4], order) for order in ("little", "big")} & {540}
        kind: Any = nibabel.Nifti2Image if second else nibabel.Nifti1Image
        suppressed: Any = nibabel.imageglobals.LoggingOutputSuppressor()
        with suppressed:  # `from_bytes` says it again
            header = kind.header_class(head[: 540 if second else 348])
        dtype, count = header.get_data_dtype(), math.prod(header.get_data_shape())
        if dtype.kind not in "biuf":
            raise BadFileError(ImageReason.FORM, f"values of type {dtype}")
        needed = header.get_data_offset() + count * dtype.itemsize
        if packed:
            if problem := excess(max(count, needed // _DEEP), len(content)):
                raise BadFileError(ImageReason.UNREADABLE, problem)
            content = _unpack(file, needed)
        if len(content) < needed:
            raise ValueError(f"Expected {needed} bytes, got {len(content)}")
        image = kind.from_bytes(content)
        values = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, np.float64)
        if not np.isfinite(affine).all():
            raise BadFileError(
                ImageReason.FORM, "NaN or infinite values in the affine of its header"
            )
        axes = tuple(nibabel.orientations.aff2axcodes(affine))  # type: ignore[no-untyped-call]
    except BadFileError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise_if_memory_lacks(error)
        raise BadFileError(ImageReason.UNREADABLE, str(error)) from None
    shape = values.shape
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3):
        raise BadFileError(ImageReason.FORM, f"{' x '.join(map(str, shape))} values")
    slices = values.T if values.ndim == 3 else values.T[None]
    return Decoded(slices[..., None], values.ndim == 3, axes, affine, image.header)
