"""A folder of one CT series as a volume, and crops around places in it.

The crops are those of protocol kohl2018 (`datasets.lidc.crop`): pixels of 0.5 mm, interpolated
linearly, centred on the place; what is drawn of them is laid back into the slices' own grid.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from probunet.datasets.lidc.crop import SPACING, Grid, resample
from probunet.datasets.lidc.dicom import read_plane
from probunet.datasets.lidc.store import SIZE
from probunet.datasets.raw_file import BadFileError
from probunet.errors import few
from probunet.limits import regular
from probunet.memory import raise_if_memory_lacks
from probunet.predict.base import Picture, Place, UnusableError, View
from probunet.predict.seg import write_seg
from probunet.truth.rows import centre

logger = logging.getLogger(__name__)

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from DICOM's coordinates to those of NIfTI
_UNEVEN = 0.1  # largest difference of two slices' distance from the usual one, as a share of it
_ASIDE = 0.5  # largest distance of a slice from the line of all, as a share of a pixel
_AXIAL = 1e-3  # largest difference of a direction's cosine from 0 or 1


def is_series(folder: Path) -> bool:
    """Return whether a folder has a DICOM file; those below its folders do not count."""
    return any(map(_is_dicom, folder.iterdir()))


def read_series(folder: Path, name: str) -> Picture:
    """Return the volume of the CT series in a folder, HU, with its place.

    Slices are in the order of their positions, along the normal of the slices' plane.

    Raises
    ------
    UnusableError
        If the folder has several series, another modality, or files that cannot be used; or if
        slices are missing, twice there or differ in size, spacing or orientation.
    """
    paths = sorted(filter(_is_dicom, folder.iterdir()))
    if not paths:
        raise UnusableError(f"{folder}: has no DICOM file; name the folder of one CT series.")
    if others := sum(path.is_file() for path in folder.rglob("*")) - len(paths):
        logger.info("%s: %d files beside the slices have no part", folder, others)
    slices = [_read_slice(path) for path in paths]
    series = Counter(one.series for one in slices)
    if len(series) > 1:
        counts = few([f"{uid} ({count} slices)" for uid, count in series.most_common()], 2)
        raise UnusableError(
            f"{folder}: has {len(series)} series: {counts}; move each into a folder of its own."
        )
    first = slices[0]
    for one in slices[1:]:
        for what in ("shape", "spacing", "orientation"):
            if not np.allclose(getattr(one, what), getattr(first, what), atol=_AXIAL):
                raise UnusableError(
                    f"{one.path}: has another {what} than {first.path}, {getattr(one, what)} and "
                    f"{getattr(first, what)}; remove the slices that do not belong to the volume."
                )
    slices.sort(key=lambda one: one.height)
    affine = _TO_RAS @ _affine(folder, slices)
    pixels = np.stack([one.hounsfield for one in slices])[..., None]
    ordered = tuple(one.path for one in slices)
    return Picture(name, pixels, True, affine, write_seg=partial(write_seg, ordered))


@dataclass(frozen=True)
class _Slice:
    """A CT slice with its place: millimetres in DICOM's coordinates (to the left, back, top)."""

    path: Path
    series: str
    shape: tuple[int, int]  # rows, columns
    spacing: tuple[float, ...]  # mm between rows, between columns
    orientation: tuple[float, ...]  # directions of increasing column, of increasing row
    position: NDArray[np.float64]  # (3,), of the first pixel's centre
    thickness: float
    hounsfield: NDArray[np.int16]  # (rows, columns)

    @property
    def height(self) -> float:
        """Position along the normal of the slices' plane, mm."""
        return float(self.position @ np.cross(self.orientation[:3], self.orientation[3:]))


def _read_slice(path: Path) -> _Slice:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
        modality = str(header.get("Modality") or "")
    except Exception as error:  # pydicom raises nearly anything on garbage; `read_plane` says what
        raise_if_memory_lacks(error)
        modality = "CT"
    if modality not in ("CT", ""):  # before its pixels: another modality has no Hounsfield units
        raise UnusableError(
            f"{path}: has the modality {modality}, and only CT has Hounsfield units; name the "
            "folder of a CT series, or convert the series to NIfTI."
        )
    try:
        dataset, hounsfield = read_plane(path)
    except BadFileError as error:
        raise UnusableError(
            f"{path}: {error}; remove it if it does not belong to the series, else export the "
            "series again."
        ) from None
    try:
        numbers = [
            tuple(float(value) for value in dataset[keyword].value)
            for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")
        ]
        series = str(dataset.SeriesInstanceUID)
        thickness = float(dataset.get("SliceThickness") or 1.0)
    except Exception as error:  # the conversion of garbage raises anything
        raise_if_memory_lacks(error)
        raise UnusableError(_geometry(path, f"{type(error).__name__}: {error}")) from None
    spacing, orientation, position = numbers
    right = [len(values) for values in numbers] == [2, 6, 3]
    right = right and all(map(math.isfinite, (*spacing, *orientation, *position, thickness)))
    if not right or min(*spacing, thickness) <= 0 or not _is_right_angle(orientation):
        found = f"spacing {spacing}, orientation {orientation}, position {position}"
        raise UnusableError(_geometry(path, found))
    at = np.array(position)
    return _Slice(path, series, hounsfield.shape, spacing, orientation, at, thickness, hounsfield)


def _geometry(path: Path, found: str) -> str:
    return (
        f"{path}: does not say where its pixels are ({found}); export the series again, as single "
        "slices with PixelSpacing, ImageOrientationPatient and ImagePositionPatient."
    )


def _is_right_angle(orientation: tuple[float, ...]) -> bool:
    directions = np.reshape(orientation, (2, 3))
    return bool(np.allclose(directions @ directions.T, np.eye(2), atol=_AXIAL))


def _affine(folder: Path, slices: Sequence[_Slice]) -> NDArray[np.float64]:
    """Return the matrix from (column, row, slice, 1) to DICOM's mm; slices are in order."""
    first = slices[0]
    between_rows, between_columns = first.spacing
    row, column = np.reshape(first.orientation, (2, 3))
    step = np.cross(row, column) * first.thickness
    if len(slices) > 1:
        heights = np.array([one.height for one in slices])
        gaps = np.diff(heights)
        usual = float(np.median(gaps))
        step = (slices[-1].position - first.position) / (len(slices) - 1)
        wrong = np.flatnonzero(~(abs(gaps - usual) <= _UNEVEN * usual))
        if len(wrong) or usual <= 0:
            k = int(wrong[0]) if len(wrong) else 0
            raise UnusableError(
                f"{folder}: {slices[k].path.name} and {slices[k + 1].path.name} are {gaps[k]:g} mm "
                f"apart, and slices usually {usual:g} mm: slices are missing or twice there; add "
                "or remove them."
            )
        line = first.position + np.arange(len(slices))[:, None] * step
        aside = np.linalg.norm([one.position for one in slices] - line, axis=1)
        k = int(aside.argmax())
        if aside[k] > _ASIDE * min(first.spacing):
            raise UnusableError(
                f"{folder}: {slices[k].path.name} is {aside[k]:g} mm beside the line of the "
                "slices, so that it is no volume of one grid; resample the series, or remove the "
                "slices that do not belong to it."
            )
    affine = np.eye(4)
    affine[:3] = np.stack([row * between_columns, column * between_rows, step, first.position], 1)
    return affine


def _is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its content: names have all kinds of endings, or none."""
    if path.name.startswith(".") or path.name == "DICOMDIR" or not path.is_file():
        return False
    try:
        with open(path, "rb", opener=regular) as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise UnusableError(f"{path}: cannot be read ({error.strerror}).") from None


# ------------------------------------------------------------------ crops


@dataclass(frozen=True)
class _Crops:
    """Views of the slices around places."""

    views: dict[int, list[View]]

    def of(self, k: int) -> list[View]:
        """Return the views of slice `k`."""
        return self.views.get(k, [])


def crops_at(
    picture: Picture, places: Sequence[Place], size: tuple[int, int], spacing: float
) -> _Crops:
    """Return the crops around places of a CT, on the slice that is nearest to each.

    Where crops overlap, the last one counts.

    Parameters
    ----------
    picture
        A CT series, or a NIfTI volume of one, whose slices are axial.
    size
        Height and width of a crop, pixels.
    spacing
        Of its pixels, mm.

    Raises
    ------
    UnusableError
        If the pixels' size or orientation is unknown or another than that of axial slices, or a
        place is outside of the volume.
    """
    if spacing != SPACING or max(size) > SIZE:
        raise UnusableError(
            f"{picture.name}: crops of {size[0]} x {size[1]} pixels of {spacing:g} mm cannot be "
            f"made; the largest are {SIZE} x {SIZE} of {SPACING} mm."
        )
    pixel = _pixel_size(picture)
    if pixel > spacing * min(size):
        raise UnusableError(
            f"{picture.name}: its pixels of {pixel:g} mm are larger than a crop; correct its "
            "spacing, or resample the volume."
        )
    views: dict[int, list[View]] = {}
    for place in places:
        x, y, z = _voxel(picture, place)
        views.setdefault(z, []).append(_crop(picture, (x, y, z), size, pixel, place.row))
    return _Crops(views)


def _pixel_size(picture: Picture) -> float:
    """Return the size of the square pixels of axial slices, mm."""
    advice = "name a CT series of axial slices, or resample the volume."
    if picture.affine is None or not np.linalg.det(picture.affine):
        raise UnusableError(f"{picture.name}: does not say the size of its pixels; {advice}")
    columns, rows = picture.affine[:3, 0], picture.affine[:3, 1]
    width, height = np.linalg.norm(columns), np.linalg.norm(rows)
    axes = np.stack([columns / width, rows / height])
    axial = np.allclose(abs(axes), np.eye(2, 3), atol=_AXIAL)
    if not axial or abs(width - height) > _AXIAL * width:
        raise UnusableError(
            f"{picture.name}: its slices are not axial, or its pixels not square ({width:g} x "
            f"{height:g} mm); {advice}"
        )
    return float(height)


def _voxel(picture: Picture, place: Place) -> tuple[float, float, int]:
    """Return column, row and the nearest slice of a place."""
    assert picture.affine is not None
    at = np.array([place.x, place.y, place.z, 1.0])
    if place.unit == "mm":
        in_ras = at if picture.write_seg is None else _TO_RAS @ at
        at = np.linalg.solve(picture.affine, in_ras)
    slices, height, width = picture.pixels.shape[:3]
    lengths = np.array([width, height, slices])
    if not ((at[:3] >= -0.5) & (at[:3] <= lengths - 0.5)).all():
        last = picture.affine @ [*(lengths - 1), 1]
        corners = np.stack([picture.affine[:, 3], last])[:, :3]
        if picture.write_seg is not None:
            corners = corners @ _TO_RAS[:3, :3]
        low, high = corners.min(axis=0), corners.max(axis=0)
        spans = ", ".join(f"{a:.6g} to {b:.6g}" for a, b in zip(low, high, strict=True))
        raise UnusableError(
            f"{picture.name}: the place {place.x:g},{place.y:g},{place.z:g} ({place.unit}) is "
            f"outside of the volume, which has {width} x {height} x {slices} voxels, and in mm x, "
            f"y, z from {spans}; correct the place or its unit."
        )
    return float(at[0]), float(at[1]), min(int(np.rint(at[2])), slices - 1)


def _crop(
    picture: Picture,
    at: tuple[float, float, int],
    size: tuple[int, int],
    pixel: float,
    row: int,
) -> View:
    """Return the view around a column and row of a slice."""
    assert picture.affine is not None
    x, y, z = at
    hu = picture.pixels[z, ..., 0]
    lengths = hu.shape
    # a NIfTI file's columns and rows may run to the right and to the front; those of CT slices do
    # not, and networks have seen these
    flips = [picture.write_seg is None and picture.affine[axis, axis] > 0 for axis in (1, 0)]
    y, x = (n - 1 - v if flip else v for n, v, flip in zip(lengths, (y, x), flips, strict=True))
    hu = np.flip(hu, tuple(axis for axis, flip in enumerate(flips) if flip))
    if hu.dtype != np.int16:
        hu = np.clip(np.rint(hu), -(2**15), 2**15 - 1).astype(np.int16)
    grid, middle = Grid.at(x, y, pixel), centre((SIZE, SIZE), size)
    crop = resample(hu, grid)[middle]
    axes = [
        _Axis.of(origin + grid.step * inner.start, grid.step, wanted, length, flip)
        for origin, inner, wanted, length, flip in zip(
            (grid.y, grid.x), middle, size, lengths, flips, strict=True
        )
    ]
    part = (axes[0].part, axes[1].part)
    return View(crop[..., None], part, partial(_back, axes), row=row)


@dataclass(frozen=True)
class _Axis:
    """One axis of a crop on its slice."""

    part: slice  # of the slice, that the crop covers
    at: NDArray[np.floating[Any]]  # the crop's pixel at each of it

    @classmethod
    def of(cls, origin: float, step: float, size: int, length: int, flip: bool) -> "_Axis":
        """Return that of `size` pixels from `origin` on, `step` of the slice's pixels apart."""
        pixels = np.arange(length)
        at = (pixels - origin) / step
        covered = np.flatnonzero((at >= -0.5) & (at <= size - 0.5))
        first, last = int(covered[0]), int(covered[-1]) + 1
        at = at[first:last].clip(0, size - 1)
        if flip:
            return cls(slice(length - last, length - first), at[::-1])
        return cls(slice(first, last), at)


def _back(axes: Sequence[_Axis], maps: NDArray[Any]) -> NDArray[Any]:
    """Return maps (m, h, w) of a crop at the slice's pixels, (m, rows, columns)."""
    for axis, one in enumerate(axes, start=1):
        if maps.dtype.kind != "f":
            maps = maps.take(np.rint(one.at).astype(np.intp), axis)
            continue
        left = np.minimum(one.at.astype(np.intp), maps.shape[axis] - 2)
        share = (one.at - left).astype(maps.dtype).reshape([-1, 1] if axis == 1 else [-1])
        maps = maps.take(left, axis) * (1 - share) + maps.take(left + 1, axis) * share
    return maps
