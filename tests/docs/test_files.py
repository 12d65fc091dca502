"""The reference of files names every array, attribute and column that there is."""

import re
from dataclasses import fields

import pytest

from probunet.score.compare import COLUMNS
from probunet.score.table import BINS, FURTHER, RUN, SCORES
from probunet.store import (
    Columns,
    CropAttributes,
    ImageAttributes,
    ImageColumns,
    Latent,
    SampleAttributes,
    Samples,
    SceneAttributes,
    SceneColumns,
)

from .pages import ROOT

PAGE = (ROOT / "docs/reference/files.md").read_text()


def told(heading: str) -> set[str]:
    """Return what a section of the page names in code."""
    section = re.split(r"^#+ ", PAGE.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    return set(re.findall(r"`([^`\n]+)`", section))


@pytest.mark.parametrize(
    ("heading", "columns", "attributes", "arrays"),
    [
        ("Crops of LIDC-IDRI", Columns, CropAttributes, {"image", "masks"}),
        ("Scenes of Cityscapes", SceneColumns, SceneAttributes, {"image", "label"}),
        ("Images of your own", ImageColumns, ImageAttributes, {"image", "masks"}),
    ],
)
def test_a_data_set_s_store_is_told(
    heading: str, columns: type, attributes: type[CropAttributes], arrays: set[str]
) -> None:
    there = arrays | {field.name for field in fields(columns)} | set(attributes.model_fields)
    assert there - told(heading) == set()


def test_samples_are_told() -> None:
    latent = {f"latent/{field.name}" for field in fields(Latent)}
    arrays = {field.name for field in fields(Samples)} - {"path", "attributes", "latent"}
    assert (arrays | latent | set(SampleAttributes.model_fields)) - told("Samples") == set()


def test_columns_of_tables_are_told() -> None:
    summary = {"folds", "ged_sd", "ged_low", "ged_high", "images", "subjects"}
    columns = {*RUN, *SCORES, *FURTHER, *BINS, *COLUMNS, *summary}
    assert columns - told("Tables") == set()
