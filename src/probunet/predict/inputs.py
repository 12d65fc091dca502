"""The inputs of a prediction: pictures, NIfTI volumes, DICOM series, folders and tables of them."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from probunet.datasets.folder.image_files import TIFFS, decode_image
from probunet.datasets.folder.table import csv_lines, inside
from probunet.datasets.raw_file import BadFileError, MissingFileError, read_content
from probunet.errors import ProbunetError
from probunet.predict.base import Picture, Place, UnusableError

_IMAGES = "a picture, a NIfTI file, a CSV of them, or a folder"


@dataclass(frozen=True)
class Input:
    """A file or a folder of DICOM slices to predict."""

    name: str  # of its results, below the output folder
    path: Path
    named: bool = True  # by the user; else found in a folder
    row: int = 0  # see `View.row`

    def read(self) -> Picture:
        """Return the picture; raise UnusableError if it cannot be read."""
        try:
            return self._read()
        except UnusableError:
            raise
        except ProbunetError as error:
            raise UnusableError(*error.args) from None
        except OSError as error:
            raise UnusableError(f"{self.path}: cannot be read ({error.strerror}).") from None

    def _read(self) -> Picture:
        if self.path.is_dir():
            from probunet.predict.series import read_series

            return read_series(self.path, self.name)
        try:
            content = read_content(self.path)
            decoded = decode_image(content)
        except BadFileError as error:
            advice = "name its folder" if content[128:132] == b"DICM" else f"name {_IMAGES}"
            raise UnusableError(f"{self.path}: {error}; {advice}.") from None
        return Picture(
            self.name,
            decoded.pixels,
            decoded.volume,
            decoded.affine,
            decoded.header,
            tiff=content[:4] in TIFFS,
        )


def find_inputs(paths: Sequence[Path], output: Path) -> list[Input]:
    """Return all inputs that the paths name, in order.

    Raises
    ------
    ProbunetError
        If a path does not exist or cannot be read, a table is wrong, a folder has no files or
        contains the output, or the results of two inputs would be in one folder.
    """
    found = [one for path in paths for one in _inputs(path, output)]
    first: dict[str, Input] = {}
    for one in found:
        first.setdefault(one.name, one)
    for one in found:
        name = PurePosixPath(one.name)
        for folder in (name, *name.parents):
            other = first.get(str(folder), one)
            if other is not one:
                raise ProbunetError(
                    f"{one.path}: its results would be in the folder {folder}, as those of "
                    f"{other.path}; choose an --output for each, or name a folder that holds both."
                )
    return found


def _inputs(path: Path, output: Path) -> Iterator[Input]:
    """Yield the inputs that one path names."""
    try:
        if path.is_dir():
            yield from _in_folder(path, output)
        elif not path.exists():
            raise ProbunetError(f"{path}: no such file or folder; name {_IMAGES}.")
        elif path.suffix.lower() == ".csv":
            for cells in _table(path, "image"):
                name = inside(f"{path}: line {cells['line']}", cells["image"])
                yield Input(name, path.parent / name, row=_whole(path, cells, "row"))
        else:
            yield Input(path.name, path)
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be read ({error.strerror}).") from None


def _in_folder(folder: Path, output: Path) -> list[Input]:
    """Return the files, and the folders of one DICOM series, at any depth in a folder."""
    from probunet.predict.series import is_series

    if folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise ProbunetError(
            f"{output}: is inside the input folder {folder}, so results would become inputs; "
            "choose another --output."
        )

    def fail(error: OSError) -> NoReturn:
        raise ProbunetError(f"{error.filename}: cannot be read ({error.strerror}).")

    found: list[Input] = []
    seen: set[Path] = set()  # links may form loops
    for name, below, files in os.walk(folder, followlinks=True, onerror=fail):
        at = Path(name)
        inner = at.relative_to(folder)
        if (real := at.resolve()) in seen:
            below.clear()
        elif is_series(at):
            below.clear()
            found.append(Input(inner.as_posix() if inner.parts else folder.resolve().name, at))
        else:
            below[:] = filter(_is_visible, below)
            found += [
                Input((inner / file).as_posix(), at / file, named=False)
                for file in filter(_is_visible, files)
            ]
        seen.add(real)
    if not found:
        raise ProbunetError(f"{folder}: has no files; name {_IMAGES}.")
    return sorted(found, key=lambda one: one.name)


def read_places(text: str) -> list[Place]:
    """Return the places of `--at`: `mm:x,y,z`, `voxel:x,y,z`, or a CSV with these columns.

    The columns are x, y, z and unit, and optionally row.

    Raises
    ------
    ProbunetError
        If it is neither.
    """
    unit, colon, numbers = text.partition(":")
    if colon and unit in ("mm", "voxel"):
        cells = dict(zip("xyz", numbers.split(","), strict=False))
        if len(numbers.split(",")) == 3:
            return [_place("--at", {**cells, "unit": unit, "line": ""})]
    elif text.lower().endswith(".csv"):
        table = Path(text)
        return [
            _place(f"{table}: line {cells['line']}", cells, _whole(table, cells, "row"))
            for cells in _table(table, "x", "y", "z", "unit")
        ]
    raise ProbunetError(
        f"--at {text}: is no place; write mm:x,y,z or voxel:x,y,z, or the path of a CSV with the "
        "columns x, y, z and unit."
    )


def _place(where: str, cells: dict[str, str], row: int = 0) -> Place:
    try:
        x, y, z = (float(cells[axis]) for axis in "xyz")
        if not all(map(math.isfinite, (x, y, z))):
            raise ValueError("a number is not finite")
    except ValueError as error:
        raise ProbunetError(f"{where}: {error}; write three numbers.") from None
    if cells["unit"] not in ("mm", "voxel"):
        raise ProbunetError(f"{where}: the unit is {cells['unit']!r}; write mm or voxel.")
    return Place(x, y, z, cells["unit"], row)


def _table(path: Path, *needed: str) -> Iterator[dict[str, str]]:
    """Yield the cells of each line by column, and its number as `line`."""
    try:
        lines = csv_lines(path, read_content(path))
    except MissingFileError:
        raise ProbunetError(f"{path}: no such file; correct the path of the table.") from None
    header = [name.strip() for name in next(lines, [])]
    if missing := [name for name in needed if name not in header]:
        found = ", ".join(filter(None, header)) or "none"
        raise ProbunetError(
            f"{path}: has no column {missing[0]} (columns: {found}); add it, with commas between "
            "columns."
        )
    empty = True
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ProbunetError(
                f"{path}: line {number}: has {len(cells)} cells, and the header {len(header)}; put "
                "names that contain commas in quotes."
            )
        empty = False
        values = (cell.strip() for cell in cells)
        yield {**dict(zip(header, values, strict=True)), "line": str(number)}
    if empty:
        raise ProbunetError(f"{path}: has no line below its header; add one for each image.")


def _whole(path: Path, cells: dict[str, str], column: str) -> int:
    """Return the whole number in a column; 0 if there is none."""
    text = cells.get(column) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ProbunetError(
            f"{path}: line {cells['line']}: {column} is {text!r}; write the number of the image's "
            "row in the store, or leave it blank."
        )
    return int(text)


def _is_visible(name: str) -> bool:
    return not name.startswith(".")
