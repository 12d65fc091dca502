"""`datasets.lidc` in `config.yaml`."""

from typing import ClassVar, Literal

from pydantic import Field

from probunet.config import Endpoint, Positive, Source

PATIENTS = 875  # of LIDC-IDRI, with outlines


class LidcSource(Source):
    """LIDC-IDRI: CT slices with the outlines of four readers."""

    source: Literal["idc", "phantom", "local"] = Field(
        "idc",
        description="Where the slices come from: `idc` downloads them from the Imaging Data "
        "Commons; `local` reads an existing LIDC-IDRI tree and copies nothing; `phantom` renders "
        "synthetic chests around the real outlines.",
    )
    patients: Positive | None = Field(
        None,
        le=PATIENTS,
        description="How many patients: `phantom` renders so many (24 if left out); the others "
        "take the first so many in order of their ids (all if left out, or if there are fewer).",
    )
    slices: Literal["outlined", "all"] = Field(
        "outlined",
        description="`idc`: download `outlined` slices alone, which are all that is used, or "
        "`all` of each series.",
    )
    endpoint_url: Endpoint | None = Field(
        None,
        description="`idc`: an S3 server to use instead of the publisher's, on which anybody may "
        "read `bucket`.",
    )
    bucket: str = Field(
        "idc-open-data",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="`idc`: the bucket that holds the objects under the publisher's names.",
    )
    protocol: Literal["kohl2018"] = Field(
        "kohl2018",
        description="How crops are made: 180x180 at 0.5 mm around each lesion on each slice that "
        "at least one reader outlined, four masks, missing readers' empty.",
    )

    downloads: ClassVar = frozenset({"idc"})
    has_crops: ClassVar = True
    without_path: ClassVar = (
        "the folder of your LIDC-IDRI tree; without one, `source: idc` downloads the slices and "
        "`source: phantom` renders synthetic scans"
    )
    used_from: ClassVar = {**Source.used_from, "protocol": "prepare"}

    @property
    def subjects(self) -> int | None:
        """How many patients the section asks for."""
        return self.patients
