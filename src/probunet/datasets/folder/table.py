"""Read the table of your own images, a CSV file: a line per image, a column per grader.

    image,subject,mask_a,mask_b
    images/01.png,P1,masks/01_a.png,masks/01_b.png
    images/02.png,P1,masks/02_a.png,

`image`, `subject` and the columns whose names begin with `mask` are used, others are ignored. Paths
are relative to the table. A blank cell means that this grader has not looked at this image. A file
is named once; only a mask that is all 0 may be named in several cells.
"""

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from probunet.datasets.raw_file import MissingFileError, read_content
from probunet.errors import ProbunetError
from probunet.limits import LARGEST_TABLE, MOST_ROWS
from probunet.metrics.bits import MOST_GRADERS

MASK = "mask"  # start of the names of the graders' columns
_SPLIT = "write several tables, one for each data set"


@dataclass(frozen=True)
class Row:
    """An image and its masks; paths are relative to the table's folder."""

    image: str
    subject: str
    masks: tuple[str | None, ...]  # by grader
    line: int = field(default=0, compare=False)  # of the table
    shared: frozenset[str] = field(default=frozenset(), compare=False)  # masks named again


def read_table(path: Path) -> tuple[tuple[str, ...], list[Row], bytes]:
    """Return the graders' columns, the rows, and the file's content.

    Raises
    ------
    ProbunetError
        If it does not exist or is not such a table: a missing or repeated column, a blank image or
        subject, a path outside of the folder, or a repeated file.
    """
    try:
        content = read_content(path)
    except MissingFileError:
        if path.exists():  # a folder
            raise
        raise ProbunetError(
            f"{path}: no such file. It lists your images, with the columns image, subject and "
            f"{MASK}..., see docs/how-to/own-data.md. If your table has another name, set `table` "
            "(under datasets in the configuration)."
        ) from None
    if len(content) > LARGEST_TABLE:
        raise ProbunetError(
            f"{path}: {len(content):,} bytes; a table has at most {LARGEST_TABLE:,}: {_SPLIT}."
        )
    if b"\0" in content:
        number = content[: content.index(b"\0")].count(b"\n") + 1
        raise ProbunetError(
            f"{path}: line {number}: contains the character NUL, which no file's name can have; "
            "save the table as CSV in UTF-8."
        )
    lines = csv_lines(path, content)
    header = [name.strip() for name in next(lines, [])]
    graders = _graders(path, header)
    rows: list[Row] = []
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}: line {number}"
        if len(rows) == MOST_ROWS:
            raise ProbunetError(f"{where}: is one more image than {MOST_ROWS:,}; {_SPLIT}.")
        rows.append(replace(_row(where, header, graders, cells), line=number))
    if not rows:
        raise ProbunetError(f"{path}: has no line below its header; list your images there.")
    _refuse_repeated(path, rows)
    return graders, rows, content


def csv_lines(path: Path, content: bytes) -> Iterator[list[str]]:
    """Yield the cells of each line; raise ProbunetError at a line that is not CSV in UTF-8."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    lines = csv.reader(text, strict=True)
    try:
        yield from lines
    except (UnicodeDecodeError, csv.Error) as error:
        where = f"{path}: line {lines.line_num + 1}"
        raise ProbunetError(f"{where}: not a CSV file in UTF-8 ({error}).") from None


def _refuse_repeated(path: Path, rows: list[Row]) -> None:
    """Raise ProbunetError if a file is an image in two lines, or both an image and a mask."""
    seen: dict[str, int] = {}
    for row in rows:
        if row.image in seen:
            raise ProbunetError(
                f"{path}: line {row.line}: {row.image} is already in line {seen[row.image]}; name "
                "each file once."
            )
        seen[row.image] = row.line
    for row in rows:
        for mask in row.masks:
            if mask in seen:
                raise ProbunetError(
                    f"{path}: line {row.line}: {mask} is a mask, and the image of line "
                    f"{seen[mask]}; name each file once."
                )


def mark_shared(rows: list[Row]) -> list[Row]:
    """Return the rows with the masks that are named in several cells."""
    counts = Counter(mask for row in rows for mask in row.masks if mask)
    shared = {mask for mask, count in counts.items() if count > 1}
    return [replace(row, shared=frozenset(shared.intersection(row.masks))) for row in rows]


def _graders(path: Path, header: list[str]) -> tuple[str, ...]:
    """Return the columns of masks; raise ProbunetError if the header is incomplete."""
    found = ", ".join(filter(None, header)) or "none"
    if len(header) == 1 and ";" in header[0]:
        found += "; separate the columns by commas"
    if "image" not in header:
        raise ProbunetError(f"{path}: has no column image (columns: {found}).")
    if "subject" not in header:
        raise ProbunetError(
            f"{path}: has no column subject (columns: {found}). It names the subject of each "
            "image: folds keep a subject's images together, so that no model is tested on a "
            "subject of its training set. If each image has another subject, number them."
        )
    graders = tuple(name for name in header if name.startswith(MASK))
    if not 1 <= len(graders) <= MOST_GRADERS:
        raise ProbunetError(
            f"{path}: has {len(graders)} columns whose names begin with {MASK}, one per grader; "
            f"1 to {MOST_GRADERS} are needed (columns: {found})."
        )
    twice = [name for name in ("image", "subject", *graders) if header.count(name) > 1]
    if twice:
        raise ProbunetError(f"{path}: has the column {twice[0]} twice; give each its own name.")
    return graders


def _row(where: str, header: list[str], graders: tuple[str, ...], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise ProbunetError(
            f"{where}: has {len(cells)} cells, and the header {len(header)}; put names that "
            "contain commas in quotes."
        )
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name in ("image", "subject"):
        if not values[name]:
            raise ProbunetError(f"{where}: {name} is blank.")
    masks = tuple(inside(where, values[name]) if values[name] else None for name in graders)
    return Row(inside(where, values["image"]), values["subject"], masks)


def inside(where: str, path: str) -> str:
    """Return a normalised path; raise ProbunetError if it is outside of the table's folder."""
    short = posixpath.normpath(path)
    if posixpath.isabs(short) or short.split("/")[0] in ("..", "."):
        raise ProbunetError(
            f"{where}: {path} is not inside the table's folder; paths are relative to that folder."
        )
    return short
