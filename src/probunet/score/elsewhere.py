"""Samples that another code drew, checked against a store and kept as a run's samples.

There is a file for each test image, named after the image's row in the store (`17.npz`), or named
by a CSV table with the columns `row` and `file`. It holds class ids (n, H, W) of the scored region:
as NPY or NPZ, Zarr, TIFF or NIfTI (whose axes are columns, rows and samples), or as a folder of
pictures, one per sample, in the order of their names. Of two classes, 255 may stand for 1.

Chosen: the single best guess, which other codes rarely write, is each pixel's most frequent class
among the samples, the lowest id in a tie.
"""

import csv
import io
import logging
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.config import Settings, Size, drawn_elsewhere
from probunet.datasets import open_data
from probunet.datasets.folder.image_files import decode_numbers
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError, few
from probunet.files import locked, read_file, written_whole
from probunet.limits import LARGEST_TABLE, excess
from probunet.memory import raise_if_memory_lacks
from probunet.metrics.bits import pack
from probunet.run import Run
from probunet.scores import PREDICTORS
from probunet.store import SampleAttributes, versions, write_sample_parts
from probunet.truth.base import Data

logger = logging.getLogger(__name__)

ARRAY = "samples"  # name of the array in a file with several
PICTURES = (".png", ".tif", ".tiff")
TOGETHER = 8  # images in memory, and in a chunk of the store
ENDINGS = (".npz", ".npy", ".zarr", ".nii.gz", ".nii", *PICTURES)


def import_samples(
    source: Path, store: Path, folds: Path, run: Run, settings: Settings, output: Path
) -> None:
    """Write the samples of another code as a run's store of samples.

    As many samples of each image are kept as the largest of `evaluation.n`.

    Parameters
    ----------
    source
        The folder of the files, or the CSV table that names them.
    store, folds
        The data set, and the file whose test subjects of the run's fold were sampled.
    output
        The store of samples to write, in the run's folder.

    Raises
    ------
    ProbunetError
        If an image of the fold's test subjects has no samples, another one has, or samples are too
        few, of another size, or no class ids; nothing is written then.
    """
    if not drawn_elsewhere(run.model) or run.model in PREDICTORS:
        raise ProbunetError(
            f"{run.folder}: {run.model} has a meaning in this program; name the folder of samples "
            "that were drawn elsewhere after another model, for example theirs/beta-1/fold-0/seed-0"
        )
    data = open_data(store)
    all_folds = data.read_folds(folds)
    rows = data.rows_of(all_folds.subjects(run.fold, "test"))
    fold, n = all_folds.folds[run.fold], max(settings.evaluation.n)
    data.check_subjects(fold, folds)
    files = _files_of(rows, source, data)
    attributes = SampleAttributes(
        run=run.folder,
        classes=data.classes,
        size=data.scored_size(settings),
        samples=n,
        population=0,
        store=data.digest,
        subjects=fold.digest,
        split=all_folds.split,
        weights_sha256=(),
        weights_step=(),
        versions=versions(),
    )
    with locked(output), written_whole(output) as aside:
        write_sample_parts(
            aside, attributes, rows, _parts(files, _sizes(data, rows, attributes.size), attributes)
        )
    logger.info("%s: the first %d samples of each of %d images", source, n, len(rows))


def _sizes(data: Data, rows: NDArray[np.int64], scored: Size) -> list[Size]:
    """Return height and width of each image's samples."""
    if data.extents is None:
        return [scored] * len(rows)
    return [(height, width) for height, width in data.extents[rows].tolist()]


def _parts(
    files: list[Path], sizes: list[Size], about: SampleAttributes
) -> Iterator[dict[str, NDArray[np.uint8]]]:
    """Yield the arrays of `Samples` for some images at a time."""
    for start in range(0, len(files), TOGETHER):
        part = slice(start, start + TOGETHER)
        maps = np.zeros((len(files[part]), about.samples, *about.size), np.uint8)
        for whole, path, (height, width) in zip(maps, files[part], sizes[part], strict=True):
            own = read_maps(path, about.samples, (height, width), about.classes)
            whole[:, :height, :width] = own
        yield {
            "samples": _stored(maps, about.classes),
            "deterministic": _stored(
                np.stack([_most_frequent(one, about.classes) for one in maps]), about.classes
            ),
        }


def _stored(maps: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    return pack(maps.astype(bool)) if classes == 2 else maps


def _most_frequent(maps: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Return the most frequent class of each pixel of maps (n, H, W): (H, W)."""
    counts = np.stack([(maps == k).sum(axis=0, dtype=np.int32) for k in range(classes)])
    most: NDArray[np.uint8] = counts.argmax(axis=0).astype(np.uint8)
    return most


# ------------------------------------------------------------------ which file is of which image


def _files_of(rows: NDArray[np.int64], source: Path, data: Data) -> list[Path]:
    """Return the file of each of these images, in their order."""
    named = _in_folder(source) if source.is_dir() else _in_table(source)
    words, tested = data.words, set(rows.tolist())
    if others := sorted(named.keys() - tested):
        raise ProbunetError(
            f"{source}: has samples of {few([str(row) for row in others])}, which are no rows of "
            f"test {words.images} in {data.path}; name files after the rows of the fold's test "
            f"{words.images}."
        )
    if missing := sorted(tested - named.keys()):
        raise ProbunetError(
            f"{source}: has no samples of {len(missing)} of the {len(rows)} test {words.images} in "
            f"{data.path}, rows {few([str(row) for row in missing])}; add them."
        )
    return [named[row] for row in rows.tolist()]


def _in_folder(folder: Path) -> dict[int, Path]:
    """Return the files in a folder that are named after rows."""
    found: dict[int, Path] = {}
    others = []
    for path in sorted(folder.iterdir()):
        ending = next((one for one in ENDINGS if path.name.lower().endswith(one)), "")
        stem = path.name[: len(path.name) - len(ending)]
        if not re.fullmatch(r"[0-9]{1,18}", stem):
            others.append(path.name)
            continue
        if (row := int(stem)) in found:
            raise ProbunetError(f"{path}: {found[row].name} is of the same row; remove one.")
        found[row] = path
    if others:
        logger.warning(
            "%s: %d files are left out, whose names are no rows: %s",
            folder,
            len(others),
            few(others),
        )
    return found


def _in_table(table: Path) -> dict[int, Path]:
    """Return the files that a CSV table names."""
    content = read_file(table, "no such folder or table of samples.", LARGEST_TABLE)
    try:
        lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProbunetError(
            f"{table}: not a CSV table in UTF-8 ({error}); save it again."
        ) from None
    found: dict[int, Path] = {}
    for number, line in enumerate(lines, start=2):
        row, file = line.get("row"), line.get("file")
        if not file or not re.fullmatch(r"[0-9]{1,18}", row or ""):
            raise ProbunetError(
                f"{table}: line {number}: needs the columns `row`, a row of the store, and `file`."
            )
        if int(row or "") in found:
            raise ProbunetError(f"{table}: line {number}: row {row} occurs twice; remove one line.")
        found[int(row or "")] = table.parent / file
    return found


# ------------------------------------------------------------------ reading one file


def read_maps(path: Path, n: int, size: Size, classes: int) -> NDArray[np.uint8]:
    """Return the first n samples of an image as class ids (n, H, W) uint8.

    Raises
    ------
    ProbunetError
        If it cannot be read, or holds other values or sizes, or fewer samples.
    """
    try:
        array = _read(path, n)
        _check_shape(path, tuple(array.shape), n, size)
        values = np.asarray(array[:n])  # of Zarr and NPY, read from the file here
    except ProbunetError:
        raise
    except Exception as error:  # readers raise many types for damaged files
        raise_if_memory_lacks(error)
        raise ProbunetError(
            f"{path}: cannot be read as samples ({type(error).__name__}: {error}); save it again."
        ) from None
    return _class_ids(values, path, classes)


def _check_shape(path: Path, shape: tuple[int, ...], n: int, size: Size) -> None:
    if len(shape) != 3 or shape[1:] != tuple(size):
        raise ProbunetError(
            f"{path}: is {_by(shape)}, and {n} x {_by(size)} is needed: samples, height and width "
            "of the scored region."
        )
    if shape[0] < n:
        raise ProbunetError(
            f"{path}: has {shape[0]} samples, fewer than the {n} of evaluation.n; draw more, or "
            "lower evaluation.n."
        )


def _class_ids(values: NDArray[Any], path: Path, classes: int) -> NDArray[np.uint8]:
    if values.dtype.kind not in "buif":
        raise ProbunetError(f"{path}: holds {values.dtype}; save class ids, 0 to {classes - 1}.")
    found = np.unique(values)
    if classes == 2 and set(found.tolist()) <= {0, 255}:
        return (values > 0).astype(np.uint8)
    if not np.isfinite(found).all() or (found != np.rint(found)).any():
        raise ProbunetError(
            f"{path}: holds fractions, as probabilities are; save class ids, 0 to {classes - 1}."
        )
    wrong = found[(found < 0) | (found >= classes)]
    if len(wrong):
        raise ProbunetError(
            f"{path}: holds {few([str(value) for value in wrong.tolist()])}, which are no classes; "
            f"save class ids, 0 to {classes - 1}."
        )
    return values.astype(np.uint8)


def _read(path: Path, n: int) -> Any:
    """Return what can be indexed as an array of samples; of pictures in a folder the first n."""
    name = path.name.lower()
    if name.endswith(".npy"):
        return np.lib.format.open_memmap(path, mode="r")
    if name.endswith(".npz"):
        return _in_archive(path)
    if path.is_dir() and not name.endswith(".zarr"):
        return _in_pictures(path, n)
    if path.is_dir():
        found = zarr.open(path, mode="r")
        array = found.get(ARRAY) if isinstance(found, zarr.Group) else found
        if not isinstance(array, zarr.Array):
            raise ProbunetError(f"{path}: holds no array `{ARRAY}`; name the samples so.")
        return array
    content = read_file(path, "no such file of samples.")
    try:
        pixels = decode_numbers(content).pixels
    except BadFileError as error:
        raise ProbunetError(
            f"{path}: cannot be read as samples ({error}); save it again."
        ) from None
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _in_archive(path: Path) -> NDArray[Any]:
    """Return the only array in an NPZ file, or the one that is named `ARRAY`."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        name = ARRAY if ARRAY in entries or len(entries) != 1 else next(iter(entries))
        if name not in entries:
            raise ProbunetError(
                f"{path}: holds {few(sorted(entries))}; name the array of samples `{ARRAY}`."
            )
        if problem := excess(entries[name].file_size, path.stat().st_size):
            raise ProbunetError(f"{path}: {problem}.")
        with archive.open(entries[name]) as file:
            _check_header(file, entries[name].file_size)
    with np.load(path, allow_pickle=False) as arrays:
        values: NDArray[Any] = arrays[name]
    return values


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError if an NPY file declares more values than its `size` in bytes."""
    first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError("declares more values than it holds")


def _in_pictures(folder: Path, n: int) -> NDArray[Any]:
    """Return the first n pictures of a folder; all of them must have the first one's size."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    paths.sort(
        key=lambda path: [
            int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path.name)
        ]
    )
    if len(paths) < n:
        raise ProbunetError(
            f"{folder}: has {len(paths)} pictures, fewer than the {n} of evaluation.n; draw more, "
            "or lower evaluation.n."
        )
    pictures = [_read(path, 1) for path in paths[:n]]
    for path, picture in zip(paths, pictures, strict=False):
        if picture.shape != pictures[0].shape or picture.shape[0] != 1:
            raise ProbunetError(
                f"{path}: is {_by(picture.shape)}, and {paths[0].name} {_by(pictures[0].shape)}; "
                "save all samples as pictures of one size and one channel."
            )
    return np.concatenate(pictures)


def _by(shape: Any) -> str:
    return " x ".join(map(str, shape))
