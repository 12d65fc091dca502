"""`make series`: the frozen table of LIDC-IDRI's CT series, from the index of the publisher.

The Imaging Data Commons publishes its index as PyPI's idc-index-data; the table's first line names
the version that this ran with. The same version gives the same bytes.
"""

import sys
from pathlib import Path

import idc_index_data
from pyarrow import parquet

TABLE = Path(__file__).parents[2] / "src/probunet/datasets/lidc/series.tsv"
# the table's columns, and the index's
COLUMNS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "crdc_uuid": "crdc_series_uuid",
    "url": "series_aws_url",
    "instances": "instanceCount",
    "bytes": "series_size_MB",
    "licence": "license_short_name",
}


def main() -> None:
    """Write the table."""
    wanted = [("collection_id", "==", "lidc_idri"), ("Modality", "==", "CT")]
    index = parquet.read_table(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH, columns=[*COLUMNS.values()], filters=wanted
    )
    rows = [[row[name] for name in COLUMNS.values()] for row in index.to_pylist()]
    place = list(COLUMNS).index("bytes")
    for row in rows:
        row[place] = whole_bytes(row[place])
    version = idc_index_data.__version__
    lines = [
        f"# Made by `make series` from idc-index-data {version}; not to be edited.",
        "\t".join(COLUMNS),
        *("\t".join(map(str, row)) for row in sorted(rows)),
    ]
    TABLE.write_bytes(("\n".join(lines) + "\n").encode())


def whole_bytes(megabytes: float) -> int:
    """Return bytes; the index has millions of them to six decimals, so that none is lost."""
    count = round(megabytes * 1e6)
    if abs(megabytes * 1e6 - count) > 1e-3:
        sys.exit(f"{megabytes} MB are no whole number of bytes: the index has changed its units")
    return count


if __name__ == "__main__":
    main()
