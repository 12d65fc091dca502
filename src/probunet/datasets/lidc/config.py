"""`datasets.lidc` in `config.yaml`."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from probunet.config import Endpoint, PathText, Positive, Source
from probunet.config.source import Step

PATIENTS = 875  # of LIDC-IDRI, with outlines

Split = Literal["published", "series", "patients"]
# sets of crops that others released, and how each can be divided; the first is its default
RELEASED: dict[str, tuple[Split, ...]] = {
    "hpunet": ("published", "patients"),
    "knegt": ("series", "patients"),
    "slices": ("patients",),
}


class LidcSource(Source):
    """LIDC-IDRI: CT slices with the outlines of four readers."""

    source: Literal["idc", "phantom", "local", "hpunet", "knegt", "slices"] = Field(
        "idc",
        description="Where the images come from: `idc` downloads slices from the Imaging Data "
        "Commons; `local` reads an existing LIDC-IDRI tree and copies nothing; `phantom` renders "
        'synthetic chests around the real outlines. Crops that others released: `hpunet` ("v2", '
        'downloaded unless `path` is set), `knegt` ("v1") and `slices` (LIDC-IDRI-slices).',
    )
    path: PathText | None = Field(
        None,
        description="`local`: the folder that holds the files, searched in depth. `hpunet`: the "
        "folder that holds train, val and test, instead of a download. `knegt`: the pickle or "
        "HDF5 file, or a folder with several. `slices`: the folder, or the zip.",
    )
    split: Split | None = Field(
        None,
        description="How crops are divided. `patients`: `folds` folds over patients. `published` "
        "(`hpunet`, its default): the split that was released with them, one fold. `series` "
        "(`knegt`, its default): 64, 16 and 20 % of the CT series, one fold, as MoSE draws them, "
        "or as an HDF5 file has them; eight patients have two series.",
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
        "read `bucket`. `hpunet`: a server of the archives.",
    )
    bucket: str = Field(
        "idc-open-data",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="`idc`: the bucket that holds the objects under the publisher's names.",
    )
    protocol: Literal["kohl2018"] = Field(
        "kohl2018",
        description="How crops are made of slices: 180x180 at 0.5 mm around each lesion on each "
        "slice that at least one reader outlined, four masks, missing readers' empty.",
    )

    downloads: ClassVar = frozenset({"idc", "hpunet"})
    has_crops: ClassVar = True
    largest_crop: ClassVar = 180
    without_path: ClassVar = (
        "the folder of your LIDC-IDRI tree; without one, `source: idc` downloads the slices and "
        "`source: phantom` renders synthetic scans"
    )
    used_from: ClassVar = {**Source.used_from, "protocol": "prepare", "split": "folds"}

    @property
    def is_downloaded(self) -> bool:
        """Whether the images come over the network."""
        return super().is_downloaded and (self.source == "idc" or self.path is None)

    @property
    def subjects(self) -> int | None:
        """How many patients the section asks for."""
        return self.patients

    @property
    def has_fixed_split(self) -> bool:
        """Whether a split that others published is used, which is one fold."""
        return self.folds_file is None and self.chosen_split != "patients"

    @property
    def chosen_split(self) -> Split:
        """How crops are divided: `split`, or the source's default."""
        return self.split or self._splits[0]

    @property
    def _splits(self) -> tuple[Split, ...]:
        return RELEASED.get(self.source, ("patients",))

    def for_step(self, step: Step) -> dict[str, Any]:
        """Return the keys that a step depends on: released crops are not made by `protocol`."""
        values = super().for_step(step)
        return {k: v for k, v in values.items() if k != "protocol" or self.source not in RELEASED}

    @model_validator(mode="after")
    def _split_and_path_fit_source(self) -> Self:
        if self.split is not None and self.split not in self._splits:
            raise ValueError(
                f"`split: {self.split}` is not possible with `source: {self.source}`; choose "
                f"{' or '.join(self._splits)}"
            )
        if self.source in ("knegt", "slices") and self.path is None:
            what = "the pickle or HDF5 file" if self.source == "knegt" else "the folder or the zip"
            raise ValueError(f"`source: {self.source}` needs `path`, {what} of the released crops")
        return self
