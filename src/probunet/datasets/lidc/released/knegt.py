"""List the crops released with the PyTorch port of the Probabilistic U-Net: one or several files.

A pickle is a dictionary; each of its values is a crop:

    {"image": (128, 128) floats, "masks": four (128, 128) of 0 and 1, "series_uid": text}

PHiSeg and CCDM derive an HDF5 file from it, see `hdf5`; that file does not say which CT series and
patients its crops are of.

The arrays are copied to one file per CT series, so that several processes can read them.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.released.arrays import write_arrays
from probunet.datasets.lidc.released.hdf5 import SUFFIXES, read_hdf5
from probunet.datasets.lidc.released.listing import list_released
from probunet.datasets.lidc.released.manifest import (
    CropLeftOut,
    CropReason,
    ReleasedCrop,
    ReleasedManifest,
)
from probunet.datasets.lidc.released.pickled import Array, read_pickle
from probunet.datasets.lidc.released.pictures import count_marked
from probunet.datasets.lidc.released.sets import SETS
from probunet.datasets.lidc.series import SeriesRow, read_series
from probunet.datasets.raw_file import BadFileError, RawFile, check_folder
from probunet.errors import ProbunetError, printable
from probunet.fetch.download import root_of
from probunet.files import locked, sha256
from probunet.metrics.bits import GRADERS

_log = logging.getLogger(__name__)


class _Crop(NamedTuple):
    """A crop of a file."""

    name: str
    series: str
    patient: str
    part: str  # of the file's own split; empty: it has none
    image: NDArray[np.float32]  # (side, side)
    masks: NDArray[np.uint8]  # (side, side), bit g = mask g


def fetch_knegt(
    path: Path, folder: Path, manifest: Path, patients: int | None = None
) -> ReleasedManifest:
    """Return the manifest of the crops of a file, or of all in a folder, copied to `folder`.

    A pickle is read as a whole, and all crops are kept until they are copied: this needs about one
    and a half times as much memory as the pickle's size.

    Raises
    ------
    ProbunetError
        If a file cannot be read or holds anything but arrays, or holds no crop, or another
        process writes here.
    """
    root = folder / "knegt"
    with locked(manifest), locked(root):
        by_series: dict[str, list[_Crop]] = defaultdict(list)
        left_out: list[CropLeftOut] = []
        names: dict[str, Path] = {}
        rows = read_series()
        for file in (files := _files(path)):
            found_in = _crops_of_hdf5(file) if _is_hdf5(file) else _crops(file, rows)
            for found in found_in:
                if isinstance(found, _Crop) and found.name in names:
                    detail = f"the first: {names[found.name].name}"
                    reason = CropReason.SECOND
                    found = _left_out(found.name, file, reason, detail, found.patient)
                if isinstance(found, _Crop):
                    names[found.name] = file
                    by_series[found.series].append(found)
                else:
                    left_out.append(found)
        crops = [crop for item in by_series.items() for crop in _copy(root, *item)]
        listed = list_released(
            "knegt",
            path,
            root_of(root, manifest),
            crops,
            left_out,
            patients=patients,
            archives=[
                RawFile(path=file.name, bytes=file.stat().st_size, sha256=sha256(file))
                for file in files
            ],
        )
        listed.write(manifest)
    return ReleasedManifest.read(manifest)


def _files(path: Path) -> list[Path]:
    """Return the file, or those in a folder."""
    if path.is_file():
        return [path]
    check_folder(path, "name the pickle, or the folder that holds it (datasets.lidc.path)")
    suffixes = (".pickle", ".pkl", *SUFFIXES)
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
    if not found:
        raise ProbunetError(
            f"{path}: holds no pickle and no HDF5 file; name one (datasets.lidc.path)."
        )
    if len({_is_hdf5(file) for file in found}) == 2:
        raise ProbunetError(
            f"{path}: holds pickles and HDF5 files, which have the same crops; name one file "
            "(datasets.lidc.path)."
        )
    return found


def _is_hdf5(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _crops_of_hdf5(file: Path) -> Iterator[_Crop | CropLeftOut]:
    """Yield the crops of an HDF5 file; a series stands for its patient, who is not known."""
    for name, part, uid, arrays in read_hdf5(file):
        series = f"uid {uid}"
        if isinstance(arrays, BadFileError):
            reason = CropReason(arrays.reason)
            yield _left_out(name, file, reason, arrays.detail, series)
        else:
            yield _Crop(name, series, series, part, *arrays)


def _crops(file: Path, rows: Mapping[str, SeriesRow]) -> Iterator[_Crop | CropLeftOut]:
    """Yield the crops of a pickle, and what cannot be used."""
    content = read_pickle(file)
    if not isinstance(content, dict):
        raise ProbunetError(
            f"{file}: holds a {type(content).__name__}, not the dictionary of crops that was "
            "released; name another file (datasets.lidc.path)."
        )
    # a pickle can name one array any number of times, and each crop is copied
    if len(content) * SETS["knegt"].side ** 2 > (size := file.stat().st_size):
        raise ProbunetError(
            f"{file}: names {len(content):,} crops, more than its {size:,} bytes hold; download it "
            "again."
        )
    _log.info("%s: %d crops", file, len(content))
    for key, value in content.items():
        name = series = ""
        try:
            name = _text(key)
            series = _series_of(value)
            if series not in rows:
                raise BadFileError(CropReason.UNKNOWN_SERIES, series)
            yield _Crop(name, series, rows[series].patient, "", *_arrays_of(value))
        except BadFileError as error:
            reason = CropReason(error.reason)
            patient = rows[series].patient if series in rows else ""
            yield _left_out(name, file, reason, error.detail, patient)


def _left_out(name: str, file: Path, reason: CropReason, detail: str, patient: str) -> CropLeftOut:
    return CropLeftOut(patient=patient, name=f"{file.name}: {name}", reason=reason, detail=detail)


def _series_of(value: Any) -> str:
    """Return the series of a crop."""
    if not isinstance(value, Mapping):
        raise BadFileError(CropReason.NAME, f"a {type(value).__name__}, not a dictionary")
    if missing := [name for name in ("image", "masks", "series_uid") if name not in value]:
        raise BadFileError(CropReason.NAME, f"lacks {', '.join(missing)}")
    return _text(value["series_uid"])


def _text(value: object) -> str:
    """Return a text or a number of a pickle on one line; raise BadFileError for others."""
    if isinstance(value, str) or (isinstance(value, int) and value.bit_length() < 64):
        return printable(value, most=200)
    raise BadFileError(CropReason.NAME, f"a {type(value).__name__}, not a text")


def _arrays_of(value: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return image and masks of a crop; raise BadFileError if they are not as released."""
    image = _values(value["image"], CropReason.IMAGE_FORM)
    if image.dtype.kind != "f":
        raise BadFileError(CropReason.IMAGE_FORM, f"{image.dtype}, not floats")
    if not ((image >= 0) & (image <= 1)).all():
        raise BadFileError(CropReason.IMAGE_VALUES, "not all between 0 and 1")
    masks = value["masks"]
    if not isinstance(masks, list | tuple):
        raise BadFileError(CropReason.MASK_FORM, f"a {type(masks).__name__}, not a list")
    if len(masks) != GRADERS:
        few = len(masks) < GRADERS
        raise BadFileError(
            CropReason.FEWER_MASKS if few else CropReason.MORE_MASKS, f"{len(masks)}"
        )
    bits = np.zeros(image.shape, np.uint8)
    for g, one in enumerate(masks):
        mask = _values(one, CropReason.MASK_FORM)
        if not ((mask == 0) | (mask == 1)).all():
            raise BadFileError(CropReason.MASK_VALUES, "not all 0 or 1")
        bits |= mask.astype(np.uint8) << g
    return image.astype(np.float32), bits


def _values(array: Any, form: CropReason) -> NDArray[Any]:
    """Return the values of an array of the released size."""
    values = array.values if isinstance(array, Array) else None
    if values is None:
        raise BadFileError(form, f"a {type(array).__name__}, not an array")
    side = SETS["knegt"].side
    if values.shape != (side, side):
        size = " x ".join(map(str, values.shape))
        raise BadFileError(CropReason.SIZE, f"{size} pixels, not {side} x {side}")
    return values


def _copy(root: Path, series: str, crops: list[_Crop]) -> Iterator[ReleasedCrop]:
    """Write the arrays of a series; yield the entries of its crops."""
    image, masks = (np.stack([getattr(c, name) for c in crops]) for name in ("image", "masks"))
    file = write_arrays(root, f"{series.replace(' ', '-')}.npy", image, masks)
    for place, crop in enumerate(crops):
        yield ReleasedCrop(
            name=crop.name,
            patient=crop.patient,
            series=series,
            marked=count_marked(crop.masks),
            split=crop.part,
            files=(file,),
            place=place,
        )
