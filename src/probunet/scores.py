"""The table of a run's scores: written by `score run`, read by `score table` and `report`."""

import math
from collections.abc import Collection, Hashable, Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from probunet.errors import ProbunetError
from probunet.files import check_regular, written_whole
from probunet.memory import raise_if_memory_lacks
from probunet.run import Run

RUN = ["dataset", "model", "beta", "fold", "seed"]
ABOUT = ["protocol", "split"]  # text, the same for all runs of a data set; blank if not known
LATER = ["ged_limit", "ncc_softmax", *ABOUT]  # blank in tables of older versions, which lack them
BINS = ["bin_pixels", "bin_predicted", "bin_marked"]  # lists, see `metrics.calibration.Reliability`
DEGENERATE = ("deterministic", "empty", "graders")
PREDICTORS = ("model", *DEGENERATE)
# types of the columns that every table has; the others are numbers, text, or lists of numbers
_KINDS = {
    "dataset": "text",
    "model": "text",
    "beta": "number",
    "fold": "integer",
    "seed": "integer",
    "predictor": "text",
    "n": "integer",
    "row": "integer",
    "subject": "text",
    "ged": "number",
}
_TEXT = 1_000  # characters of a name, at most
# Values and bytes that a file can declare: a few hundred times its size, and some for small files.
# Real tables declare 15 times their size.
_TIMES, _MORE = 200, 2**24


def write_scores(path: Path, table: pd.DataFrame) -> None:
    """Write the scores of a run as a Parquet file with checksums."""
    with written_whole(path) as aside:
        table.to_parquet(aside, index=False, write_page_checksum=True)


def of_classes(columns: Iterable[Hashable], scores: Collection[str] | None = None) -> list[str]:
    """Return the columns of single classes: a score, a colon and the class's name.

    They are those of some scores, or all.

    >>> of_classes(["ged", "ged:cup", "iou:cup"]), of_classes(["ged:cup", "iou:cup"], ["iou"])
    (['ged:cup', 'iou:cup'], ['iou:cup'])
    """
    named = [name for name in map(str, columns) if ":" in name]
    return [name for name in named if scores is None or name.partition(":")[0] in scores]


def read_scores(
    path: Path, columns: list[str] | None = None, optional: Collection[str] = ()
) -> pd.DataFrame:
    """Return the scores of a run, at least these columns and those of classes; None: all columns.

    Those of `optional` that the file lacks are NaN.

    Raises
    ------
    ProbunetError
        If the file is missing or damaged, is no such table, has an infinite score, or belongs to
        another run than its folder.
    """
    size = check_regular(path, "no such file; run `probunet score run` first.")
    try:
        table = _read(path, size, columns, optional)
        run = _check(table)
    except Exception as error:  # the reader raises many types for damaged bytes
        raise_if_memory_lacks(error)
        raise ProbunetError(
            f"{path}: not a table of scores ({error}); remove it and run `probunet score run` "
            "again."
        ) from None
    run.check_place(path)
    return table


def _read(
    path: Path, size: int, columns: list[str] | None, optional: Collection[str]
) -> pd.DataFrame:
    """Return the columns; raise ValueError if the file declares far more than it can contain."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        about, schema = file.metadata, file.schema_arrow
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        values = sum(one.column(i).num_values for one in groups for i in range(one.num_columns))
        declared = max(8 * values, 8 * about.num_rows, sum(one.total_byte_size for one in groups))
        if declared > _TIMES * size + _MORE:
            raise ValueError(f"{size} bytes declare {declared}")
    absent = {name for name in optional if name not in schema.names}
    named = [*_KINDS, *(columns or []), *of_classes(schema.names)]
    wanted = [name for name in dict.fromkeys(named) if name not in absent]
    if missing := [name for name in wanted if name not in schema.names]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    text = [one.name for one in schema if one.type in (pa.string(), pa.large_string())]
    # text as a dictionary: a long name that is repeated takes its memory once
    read = pq.read_table(
        path,
        columns=None if columns is None else wanted,
        read_dictionary=text,
        page_checksum_verification=True,
    )
    for name in {*text} & {*read.column_names}:
        for chunk in read[name].chunks:
            if any(len(one) > _TEXT for one in chunk.dictionary.to_pylist() if one is not None):
                raise ValueError(f"a text of {name} is longer than {_TEXT} characters")
        place = read.column_names.index(name)
        read = read.set_column(place, name, read[name].cast(pa.large_string()))
    for column in (read[name] for name in read.column_names):
        if pa.types.is_nested(column.type):
            lengths = pc.unique(pc.list_value_length(column).drop_null())
            if len(lengths) > 1 or pa.types.is_nested(column.type.value_type):
                raise ValueError("its lists differ in length")
    frame: pd.DataFrame = read.to_pandas()
    return frame.assign(**dict.fromkeys(sorted(absent), math.nan))


def _check(table: pd.DataFrame) -> Run:
    """Return the run of a table; raise ValueError if a column has wrong values."""
    fine = {
        "text": pd.api.types.is_string_dtype,
        "number": pd.api.types.is_float_dtype,
        "integer": pd.api.types.is_integer_dtype,
    }
    for name, kind in _KINDS.items():
        if not fine[kind](table[name]):
            raise ValueError(f"{name} is no {kind}")
        if name != "ged" and table[name].isna().any():
            raise ValueError(f"{name} has empty cells")
    if len(table) == 0 or (table["n"] < 1).any() or (table["row"] < 0).any():
        raise ValueError("n or row is wrong")
    if not table["predictor"].isin(PREDICTORS).all():
        raise ValueError("an unknown predictor")
    numbers = table.select_dtypes("number")
    if infinite := [name for name in numbers if (numbers[name].abs() == float("inf")).any()]:
        raise ValueError(f"{', '.join(map(str, infinite))} is infinite")
    runs = table[RUN].drop_duplicates()
    if len(runs) != 1:
        raise ValueError("it is of several runs")
    dataset, model, beta, fold, seed = runs.iloc[0]
    run = Run(str(dataset), str(model), float(beta), int(fold), int(seed))
    if Run.parse(run.folder) != run:
        raise ValueError("it is of no run")
    return run
