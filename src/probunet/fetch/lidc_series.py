"""The CT series of LIDC-IDRI as the Imaging Data Commons holds them; `make series` makes the table.

The table is frozen: every fetch of a version of this package asks for the same objects.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class SeriesRow:
    """A CT series: whose it is, where it lies, and how much it is."""

    patient: str
    study: str
    series: str
    crdc_uuid: str  # the publisher's name of this version of the series
    url: str  # s3://<bucket>/<crdc_uuid>/*
    instances: int
    bytes: int
    licence: str


def read_series() -> dict[str, SeriesRow]:
    """Return all 1018 CT series by their UID, in order of patient and study."""
    text = files("probunet.fetch").joinpath("lidc_series.tsv").read_text(encoding="utf-8")
    _, *lines = text.splitlines()
    rows = [
        SeriesRow(
            patient=row["patient"],
            study=row["study"],
            series=row["series"],
            crdc_uuid=row["crdc_uuid"],
            url=row["url"],
            instances=int(row["instances"]),
            bytes=int(row["bytes"]),
            licence=row["licence"],
        )
        for row in csv.DictReader(lines, delimiter="\t")
    ]
    return {row.series: row for row in rows}
