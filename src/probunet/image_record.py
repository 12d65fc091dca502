"""The record beside a container image: what it was built from, and when."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Ingredients(BaseModel):
    """Everything that an image is made of; the same ingredients are not built twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition_sha256: str
    lock_sha256: str
    source_sha256: str
    arguments: dict[str, str]


class ImageRecord(Ingredients):
    """The record beside an image, `<kind>.json`."""

    kind: Literal["data", "torch"]  # part of the names of files
    image: str
    sha256: str
    commit: str | None  # of the code when it was built; equal code can have other commits
    apptainer: str
    built: str
