"""The reference of files names every array, attribute and column."""

import re
from dataclasses import fields

import pytest

from probunet.datasets.cityscapes.store import SceneAttributes, SceneColumns
from probunet.datasets.folder.store import ImageAttributes, ImageColumns
from probunet.datasets.lidc.released.store import ReleasedAttributes, ReleasedColumns
from probunet.datasets.lidc.store import Columns, CropAttributes
from probunet.score.compare import COLUMNS
from probunet.score.table import BINS, FURTHER, OVER_IMAGES, PRESENCE_BINS, SCORES
from probunet.scores import ABOUT, RUN
from probunet.store import Latent, SampleAttributes, Samples
from probunet.truth.base import DataAttributes
from support.pages import ROOT

PAGE = (ROOT / "docs/reference/files.md").read_text()


def named(heading: str) -> set[str]:
    """Return the words in code of a section of the page."""
    section = re.split(r"^#+ ", PAGE.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    return set(re.findall(r"`([^`\n]+)`", section))


@pytest.mark.parametrize(
    ("heading", "columns", "attributes", "arrays"),
    [
        ("Crops of LIDC-IDRI", Columns, CropAttributes, {"image", "masks"}),
        ("Released crops of LIDC-IDRI", ReleasedColumns, ReleasedAttributes, {"image", "masks"}),
        ("Scenes of Cityscapes", SceneColumns, SceneAttributes, {"image", "label"}),
        ("A folder of your own images", ImageColumns, ImageAttributes, {"image", "masks"}),
    ],
)
def test_the_store_of_a_data_set_is_named(
    heading: str, columns: type, attributes: type[DataAttributes], arrays: set[str]
) -> None:
    expected = arrays | {field.name for field in fields(columns)} | set(attributes.model_fields)
    assert expected - named(heading) == set()


def test_samples_are_named() -> None:
    latent = {f"latent/{field.name}" for field in fields(Latent)}
    arrays = {field.name for field in fields(Samples)} - {"path", "attributes", "latent"}
    assert (arrays | latent | set(SampleAttributes.model_fields)) - named("Samples") == set()


def test_columns_of_tables_are_named() -> None:
    summary = {"folds", "ged_sd", "ged_low", "ged_high", "images", "subjects"}
    columns = {*RUN, *SCORES, *FURTHER, *OVER_IMAGES, *BINS, *PRESENCE_BINS, *ABOUT, *COLUMNS}
    columns |= summary
    assert columns - named("Tables") == set()
