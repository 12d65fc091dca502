"""CT slices as DICOM files: what a slice must be to be used, and its Hounsfield units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import pixel_array

from probunet.manifest import Reason

# of (0020,0032) against an outline's z: slices lie 0.6 mm apart or more
Z_TOLERANCE = 0.05


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


def read_header(path: Path, series: str | None = None) -> Header:
    """Return a slice's header, checked, without reading its pixels.

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
    dataset = _read(path, stop_before_pixels=True)
    return _checked_header(dataset, series)


def read_slice(path: Path, series: str | None = None) -> tuple[Header, NDArray[np.int16]]:
    """Return a slice's header and its Hounsfield units, (rows, columns).

    Raises
    ------
    BadSliceError
        If the slice cannot be used.
    """
    dataset = _read(path, stop_before_pixels=False)
    header = _checked_header(dataset, series)
    if "PixelData" not in dataset:
        raise BadSliceError(Reason.NO_PIXELS)
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed and len(dataset.PixelData) < 2 * header.shape[0] * header.shape[1]:
        raise BadSliceError(Reason.TRUNCATED, f"{len(dataset.PixelData)} bytes of pixel data")
    try:
        stored = pixel_array(dataset)
    except RuntimeError as error:  # what pydicom raises when no decoder takes the syntax
        raise BadSliceError(
            Reason.CANNOT_DECODE,
            f"{syntax.name}; `pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg` "
            "brings decoders",
        ) from error
    except (ValueError, AttributeError, IndexError, EOFError) as error:
        raise BadSliceError(Reason.TRUNCATED, str(error)) from error
    slope = float(dataset.get("RescaleSlope", 1))
    intercept = float(dataset.get("RescaleIntercept", 0))
    if slope == 1 and intercept == int(intercept):
        hu = stored.astype(np.int32) + int(intercept)
    else:
        hu = np.rint(stored * slope + intercept)
    return header, np.clip(hu, -32768, 32767).astype(np.int16)


def _read(path: Path, *, stop_before_pixels: bool) -> pydicom.FileDataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels)
    except FileNotFoundError:
        raise BadSliceError(Reason.MISSING, "the file is gone") from None
    except InvalidDicomError:
        empty = path.stat().st_size == 0
        raise BadSliceError(Reason.EMPTY if empty else Reason.NOT_DICOM) from None
    except (EOFError, ValueError, KeyError, NotImplementedError) as error:
        empty = path.stat().st_size == 0
        raise BadSliceError(Reason.EMPTY if empty else Reason.TRUNCATED, str(error)) from None


def _checked_header(dataset: pydicom.Dataset, series: str | None) -> Header:
    try:
        uid = str(dataset.SeriesInstanceUID)
        shape = (int(dataset.Rows), int(dataset.Columns))
        row_spacing, column_spacing = (float(value) for value in dataset.PixelSpacing)
        z = float(dataset.ImagePositionPatient[2])
        orientation = [float(value) for value in dataset.ImageOrientationPatient]
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise BadSliceError(Reason.GEOMETRY, str(error)) from None
    if series is not None and uid != series:
        raise BadSliceError(Reason.WRONG_SERIES, f"{uid} instead of {series}")
    axial = np.allclose(np.abs(orientation), (1, 0, 0, 0, 1, 0), atol=1e-3)
    if not axial or not np.isclose(row_spacing, column_spacing, rtol=1e-3) or row_spacing <= 0:
        raise BadSliceError(
            Reason.GEOMETRY, f"spacing {row_spacing} x {column_spacing}, orientation {orientation}"
        )
    location = dataset.get("SliceLocation")
    if location is not None and abs(abs(float(location)) - abs(z)) > Z_TOLERANCE:
        raise BadSliceError(Reason.SLICE_LOCATION, f"SliceLocation {location}, z {z}")
    return Header(uid, z, row_spacing, shape)
