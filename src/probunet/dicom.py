"""CT slices as DICOM files: what a slice must be to be used, and its Hounsfield units."""

from dataclasses import dataclass
from io import BytesIO
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

from probunet.errors import ProbunetError
from probunet.manifest import Reason

# of (0020,0032) against an outline's z: slices lie 0.6 mm apart or more
Z_TOLERANCE = 0.05

_PIXEL_DATA = 0x7FE00010
_LAST_NEEDED = 0x00280030  # PixelSpacing, of what a header is read for
_LARGE = 4096  # bytes of an element that stays in the file until it is asked for

# what decodes a transfer syntax whose name has this in it; the last serves the older JPEGs
_DECODERS = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "": "pylibjpeg pylibjpeg-libjpeg",
}


class BadSliceError(Exception):
    """A slice that cannot be used, and why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Header:
    """What is needed of a slice's header."""

    series: str
    z: float  # mm
    spacing: float  # mm, the same along rows and columns
    shape: tuple[int, int]


def read_header(file: Path | BytesIO, series: str | None = None, cut: bool = False) -> Header:
    """Return a slice's header, checked, without reading its pixels.

    Parameters
    ----------
    file
        The DICOM file, or the bytes that it begins with.
    series
        The series UID that the file must carry; any if None.
    cut
        Whether the bytes may end within the header.

    Raises
    ------
    BadSliceError
        If the slice cannot be used, or its header is cut.
    """
    dataset = _read(file, stop_before_pixels=True)
    # pydicom takes a value that is cut for a shorter one: what is needed must not be the last
    if cut and max(dataset.keys()) <= _LAST_NEEDED:
        raise BadSliceError(Reason.TRUNCATED, "the header is longer")
    return _checked_header(dataset, series)


@dataclass(frozen=True)
class Slice:
    """An open slice: its header is read and checked, its pixels are read when asked for."""

    header: Header
    slope: float
    intercept: float
    # the stored values, (rows, columns), or where they lie in the file
    stored: "NDArray[np.integer] | _Plain"

    def hounsfield(self, first: int = 0, last: int | None = None) -> NDArray[np.int16]:
        """Return the Hounsfield units of rows `first` up to `last`, (rows, columns).

        Values that int16 cannot hold are clipped; padding outside the scanner's circle (-2000 in
        many LIDC slices) stays as it is, below air.

        Raises
        ------
        BadSliceError
            If the file has become shorter.
        """
        last = self.header.shape[0] if last is None else last
        if isinstance(self.stored, _Plain):
            return self._scaled(self.stored.read(first, last, self.header.shape[1]))
        return self._scaled(self.stored[first:last])

    def _scaled(self, stored: NDArray[np.integer]) -> NDArray[np.int16]:
        whole = self.slope == 1 and self.intercept == int(self.intercept)
        if whole and stored.size and stored.dtype in (np.int16, np.uint16):
            shift = int(self.intercept)
            low, high = int(stored.min()) + shift, int(stored.max()) + shift
            if low >= -(2**15) and high < 2**15 and abs(shift) < 2**15:
                return stored.view(np.int16) + np.int16(shift)  # wraps around to the right values
        hu = np.rint(stored.astype(np.float64) * self.slope + self.intercept)
        return np.clip(hu, -(2**15), 2**15 - 1).astype(np.int16)


def open_slice(path: Path, series: str | None = None) -> Slice:
    """Return a slice, its header checked and its pixels known to be there and decodable.

    Parameters
    ----------
    path
        The DICOM file.
    series
        The series UID that the file must carry; any if None.

    Raises
    ------
    BadSliceError
        If the slice cannot be used.
    """
    dataset = _read(path, stop_before_pixels=False)
    header = _checked_header(dataset, series)
    try:
        (slope,) = _numbers(dataset, "RescaleSlope", [1.0])
        (intercept,) = _numbers(dataset, "RescaleIntercept", [0.0])
    except Exception as error:
        raise BadSliceError(Reason.GEOMETRY, f"RescaleSlope or RescaleIntercept: {error}") from None
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise BadSliceError(Reason.GEOMETRY, f"RescaleSlope {slope}, intercept {intercept}")
    try:
        stored = _pixels(path, dataset, header)
    except (BadSliceError, OSError):
        raise
    except Exception as error:  # decoders, and the values that tell how, may raise anything
        raise BadSliceError(Reason.TRUNCATED, str(error)) from error
    return Slice(header, slope, intercept, stored)


def read_slice(path: Path, series: str | None = None) -> tuple[Header, NDArray[np.int16]]:
    """Return a slice's header and its Hounsfield units, (rows, columns); raises as `open_slice`."""
    opened = open_slice(path, series)
    return opened.header, opened.hounsfield()


@dataclass(frozen=True)
class _Plain:
    """Uncompressed values of two bytes, in the file from `offset` on."""

    path: Path
    offset: int
    dtype: str

    def read(self, first: int, last: int, columns: int) -> NDArray[np.integer]:
        count = (last - first) * columns
        start = self.offset + 2 * first * columns
        stored: NDArray[np.integer] = np.fromfile(self.path, self.dtype, count, offset=start)
        if len(stored) < count:
            raise BadSliceError(Reason.TRUNCATED, "the file has become shorter")
        return stored.reshape(-1, columns)


def _read(file: Path | BytesIO, *, stop_before_pixels: bool) -> pydicom.FileDataset:
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=stop_before_pixels, defer_size=_LARGE)
    except FileNotFoundError:
        raise BadSliceError(Reason.MISSING, "the file is gone") from None
    except InvalidDicomError:
        empty = _is_empty(file)
        raise BadSliceError(Reason.EMPTY if empty else Reason.NOT_DICOM) from None
    except OSError as error:
        raise ProbunetError(f"{file}: cannot be read ({error.strerror}).") from error
    except Exception as error:  # on garbage pydicom raises nearly anything
        empty = _is_empty(file)
        raise BadSliceError(Reason.EMPTY if empty else Reason.TRUNCATED, str(error)) from None
    if not len(dataset):  # pydicom gives up all elements where the file ends within one
        raise BadSliceError(Reason.TRUNCATED, "it ends in the middle")
    return dataset


def _is_empty(file: Path | BytesIO) -> bool:
    return not (file.getbuffer().nbytes if isinstance(file, BytesIO) else file.stat().st_size)


def _checked_header(dataset: pydicom.Dataset, series: str | None) -> Header:
    try:
        uid = str(dataset.SeriesInstanceUID)
        shape = (int(dataset.Rows), int(dataset.Columns))
        row_spacing, column_spacing = _numbers(dataset, "PixelSpacing")
        z = _numbers(dataset, "ImagePositionPatient")[2]
        orientation = _numbers(dataset, "ImageOrientationPatient")
        (location,) = _numbers(dataset, "SliceLocation", [z])
    except Exception as error:  # values are converted here, and garbage may be anything
        raise BadSliceError(Reason.GEOMETRY, str(error)) from None
    if series is not None and uid != series:
        raise BadSliceError(Reason.WRONG_SERIES, f"{uid} instead of {series}")
    along = zip(orientation, (1, 0, 0, 0, 1, 0), strict=False)
    axial = len(orientation) == 6 and all(abs(abs(a) - b) < 1e-3 for a, b in along)
    square = abs(row_spacing - column_spacing) <= 1e-3 * column_spacing
    if not (axial and square and row_spacing > 0):
        raise BadSliceError(
            Reason.GEOMETRY, f"spacing {row_spacing} x {column_spacing}, orientation {orientation}"
        )
    if not abs(abs(location) - abs(z)) <= Z_TOLERANCE:
        raise BadSliceError(Reason.SLICE_LOCATION, f"SliceLocation {location}, z {z}")
    return Header(uid, z, row_spacing, shape)


def _numbers(
    dataset: pydicom.Dataset, keyword: str, otherwise: list[float] | None = None
) -> list[float]:
    """Return an element's decimal numbers, or `otherwise` if it is absent or empty."""
    if otherwise is not None and keyword not in dataset:
        return otherwise
    element = dataset.get_item(keyword)
    value = element.value
    if isinstance(element, RawDataElement) and element.VR in ("DS", None):
        # as text; pydicom's conversion, which keeps the text beside the number, takes longer
        parts = (value or b"").strip(b" \0").split(b"\\")
    else:
        value = dataset[keyword].value
        parts = value if isinstance(value, MultiValue) else [value]
    if otherwise is not None and parts in ([b""], [None]):
        return otherwise
    return [float(part) for part in parts]


def _pixels(
    path: Path, dataset: pydicom.FileDataset, header: Header
) -> "NDArray[np.integer] | _Plain":
    element = next((e for e in reversed(list(dataset.values())) if e.tag == _PIXEL_DATA), None)
    if not isinstance(element, RawDataElement) or not element.length:
        raise BadSliceError(Reason.NO_PIXELS)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID", ""))
    if not syntax.is_transfer_syntax:
        raise BadSliceError(Reason.CANNOT_DECODE, f"unknown transfer syntax {str(syntax)!r}")
    if syntax.is_deflated:  # pydicom cannot go back for what it left in such a file
        dataset = pydicom.dcmread(path)
    if syntax.is_compressed:
        _check_decoder(syntax)
    elif not syntax.is_deflated:
        there = min(element.length, path.stat().st_size - element.value_tell)
        needed = header.shape[0] * header.shape[1] * (dataset.get("BitsAllocated", 16) // 8)
        if there < needed:
            raise BadSliceError(Reason.TRUNCATED, f"{there} of {needed} bytes of pixel data")
        if syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian) and _is_plain(dataset):
            # what nearly every CT is: read just the rows that are asked for
            kind = "<i2" if dataset.PixelRepresentation else "<u2"
            return _Plain(path, element.value_tell, kind)
    stored: NDArray[np.integer] = pixel_array(dataset)
    if stored.shape != header.shape:
        raise BadSliceError(Reason.GEOMETRY, f"pixel data of shape {stored.shape}")
    return stored


def _check_decoder(syntax: UID) -> None:
    try:
        if get_decoder(syntax).is_available:
            return
    except NotImplementedError:  # pydicom knows no decoder at all
        pass
    packages = next(names for part, names in _DECODERS.items() if part in syntax.name)
    raise BadSliceError(Reason.CANNOT_DECODE, f"{syntax.name}; `pip install {packages}` decodes it")


def _is_plain(dataset: pydicom.FileDataset) -> bool:
    wanted = {"BitsAllocated": 16, "BitsStored": 16, "SamplesPerPixel": 1, "NumberOfFrames": 1}
    return all(dataset.get(key, 1) == value for key, value in wanted.items())
