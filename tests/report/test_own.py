"""Images of one's own in the report: who looked at them, colour, one grader, the latent space."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from probunet.datasets.folder.manifest import GraderCheck
from probunet.datasets.folder.store import Images, open_images
from probunet.metrics.bits import bits_of
from probunet.report.build import build_report
from probunet.report.explorer import Source, explore
from probunet.report.labels import predictor
from probunet.report.latent import latent_figures
from probunet.report.runs import read_run
from probunet.score.table import write_tables
from probunet.store import open_samples
from probunet.truth.labels import stored_maps
from support.own_images import write_store
from support.own_sizes import open_own, write_own_run
from support.report.page import prose
from support.report.runs import RUN, write_run

SIZE = (32, 48)
GIVEN = [0b001, 0b110, 0b111, 0b100, 0b010, 0b111, 0b101, 0b011]


def explored(images: Images, folder: Path) -> dict[str, Any]:
    source = Source("mine", images, [read_run(folder)], [(RUN.model, RUN.beta)])
    [found] = explore([source], examples=100, budget=10**8)
    assert found.document is not None
    return found.document


def pixels(uri: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_explorer_has_the_masks_of_those_who_looked(tmp_path: Path) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, SIZE))
    document = explored(images, write_run(tmp_path, images))
    assert (document["kind"], document["subject"], document["truth"]) == (
        "masks",
        "subject",
        "grader",
    )
    assert (document["scale"]["low"], document["scale"]["high"]) == (100, 900)
    shown = {item["name"]: item for item in document["images"]}
    assert len(shown) == len(GIVEN)
    for row, who in enumerate(GIVEN):
        item, graders = shown[f"images/{row}.png"], bits_of(who)
        assert item["subject"] == images.subjects[row]
        assert item["given"] == [g + 1 for g in graders]
        masks = pixels(item["truth"]).reshape(len(graders), *SIZE)
        for mask, g in zip(masks, graders, strict=True):
            np.testing.assert_array_equal(mask, np.asarray(images.masks[row]) >> g & 1)
        assert (item["disagreement"] is None) == (len(graders) == 1)
        values = np.asarray(images.image[row])[..., 0].astype(float)
        levels = ((values - 100) / 800).clip(0, 1) * 255
        np.testing.assert_allclose(pixels(item["picture"]), levels, atol=0.51)
        assert pixels(item["runs"]["0"]["samples"]).shape == (4 * SIZE[0], SIZE[1])


def test_colour_is_shown_as_a_photograph(tmp_path: Path) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, SIZE, 3, "uint16"))
    document = explored(images, write_run(tmp_path, images))
    assert document["scale"] is None
    picture = document["images"][0]["picture"]
    assert picture.startswith("data:image/jpeg")
    assert pixels(picture).shape == (*SIZE, 3)


def test_slices_of_a_volume_are_told_apart(tmp_path: Path) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", [1] * 4, SIZE, graders=1))
    images.columns.slice[:] = [7, 8, -1, -1]
    document = explored(images, write_run(tmp_path, images))
    names = {item["name"] for item in document["images"]}
    assert {"images/0.png, slice 7", "images/1.png, slice 8", "images/2.png"} <= names


@pytest.mark.parametrize("size", [(32, 48), (48, 32)])
def test_the_latent_space_has_the_posteriors_of_those_who_looked(tmp_path: Path, size) -> None:
    images = open_images(write_store(tmp_path / "mine.zarr", GIVEN, size))
    figures = latent_figures([read_run(write_run(tmp_path, images))], 1.0, images)
    assert [[place.grader for place in figure.posteriors] for figure in figures] == [
        [1, 2],
        [0, 1, 2],
    ]
    first = figures[0]
    assert first.prior.grader == -1
    assert first.name == f"{images.subjects[1]}, images/1.png"
    assert (first.crop, first.aspect) == (48, 1)
    picture = pixels(first.picture)
    assert picture.shape == (48, 48)
    assert not picture[size[0] :].any()
    assert not picture[:, size[1] :].any()
    assert picture.any()
    assert all(all(line) for line in first.outlines)


def test_rows_are_named_as_for_lidc() -> None:
    assert predictor("graders", float("nan"), "mine") == "The graders themselves"
    assert predictor("empty", float("nan"), "mine") == "Always empty"


def page(folder: Path, images: Images, run: Path | None = None) -> str:
    runs = [run or write_run(folder / "results", images)]
    tables = [folder / name for name in ("scores.csv", "summary.csv", "comparison.csv")]
    write_tables([run / "scores.parquet" for run in runs], *tables, 50)
    build_report(
        folder / "report.html",
        **{table.stem: table for table in tables},
        runs=runs,
        stores=[images.path],
        config={},
        title="Mine",
        examples=4,
    )
    text = prose((folder / "report.html").read_text(encoding="utf-8"))
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_what_the_masks_contain_is_told_with_warnings(tmp_path: Path) -> None:
    checks = (
        GraderCheck(grader="mask_0", values="values 0, 255", images=8, marked=0.123, overlap=0.456),
        GraderCheck(
            grader="mask_1", values="value 0", images=0, marked=0.0, warnings=("marks <no> pixel",)
        ),
    )
    warnings = ("2 of 3 images are odd", "are the columns swapped?")
    path = write_store(tmp_path / "mine.zarr", GIVEN, SIZE, checks=checks, warnings=warnings)
    told = page(tmp_path, open_images(path))
    assert "mask_0 values 0, 255 8 12.3 % 0.46 0" in told
    assert "mask_1 value 0 0 0.0 %" in told
    assert "Warning: mask_1 marks &lt;no&gt; pixel." in told
    assert "Warning: 2 of 3 images are odd." in told
    assert "Warning: are the columns swapped?" in told
    assert "0 is background, the other value is foreground" in told


@pytest.mark.parametrize("graders", [10, 32])
def test_many_graders_are_scored_and_shown(tmp_path: Path, graders: int) -> None:
    everyone = 2**graders - 1
    path = write_store(tmp_path / "mine.zarr", [everyone, 0b11, everyone, 1], SIZE, graders=graders)
    images = open_images(path)
    told = page(tmp_path, images)
    assert f"{graders}: mask_{graders - 1}" in told
    assert "Warning" not in told
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {*re.findall(r"truth g(\d+)", html)} == {*map(str, range(8))}
    assert "the colours repeat" in told
    document = explored(images, tmp_path / "results" / RUN.folder)
    shown = {item["name"]: item for item in document["images"]}["images/0.png"]
    masks = pixels(shown["truth"]).reshape(graders, *SIZE)
    for g, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, np.asarray(images.masks[0]) >> g & 1)


@pytest.mark.parametrize("labelled", [False, True])
def test_images_of_their_own_sizes_are_shown_as_large_as_they_are(tmp_path: Path, labelled) -> None:
    images = open_own(tmp_path / "mine.zarr", labelled=labelled)
    run = write_own_run(tmp_path, images, RUN)
    document, drawn = explored(images, run), open_samples(run / "samples.zarr")
    assert document["size"] == images.size
    assert len(document["images"]) == 4
    for item in document["images"]:
        row, (height, width) = item["row"], item["size"]
        assert [height, width] == images.extents[row].tolist()
        assert pixels(item["picture"]).shape == (height, width)
        assert pixels(item["truth"]).shape == (len(item["given"]) * height, width)
        (place,) = np.flatnonzero(drawn.rows == row)
        maps = stored_maps(np.asarray(drawn.samples[place]), images.classes, images.size)
        shown = pixels(item["runs"]["0"]["samples"]).reshape(4, height, width)
        assert np.array_equal(shown, maps[:, :height, :width])
    text = page(tmp_path, images, run)
    assert "each image its own: 8 to 70 pixels high, 8 to 90 wide" in text
    assert "trained on patches and sampled in tiles ( training.crop )" in text
    assert "each of which has a latent space of its own" in text
