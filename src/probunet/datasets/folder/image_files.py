"""Decode image and mask files: PNG and TIFF, and NIfTI of two or three dimensions.

The content of a file determines its format; the name is ignored.
"""

import gzip
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.raw_file import BadFileError

KEPT = (np.uint8, np.uint16, np.int16)  # types that are stored unchanged
_GZIP = b"\x1f\x8b"
_NIFTI_SIZES = {348, 540}  # first number of the header, its size: NIfTI-1 and NIfTI-2
_BITS_PER_SAMPLE = 258  # TIFF's tag


@dataclass(frozen=True)
class Decoded:
    """The content of a file; a picture is a volume of one slice."""

    pixels: NDArray[Any]  # (slices, H, W, C)
    volume: bool
    orientation: tuple[str | None, ...] | None = None  # NIfTI: direction of the axes, "LPS"


def decode_image(content: bytes) -> Decoded:
    """Return an image as uint8, uint16 or int16 if the file has this type, else as float32.

    The axes of NIfTI are columns, rows and slices.

    Raises
    ------
    BadFileError
        If it is damaged, or in a form that cannot be read without loss.
    """
    decoded = _nifti(content) if _is_nifti(content) else _picture(content)
    pixels = decoded.pixels
    if pixels.dtype.newbyteorder("=") == np.int8:
        pixels = pixels.astype(np.int16)
    elif pixels.dtype.newbyteorder("=") not in KEPT:
        pixels = pixels.astype(np.float32)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return Decoded(native, decoded.volume, decoded.orientation)


def decode_mask(content: bytes) -> Decoded:
    """Return a mask as (slices, H, W, 1) bool: 0 is background, other values are foreground.

    Raises
    ------
    BadFileError
        If it is damaged, or has NaN or infinite values.
    """
    decoded = _nifti(content) if _is_nifti(content) else _picture(content, mask=True)
    if not is_finite(decoded.pixels):
        raise BadFileError(ImageReason.NOT_FINITE)
    marked = np.asarray(decoded.pixels.any(axis=-1, keepdims=True))
    return Decoded(marked, decoded.volume, decoded.orientation)


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


def _picture(content: bytes, mask: bool = False) -> Decoded:
    """Return the pixels of a PNG or TIFF file."""
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG", "TIFF"])
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise BadFileError(ImageReason.FORM, f"{frames} pictures in one file")
        if _is_deep_colour(image, content):
            return Decoded(_deep_colour(image, content), volume=False)
        image.load()
    except UnidentifiedImageError:
        raise BadFileError(ImageReason.UNREADABLE) from None
    except BadFileError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise BadFileError(ImageReason.UNREADABLE, str(error)) from None
    pixels = np.asarray(_grey_or_rgb(image, mask))
    return Decoded(pixels[None].reshape(1, *image.size[::-1], -1), volume=False)


def _grey_or_rgb(image: Image.Image, mask: bool) -> Image.Image:
    """Return a grey or RGB image; the palette indices of a mask."""
    if image.mode == "P" and mask:
        return image  # its values are the classes
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise BadFileError(ImageReason.FORM, "partly transparent")
        return image.convert("L" if image.mode == "LA" else "RGB")
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    if image.mode in ("L", "I", "F", "RGB") or image.mode.startswith("I;16"):
        return image
    raise BadFileError(ImageReason.FORM, f"mode {image.mode}")


def _is_deep_colour(image: Image.Image, content: bytes) -> bool:
    """Return whether it has more than 8 bits per colour, which Pillow reduces to 8."""
    if image.mode in ("L", "I", "F", "1", "P") or image.mode.startswith("I;16"):
        return False
    if image.format == "PNG":
        return content[24] > 8
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return any(count > 8 for count in (bits if isinstance(bits, tuple) else (bits,)))


def _deep_colour(image: Image.Image, content: bytes) -> NDArray[Any]:
    """Return the pixels (1, H, W, 3) of a TIFF file with 16 bits per colour."""
    if image.format != "TIFF":
        raise BadFileError(ImageReason.FORM, "PNG of 16 bits a colour; save it as TIFF")
    import tifffile

    pixels = np.asarray(tifffile.imread(io.BytesIO(content)))
    if pixels.shape == (3, *image.size[::-1]):  # a plane for each colour
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape != (*image.size[::-1], 3):
        raise BadFileError(ImageReason.FORM, f"{pixels.shape[-1]} channels of 16 bits")
    return pixels[None]


def _is_nifti(content: bytes) -> bool:
    """Return whether a file starts as NIfTI does, or as gzip."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    return content[:2] == _GZIP or not _NIFTI_SIZES.isdisjoint(sizes)


def _nifti(content: bytes) -> Decoded:
    """Return the values of a NIfTI file, scaled by its slope and intercept."""
    import nibabel

    try:
        raw = gzip.decompress(content) if content[:2] == _GZIP else content
        second = {int.from_bytes(raw[:4], order) for order in ("little", "big")} & {540}
        image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(raw)
        values = np.asarray(image.dataobj)
    except Exception as error:  # decoders raise anything on damaged data
        raise BadFileError(ImageReason.UNREADABLE, str(error)) from None
    if values.dtype.kind not in "biuf":
        raise BadFileError(ImageReason.FORM, f"values of type {values.dtype}")
    shape = values.shape
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3):
        raise BadFileError(ImageReason.FORM, f"{' x '.join(map(str, shape))} values")
    slices = values.T if values.ndim == 3 else values.T[None]
    axes = tuple(nibabel.orientations.aff2axcodes(image.affine))  # type: ignore[no-untyped-call]
    return Decoded(slices[..., None], volume=values.ndim == 3, orientation=axes)
