"""The CT series of LIDC-IDRI in the Imaging Data Commons; `make series` writes the table.

The table is fixed: every fetch of one version of this package requests the same objects.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class SeriesRow:
    """A CT series: patient, place and size."""

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
    text = files("probunet.datasets.lidc").joinpath("series.tsv").read_text(encoding="utf-8")
    _, *lines = text.splitlines()
    found: dict[str, SeriesRow] = {}
    for row in csv.DictReader(lines, delimiter="\t"):
        numbers: dict[str, Any] = {name: int(row[name]) for name in ("instances", "bytes")}
        found[row["series"]] = SeriesRow(**{**row, **numbers})
    return found
