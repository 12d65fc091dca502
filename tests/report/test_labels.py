"""Images with several classes in the report: label maps, colours, scores of each class."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from probunet.datasets.folder.manifest import ClassTable
from probunet.datasets.folder.store import LabelledImages, open_labelled
from probunet.flips import IGNORE
from probunet.metrics.bits import bits_of
from probunet.pictures.labels import class_colours
from probunet.report.build import build_report
from probunet.report.explorer import Source, explore
from probunet.report.latent import latent_figures
from probunet.report.runs import read_run
from probunet.score.table import write_tables
from support.class_scores import class_distance
from support.label_images import write_label_run, write_labelled
from support.report.page import prose

SIZE = (16, 24)
GIVEN = [0b001, 0b110, 0b111, 0b100, 0b010, 0b111]
PAIR = ("probabilistic_unet", 1.0)


def explored(images: LabelledImages, folder: Path) -> dict[str, Any]:
    source = Source("eyes", images, [read_run(folder)], [PAIR])
    [found] = explore([source], examples=100, budget=10**8)
    assert found.document is not None
    return found.document


def pixels(uri: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize("names", [("background", "disc"), ("background", "disc", "cup")])
def test_the_explorer_has_each_grader_s_label_map(tmp_path: Path, names: tuple[str, ...]) -> None:
    images = open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE, names))
    document = explored(images, write_label_run(tmp_path, images))
    assert (document["kind"], document["truth"]) == ("labels", "grader")
    assert [label["name"] for label in document["labels"]] == [*names, "ignored"]
    assert document["labels"][0]["colour"] == ""
    scored = list(range(1, len(names)))
    for item in document["images"]:
        row = item["row"]
        graders = bits_of(GIVEN[row])
        maps = np.moveaxis(np.asarray(images.labels[row]), -1, 0)[graders]
        shown = pixels(item["truth"]).reshape(len(graders), *SIZE)
        np.testing.assert_array_equal(shown, np.where(maps == IGNORE, len(names), maps))
        samples = pixels(item["runs"]["0"]["samples"])
        assert samples.shape == (4 * SIZE[0], SIZE[1])
        assert samples.max() < len(names)
        whole = ~(maps == IGNORE).any(axis=0)
        apart = [class_distance(a, b, whole, scored, "equal") for a in maps for b in maps]
        if len(graders) > 1:
            assert item["disagreement"] == pytest.approx(np.mean(apart), abs=1e-4)
        else:
            assert item["disagreement"] is None


def test_classes_named_by_colours_have_these_colours(tmp_path: Path) -> None:
    images = open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE))
    table = ClassTable(names=images.class_names, values=("#000000", "#ff0000", "#0000ff"))
    about = images.attributes.model_copy(update={"classes": table})
    shown = LabelledImages(**{**vars(images), "attributes": about}).shown()
    assert [label.colour for label in shown.about().labels[:3]] == ["", "#ff0000", "#0000ff"]
    assert [label.colour for label in images.shown().about().labels[1:3]] == class_colours(2)


def test_the_latent_grid_is_in_the_classes_colours(tmp_path: Path) -> None:
    images = open_labelled(write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE))
    run = read_run(write_label_run(tmp_path, images))
    figures = latent_figures([run], 1.0, images)
    grid = Image.open(io.BytesIO(base64.b64decode(figures[0].maps.partition(",")[2])))
    colours = {colour for _, colour in grid.convert("RGB").getcolors()}
    assert {(0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9)} < colours


def test_the_report_tells_classes_rule_and_scores(tmp_path: Path) -> None:
    store = write_labelled(tmp_path / "eyes.zarr", GIVEN, SIZE, absent="left_out")
    run = write_label_run(tmp_path, open_labelled(store))
    tables = [tmp_path / f"{name}.csv" for name in ("scores", "summary", "comparison")]
    write_tables([run / "scores.parquet"], *tables, bootstrap=20)
    build_report(
        tmp_path / "report.html",
        **dict(zip(("scores", "summary", "comparison"), tables, strict=True)),
        runs=[run],
        stores=[store],
        config={},
        title="Eyes",
        examples=3,
    )
    text = re.sub(r"<[^>]+>", "", prose((tmp_path / "report.html").read_text()))
    assert "label maps of 3 classes: background (0), disc (1), cup (2)" in text
    assert "pixels of 255 are ignored" in text
    assert "a class that neither of two label maps has is left out, as on Cityscapes" in text
    assert "Scores of each class at n = 4" in text
