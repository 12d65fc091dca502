"""Read CT slices from DICOM files: check that a slice is usable, and return Hounsfield units."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import SEEK_END, BufferedIOBase, BufferedReader, BytesIO, FileIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from probunet.datasets.lidc.manifest import Reason
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.limits import LARGEST_DICOM, excess, regular
from probunet.memory import raise_if_memory_lacks

# mm between (0020,0032) and an outline's z; slices are 0.6 mm apart or more
Z_TOLERANCE = 0.05

_PIXEL_DATA = 0x7FE00010
_LAST_NEEDED = 0x00280030  # PixelSpacing, the last tag that `read_header` needs
_PIECE = 2**20  # bytes that are unpacked at once
_LARGE = 4096  # bytes; longer elements stay in the file until they are used

# larger values are mistakes
_MAX_SPACING = 10.0  # mm per pixel
_MAX_SLOPE = 100.0  # HU per stored value
_MAX_INTERCEPT = 2.0**15  # HU, in both directions

# how the values are stored; all are required
_FORMAT = ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation")

# packages that decode the transfer syntaxes whose name contains the key; the last: older JPEGs
_DECODERS = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "": "pylibjpeg pylibjpeg-libjpeg",
}


@dataclass(frozen=True)
class Header:
    """The needed part of a slice's header."""

    series: str
    z: float  # mm
    spacing: float  # mm, equal along rows and columns
    shape: tuple[int, int]
    instance: str  # SOPInstanceUID; empty if it is absent


def read_header(file: Path | BytesIO, series: str | None = None, truncated: bool = False) -> Header:
    """Return a slice's checked header without reading its pixels.

    `file` is a DICOM file, or its first bytes, which may end within the header if `truncated`.
    `series` is the required series UID; any if None.

    Raises
    ------
    BadFileError
        If the slice cannot be used, or its header is incomplete.
    """
    dataset = _read(file, stop_before_pixels=True)
    # pydicom reads a truncated value as a shorter one, so the last value is not trusted
    if truncated and max(dataset.keys()) <= _LAST_NEEDED:
        raise BadFileError(Reason.TRUNCATED, "the header is longer")
    return _checked_header(dataset, series)


@dataclass(frozen=True)
class _Uncompressed:
    """Values of two bytes, in the file from `offset` on."""

    path: Path
    offset: int
    dtype: str

    def read(self, first: int, last: int, columns: int) -> NDArray[np.integer]:
        """Return rows `first` to `last` (excluded), (rows, columns)."""
        count, start = (last - first) * columns, self.offset + 2 * first * columns
        stored: NDArray[np.integer] = np.fromfile(self.path, self.dtype, count, offset=start)
        if len(stored) < count:
            raise BadFileError(Reason.TRUNCATED, "the file has become shorter")
        return stored.reshape(-1, columns)


@dataclass(frozen=True)
class Slice:
    """An open slice with a checked header, whose pixels are read on demand."""

    header: Header
    slope: float
    intercept: float
    stored: NDArray[np.integer] | _Uncompressed  # (rows, columns)

    def hounsfield(self, first: int = 0, last: int | None = None) -> NDArray[np.int16]:
        """Return the Hounsfield units of rows `first` to `last` (excluded), (rows, columns).

        Values outside of int16 are clipped. Padding outside the scanner's circle (-2000 in many
        LIDC slices) is kept.

        Raises
        ------
        BadFileError
            If the file has become shorter.
        """
        last = self.header.shape[0] if last is None else last
        if isinstance(self.stored, _Uncompressed):
            stored = self.stored.read(first, last, self.header.shape[1])
        else:
            stored = self.stored[first:last]
        whole = self.slope == 1 and self.intercept == int(self.intercept)
        if whole and stored.size and stored.dtype in (np.int16, np.uint16):
            shift = int(self.intercept)
            low, high = int(stored.min()) + shift, int(stored.max()) + shift
            if low >= -(2**15) and high < 2**15 and abs(shift) < 2**15:
                return stored.view(np.int16) + np.int16(shift)  # overflow wraps to the right values
        hu = np.rint(stored.astype(np.float64) * self.slope + self.intercept)
        return np.clip(hu, -(2**15), 2**15 - 1).astype(np.int16)


def open_slice(path: Path, series: str | None = None) -> Slice:
    """Return a slice with a checked header and pixels that exist and can be decoded.

    `series` is the required series UID; any if None.

    Raises
    ------
    BadFileError
        If the slice cannot be used.
    """
    dataset = _read(path, stop_before_pixels=False)
    return _opened(path, dataset, _checked_header(dataset, series))


def read_plane(path: Path) -> tuple[pydicom.FileDataset, NDArray[np.int16]]:
    """Return the header and the Hounsfield units (rows, columns) of a CT slice of any geometry.

    Raises
    ------
    BadFileError
        If it has no pixels that can be decoded, or does not say how they are stored.
    """
    dataset = _read(path, stop_before_pixels=False)
    try:
        shape = (int(dataset.Rows), int(dataset.Columns))
    except Exception as error:  # the conversion of garbage raises anything
        raise_if_memory_lacks(error)
        raise BadFileError(Reason.PIXEL_FORMAT, str(error)) from None
    return dataset, _opened(path, dataset, Header("", 0.0, 1.0, shape, "")).hounsfield()


def _opened(path: Path, dataset: pydicom.FileDataset, header: Header) -> Slice:
    slope, intercept = _rescale(dataset)
    try:
        stored = _pixels(path, dataset, header)
    except (BadFileError, OSError):
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise_if_memory_lacks(error)
        raise BadFileError(Reason.TRUNCATED, str(error)) from error
    return Slice(header, slope, intercept, stored)


def read_slice(path: Path, series: str | None = None) -> tuple[Header, NDArray[np.int16]]:
    """Return a slice's header and Hounsfield units, (rows, columns); raises as `open_slice`."""
    opened = open_slice(path, series)
    return opened.header, opened.hounsfield()


class _Guarded(BufferedIOBase):
    """A file that an element cannot make pydicom take more memory for than it has bytes.

    `read()` without a size is the call that pydicom makes to unpack a deflated data set.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes, or the rest, if this unpacks to a slice."""
        if size is not None and size > _LARGE:  # the size that an element declares
            at = self.tell()
            size = min(size, self.seek(0, SEEK_END) - at)
            self.seek(at)
        content: bytes = super().read(size)
        if size is None or size < 0:
            unpacked = zlib.decompressobj(-zlib.MAX_WBITS)
            pieces, count = content, 0
            while pieces and not unpacked.eof:
                count += len(unpacked.decompress(pieces, _PIECE))
                pieces = unpacked.unconsumed_tail
                if count > LARGEST_DICOM:
                    raise BadFileError(
                        Reason.CANNOT_DECODE, f"unpacks to more than {LARGEST_DICOM:,} bytes"
                    )
        return content


class _File(_Guarded, BufferedReader):
    """A file on disk."""


class _Beginning(_Guarded, BytesIO):
    """The first bytes of a file."""


def read_dataset(
    file: Path | BytesIO, *, stop_before_pixels: bool = True, defer_size: int | None = _LARGE
) -> pydicom.FileDataset:
    """Return the elements of a regular DICOM file, or of its first bytes.

    Raises
    ------
    BadFileError
        If it is deflated, and unpacks to more than a slice.
    Exception
        pydicom raises anything on damaged data.
    """
    opened = _Beginning(file.getvalue()) if isinstance(file, BytesIO) else _open(file)
    with opened:
        return pydicom.dcmread(opened, stop_before_pixels=stop_before_pixels, defer_size=defer_size)


def _open(path: Path) -> _File:
    return _File(FileIO(path, opener=regular))


def _read(file: Path | BytesIO, *, stop_before_pixels: bool) -> pydicom.FileDataset:
    try:
        dataset = read_dataset(file, stop_before_pixels=stop_before_pixels)
    except FileNotFoundError:
        raise BadFileError(Reason.MISSING, "the file is gone") from None
    except OSError as error:
        raise ProbunetError(f"{file}: cannot be read ({error.strerror}).") from error
    except BadFileError:
        raise
    except Exception as error:  # pydicom raises nearly anything on garbage
        raise_if_memory_lacks(error)
        if not (file.getbuffer().nbytes if isinstance(file, BytesIO) else file.stat().st_size):
            raise BadFileError(Reason.EMPTY) from None
        if isinstance(error, InvalidDicomError):
            raise BadFileError(Reason.NOT_DICOM) from None
        raise BadFileError(Reason.TRUNCATED, str(error)) from None
    if not len(dataset):  # pydicom returns no elements if the file ends within one
        raise BadFileError(Reason.TRUNCATED, "it ends in the middle")
    return dataset


def _checked_header(dataset: pydicom.Dataset, series: str | None) -> Header:
    try:
        uid, instance = str(dataset.SeriesInstanceUID), str(dataset.get("SOPInstanceUID", ""))
        shape = (int(dataset.Rows), int(dataset.Columns))
        row_spacing, column_spacing = _numbers(dataset, "PixelSpacing")
        z = _numbers(dataset, "ImagePositionPatient")[2]
        orientation = _numbers(dataset, "ImageOrientationPatient")
        (location,) = _numbers(dataset, "SliceLocation", [z])
    except Exception as error:  # the conversion of garbage raises anything
        raise_if_memory_lacks(error)
        raise BadFileError(Reason.GEOMETRY, str(error)) from None
    if series is not None and uid != series:
        raise BadFileError(Reason.WRONG_SERIES, f"{uid} instead of {series}")
    along = zip(orientation, (1, 0, 0, 0, 1, 0), strict=False)
    axial = len(orientation) == 6 and all(abs(abs(a) - b) < 1e-3 for a, b in along)
    square = abs(row_spacing - column_spacing) <= 1e-3 * column_spacing
    if not (axial and square and 0 < row_spacing < _MAX_SPACING):
        raise BadFileError(
            Reason.GEOMETRY, f"spacing {row_spacing} x {column_spacing}, orientation {orientation}"
        )
    if not abs(abs(location) - abs(z)) <= Z_TOLERANCE:
        raise BadFileError(Reason.SLICE_LOCATION, f"SliceLocation {location}, z {z}")
    return Header(uid, z, row_spacing, shape, instance)


def _rescale(dataset: pydicom.Dataset) -> tuple[float, float]:
    """Return slope and intercept of the Hounsfield units; neither has a default."""
    slope = _rescale_number(dataset, "RescaleSlope")
    intercept = _rescale_number(dataset, "RescaleIntercept")
    (unit,) = _texts(dataset, ["RescaleType"], Reason.RESCALE)
    if not (0 < slope <= _MAX_SLOPE and abs(intercept) <= _MAX_INTERCEPT):
        detail = f"RescaleSlope {slope:g}, RescaleIntercept {intercept:g}"
        raise BadFileError(Reason.RESCALE, detail)
    if unit not in ("", "HU"):
        raise BadFileError(Reason.RESCALE, f"RescaleType {unit}")
    return slope, intercept


def _rescale_number(dataset: pydicom.Dataset, keyword: str) -> float:
    try:
        found = _numbers(dataset, keyword, [])
    except Exception as error:  # the conversion of garbage raises anything
        raise_if_memory_lacks(error)
        raise BadFileError(Reason.RESCALE, f"{keyword}: {error}") from None
    if len(found) != 1:
        has = f"has {len(found)} values" if found else "is missing"
        raise BadFileError(Reason.RESCALE, f"{keyword} {has}")
    return found[0]


def _check_pixel_format(dataset: pydicom.Dataset) -> None:
    """Raise BadFileError if an element that says how values are stored is missing or wrong."""
    values = dict(zip(_FORMAT, _texts(dataset, _FORMAT, Reason.PIXEL_FORMAT), strict=True))
    if missing := [keyword for keyword, value in values.items() if not value]:
        raise BadFileError(Reason.PIXEL_FORMAT, f"{', '.join(missing)} missing")
    (high,) = _texts(dataset, ["HighBit"], Reason.PIXEL_FORMAT)
    photometric, allocated, stored, signed = values.values()
    right = photometric == "MONOCHROME2" and signed in ("0", "1")
    if right and allocated.isdecimal() and stored.isdecimal():
        bits = int(stored)
        right = 0 < bits <= int(allocated) and high in ("", str(bits - 1))
    if not right:
        detail = ", ".join(f"{keyword} {value}" for keyword, value in values.items())
        raise BadFileError(Reason.PIXEL_FORMAT, f"{detail}, HighBit {high}")


def _texts(dataset: pydicom.Dataset, keywords: Sequence[str], reason: Reason) -> list[str]:
    """Return the elements' values as text; empty for an absent or empty one."""
    try:
        values = [dataset.get(keyword) for keyword in keywords]
    except Exception as error:  # the conversion of garbage raises anything
        raise_if_memory_lacks(error)
        raise BadFileError(reason, str(error)) from None
    return ["" if value is None else str(value).strip() for value in values]


def _numbers(
    dataset: pydicom.Dataset, keyword: str, default: list[float] | None = None
) -> list[float]:
    """Return an element's decimal numbers; `default` if it is absent or empty."""
    if default is not None and keyword not in dataset:
        return default
    element = dataset.get_item(keyword)
    value = element.value
    if isinstance(element, RawDataElement) and element.VR in ("DS", None):
        # from the text, which is faster than pydicom's conversion
        parts = (value or b"").strip(b" \0").split(b"\\")
    else:
        value = dataset[keyword].value
        parts = value if isinstance(value, MultiValue) else [value]
    if default is not None and parts in ([b""], [None]):
        return default
    return [float(part) for part in parts]


def _pixels(
    path: Path, dataset: pydicom.FileDataset, header: Header
) -> NDArray[np.integer] | _Uncompressed:
    element = next((e for e in reversed(list(dataset.values())) if e.tag == _PIXEL_DATA), None)
    if not isinstance(element, RawDataElement) or not element.length:
        raise BadFileError(Reason.NO_PIXELS)
    _check_pixel_format(dataset)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID", ""))
    if not syntax.is_transfer_syntax:
        raise BadFileError(Reason.CANNOT_DECODE, f"unknown transfer syntax {str(syntax)!r}")
    if syntax.is_compressed:
        _check_decoder(syntax)
        _check_size(path, dataset, header)
    elif not syntax.is_deflated:
        found = min(element.length, path.stat().st_size - element.value_tell)
        needed = header.shape[0] * header.shape[1] * (dataset.BitsAllocated // 8)
        if found < needed:
            raise BadFileError(Reason.TRUNCATED, f"{found} of {needed} bytes of pixel data")
        if syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian) and _is_16_bit(dataset):
            # nearly every CT: rows can be read one by one
            kind = "<i2" if dataset.PixelRepresentation else "<u2"
            return _Uncompressed(path, element.value_tell, kind)
    # again and whole: pydicom cannot load deferred elements of a file that it did not open itself
    dataset = read_dataset(path, stop_before_pixels=False, defer_size=None)
    stored: NDArray[np.integer] = pixel_array(dataset)
    if stored.shape != header.shape:
        raise BadFileError(Reason.GEOMETRY, f"pixel data of shape {stored.shape}")
    return stored


def _check_size(path: Path, dataset: pydicom.FileDataset, header: Header) -> None:
    """Raise BadFileError if the header declares more pixels than a file of its size may hold."""
    frames, samples = (int(dataset.get(k) or 1) for k in ("NumberOfFrames", "SamplesPerPixel"))
    values = header.shape[0] * header.shape[1] * frames * samples
    if problem := excess(values, path.stat().st_size):
        raise BadFileError(Reason.CANNOT_DECODE, problem)


def _check_decoder(syntax: UID) -> None:
    try:
        if get_decoder(syntax).is_available:
            return
    except NotImplementedError:  # pydicom has no decoder for it
        pass
    packages = next(names for part, names in _DECODERS.items() if part in syntax.name)
    raise BadFileError(Reason.CANNOT_DECODE, f"{syntax.name}; `pip install {packages}` decodes it")


def _is_16_bit(dataset: pydicom.FileDataset) -> bool:
    wanted = {"BitsAllocated": 16, "BitsStored": 16, "SamplesPerPixel": 1, "NumberOfFrames": 1}
    return all(dataset.get(key, 1) == value for key, value in wanted.items())
