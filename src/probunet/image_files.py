"""Images and masks in files of one's own: PNG and TIFF, and NIfTI of two or three dimensions.

A file is what its content says, whatever its name.
"""

import gzip
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from probunet.image_manifest import ImageReason

KEPT = (np.uint8, np.uint16, np.int16)  # types of values that are stored as they are
_GZIP = b"\x1f\x8b"
_NIFTI_SIZES = {348, 540}  # of the header, its first number: NIfTI-1 and NIfTI-2
_BITS_PER_SAMPLE = 258  # TIFF's tag


class BadImageError(Exception):
    """A file that cannot be used, and why."""

    def __init__(self, reason: ImageReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Decoded:
    """What a file holds, a picture being a volume of one slice."""

    pixels: NDArray[Any]  # (slices, H, W, C)
    volume: bool
    orientation: tuple[str | None, ...] | None = None  # NIfTI: where the axes point, "LPS"


def decode_image(content: bytes) -> Decoded:
    """Return an image's values as they are stored: uint8, uint16, int16, or else float32.

    Of NIfTI the first axis is the columns, the second the rows and the third the slices.

    Raises
    ------
    BadImageError
        If it is damaged, or of a form that would lose something unseen.
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
    """Return a mask as (slices, H, W, 1) bool: 0 is background, all else is foreground.

    Raises
    ------
    BadImageError
        If it is damaged, or has values that are no numbers.
    """
    decoded = _nifti(content) if _is_nifti(content) else _picture(content, mask=True)
    if not is_finite(decoded.pixels):
        raise BadImageError(ImageReason.NOT_FINITE)
    marked = np.asarray(decoded.pixels.any(axis=-1, keepdims=True))
    return Decoded(marked, decoded.volume, decoded.orientation)


def is_finite(pixels: NDArray[Any]) -> bool:
    """Return whether all values are finite numbers."""
    return pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all())


def common_dtype(names: set[str]) -> np.dtype[Any]:
    """Return the type that holds the values of all these exactly.

    >>> common_dtype({"uint8", "uint16"}), common_dtype({"uint16", "int16"})
    (dtype('uint16'), dtype('float32'))
    """
    together = np.result_type(*sorted(names))
    return together if together in KEPT else np.dtype(np.float32)


def _picture(content: bytes, mask: bool = False) -> Decoded:
    """Return a PNG or TIFF file's pixels."""
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG", "TIFF"])
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise BadImageError(ImageReason.FORM, f"{frames} pictures in one file")
        if _is_deep_colour(image, content):
            return Decoded(_deep_colour(image, content), volume=False)
        image.load()
    except UnidentifiedImageError:
        raise BadImageError(ImageReason.UNREADABLE) from None
    except BadImageError:
        raise
    except Exception as error:  # whatever a decoder raises over damaged data
        raise BadImageError(ImageReason.UNREADABLE, str(error)) from None
    pixels = np.asarray(_plain(image, mask))
    return Decoded(pixels[None].reshape(1, *image.size[::-1], -1), volume=False)


def _plain(image: Image.Image, mask: bool) -> Image.Image:
    """Return an image whose values are grey or red, green and blue."""
    if image.mode == "P" and mask:
        return image  # its values are the classes, and its colours are for the eye
    if "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise BadImageError(ImageReason.FORM, "partly transparent")
        return image.convert("L" if image.mode == "LA" else "RGB")
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    if image.mode in ("L", "I", "F", "RGB") or image.mode.startswith("I;16"):
        return image
    raise BadImageError(ImageReason.FORM, f"mode {image.mode}")


def _is_deep_colour(image: Image.Image, content: bytes) -> bool:
    """Return whether it has more than 8 bits a colour, of which Pillow would keep 8."""
    if image.mode in ("L", "I", "F", "1", "P") or image.mode.startswith("I;16"):
        return False
    if image.format == "PNG":
        return content[24] > 8
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return any(count > 8 for count in (bits if isinstance(bits, tuple) else (bits,)))


def _deep_colour(image: Image.Image, content: bytes) -> NDArray[Any]:
    """Return the pixels (1, H, W, 3) of a TIFF file of 16 bits a colour."""
    if image.format != "TIFF":
        raise BadImageError(ImageReason.FORM, "PNG of 16 bits a colour; save it as TIFF")
    import tifffile

    pixels = np.asarray(tifffile.imread(io.BytesIO(content)))
    if pixels.shape == (3, *image.size[::-1]):  # a plane for each colour
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape != (*image.size[::-1], 3):
        raise BadImageError(ImageReason.FORM, f"{pixels.shape[-1]} channels of 16 bits")
    return pixels[None]


def _is_nifti(content: bytes) -> bool:
    """Return whether a file begins as NIfTI does; any gzip is taken for it."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    return content[:2] == _GZIP or not _NIFTI_SIZES.isdisjoint(sizes)


def _nifti(content: bytes) -> Decoded:
    """Return the values of a NIfTI file, scaled as it says."""
    import nibabel

    try:
        raw = gzip.decompress(content) if content[:2] == _GZIP else content
        second = {int.from_bytes(raw[:4], order) for order in ("little", "big")} & {540}
        image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(raw)
        values = np.asarray(image.dataobj)
    except Exception as error:  # whatever a decoder raises over damaged data
        raise BadImageError(ImageReason.UNREADABLE, str(error)) from None
    if values.dtype.kind not in "biuf":
        raise BadImageError(ImageReason.FORM, f"values of type {values.dtype}")
    shape = values.shape
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3):
        raise BadImageError(ImageReason.FORM, f"{' x '.join(map(str, shape))} values")
    slices = values.T if values.ndim == 3 else values.T[None]
    pointing = tuple(nibabel.orientations.aff2axcodes(image.affine))  # type: ignore[no-untyped-call]
    return Decoded(slices[..., None], volume=values.ndim == 3, orientation=pointing)
