"""The explorer: what is chosen is shown, and what is shown is what the report holds."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, expect
from scipy.ndimage import binary_dilation

from .explorer import Explorer, Picture, View, at_centres, classes, decoded, masks
from .opened import NARROW, WIDE, opened

pytestmark = pytest.mark.browser
SORTS = ["ged", "-ged", "disagreement", "-disagreement", "area", "-area"]


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def explorer(browser: Browser, demo: Path, request: pytest.FixtureRequest) -> Iterator[Explorer]:
    """The demo's explorer; nothing goes wrong while a test uses it."""
    with opened(browser, demo, request.param) as seen:
        yield Explorer(seen.page)
        seen.assert_calm()


@pytest.fixture
def crops(explorer: Explorer) -> Explorer:
    explorer.choose("dataset", "lidc")
    return explorer


@pytest.fixture
def scenes(explorer: Explorer) -> Explorer:
    explorer.choose("dataset", "cityscapes")
    return explorer


@pytest.mark.parametrize("dataset", ["lidc", "cityscapes"])
def test_stepping_shows_each_image_and_says_which_one_it_is(
    explorer: Explorer, dataset: str
) -> None:
    explorer.choose("dataset", dataset)
    listed, count = explorer.listed, len(explorer.listed)
    assert count > 5
    seen = [explorer.picture()]
    for place in range(1, 6):
        explorer.press("ArrowRight")
        assert explorer.title == listed[place].replace(" · ", ", ")
        assert explorer.status.startswith(f"Image {place + 1} of {count}, ")
        assert explorer.title in explorer.status
        assert f"GED {explorer.result['ged']:.3f}" in explorer.status
        seen.append(explorer.picture())
    assert all(changed(a, b).mean() > 0.05 for a, b in pairwise(seen))
    for place in reversed(range(5)):
        explorer.press("ArrowLeft")
        np.testing.assert_array_equal(explorer.picture(), seen[place])
    explorer.press("ArrowLeft")  # there is none before the first one
    assert explorer.title == listed[0].replace(" · ", ", ")


def test_buttons_step_too_and_end_at_the_ends(crops: Explorer) -> None:
    expect(crops.part("previous")).to_be_disabled()
    crops.part("next").click()
    crops.wait_drawn()
    assert crops.status.startswith("Image 2 of ")
    crops.part("previous").click()
    crops.wait_drawn()
    assert crops.status.startswith("Image 1 of ")
    crops.choose_image(len(crops.listed) - 1)
    expect(crops.part("next")).to_be_disabled()


@pytest.mark.parametrize("dataset", ["lidc", "cityscapes"])
@pytest.mark.parametrize("sort", SORTS)
def test_sorting_puts_the_images_in_order(explorer: Explorer, dataset: str, sort: str) -> None:
    explorer.choose("dataset", dataset)
    explorer.choose("sort", sort)
    index = {(one["model"], one["fold"]): str(one["index"]) for one in explorer.data["runs"]}
    model = explorer.part("model").input_value()

    def value(item: dict[str, Any]) -> float:
        if sort.strip("-") != "ged":
            return float(item[sort.strip("-")])
        return float(item["runs"][index[model, item["fold"]]]["ged"])

    by_title = {f"{one['subject']} · {one['name']}": one for one in explorer.data["images"]}
    shown = [value(by_title[line]) for line in explorer.listed]
    assert len(shown) == len(by_title)
    assert shown == sorted(shown, reverse=sort.startswith("-"))
    assert len(set(shown)) > 5


def test_the_search_finds_a_patient(crops: Explorer) -> None:
    subject = crops.data["images"][3]["subject"]
    crops.part("search").fill(subject.lower())
    crops.wait_drawn()
    own = [one for one in crops.data["images"] if one["subject"] == subject]
    assert len(crops.listed) == len(own)
    assert all(line.startswith(subject) for line in crops.listed)
    assert crops.item["subject"] == subject
    assert f"{len(own)} of {len(crops.data['images'])}" in str(crops.part("count").text_content())


def test_a_search_that_finds_nothing_says_so(crops: Explorer) -> None:
    crops.part("search").fill("no such patient")
    expect(crops.part("status")).to_contain_text("No image is found")
    assert crops.listed == []
    crops.part("search").fill("")
    crops.wait_drawn()
    assert len(crops.listed) == len(crops.data["images"])


def test_a_fold_shows_its_own_images(crops: Explorer) -> None:
    crops.choose("fold", "2")
    own = [one for one in crops.data["images"] if one["fold"] == 2]
    assert len(own) == len(crops.listed) > 0
    assert crops.item["fold"] == 2


def test_another_model_draws_other_samples_of_the_same_image(scenes: Explorer) -> None:
    title = scenes.title
    first, samples = scenes.part("model").input_value(), scenes.tile("sample-0")
    models = {one["model"] for one in scenes.data["runs"]} - {first}
    assert models
    for model in sorted(models):
        scenes.choose("model", model)
        assert scenes.title == title
        assert scenes.run["name"] in str(scenes.part("samples-title").text_content())
        assert changed(scenes.tile("sample-0"), samples).any()
        assert f"{scenes.result['ged']:.3f}" in str(
            scenes.part("numbers").locator("[data-number=ged]").text_content()
        )


@pytest.mark.parametrize("place", [0, 7])
def test_each_sample_is_drawn_where_its_mask_is(crops: Explorer, place: int) -> None:
    crops.choose_image(place)
    without_graders(crops)
    plain = crops.picture()
    result, view = crops.result, crops.view()
    stored = masks(result["samples"], result["count"])
    assert result["count"] == 16
    for k, mask in enumerate(stored):
        seen = changed(crops.hover(f"sample-{k}"), plain)
        drawn, wanted = at_centres(seen, view[:1:-1]), part(mask, view)
        assert drawn[wanted].all()
        assert not drawn[~binary_dilation(wanted, np.ones((3, 3)))].any()
        assert (drawn == wanted).mean() > 0.995  # a line's width may reach into narrow gaps
    assert stored.any()


def test_each_grader_has_an_outline_in_a_colour_of_its_own(crops: Explorer) -> None:
    item = next(one for one in crops.data["images"] if masks(one["truth"], 4).all(0).sum() > 20)
    crops.choose_image(crops.listed.index(f"{item['subject']} · {item['name']}"))
    without_graders(crops)
    plain, view = crops.picture(), crops.view()
    boxes = crops.part("truths").locator("input[type=checkbox]")
    lines = crops.part("truths").locator("label path")
    colours = [rgb(str(line.get_attribute("stroke"))) for line in lines.all()]
    assert len({tuple(colour) for colour in colours}) == boxes.count() == 4
    for k, mask in enumerate(masks(item["truth"], 4)):
        boxes.nth(k).check()
        drawn = crops.picture()
        for seen, there in zip(
            at_edges(changed(drawn, plain), view[:1:-1]), edges(part(mask, view)), strict=True
        ):
            assert seen[there].all()
        own = [(np.abs(drawn - np.array(colour)).max(axis=2) < 12).sum() for colour in colours]
        assert np.argmax(own) == k
        boxes.nth(k).uncheck()


def test_the_overlay_goes_and_comes_back(crops: Explorer) -> None:
    with_it = crops.picture()
    crops.press("o")
    assert changed(crops.picture(), with_it).any()
    expect(crops.part("overlay")).to_have_attribute("aria-pressed", "false")
    crops.part("overlay").click()
    np.testing.assert_array_equal(crops.picture(), with_it)


def test_enlarging_shows_another_part(crops: Explorer) -> None:
    # an image whose masks are small
    item = min(crops.data["images"], key=lambda one: one["area"])
    crops.choose_image(crops.listed.index(f"{item['subject']} · {item['name']}"))
    large = crops.view()
    crops.press("z")
    expect(crops.part("zoom")).to_have_attribute("aria-pressed", "false")
    whole = crops.view()
    assert whole == (0, 0, *reversed(crops.data["size"]))
    assert large[2] <= whole[2]
    crops.press("z")
    assert crops.view() == large


def test_the_picture_is_seen_through_its_window(crops: Explorer) -> None:
    without_graders(crops)
    crops.switch("zoom", False)
    scale = crops.data["scale"]
    stored = np.asarray(decoded(crops.item["picture"])).astype(float)
    stored = scale["low"] + stored / 255 * (scale["high"] - scale["low"])
    for level, width in ((-600, 1500), (40, 400), (-300, 800)):
        crops.set_range("level", level)
        crops.set_range("width", width)
        wanted = np.clip((stored - level + width / 2) / width, 0, 1) * 255
        seen = at_centres(crops.picture(), stored.shape).astype(float).mean(axis=2)
        assert np.abs(seen - wanted).mean() < 6
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.98


def test_a_preset_sets_the_window(crops: Explorer) -> None:
    pictures = []
    for preset in crops.data["scale"]["presets"]:
        button = crops.page.locator(f"#explorer [data-preset='{preset['name']}']")
        button.click()
        crops.wait_drawn()
        expect(button).to_have_attribute("aria-pressed", "true")
        assert float(crops.part("level").input_value()) == preset["level"]
        assert float(crops.part("width").input_value()) == preset["width"]
        pictures.append(crops.picture())
    assert changed(*pictures).mean() > 0.2


def test_means_and_entropy_are_those_of_the_masks(crops: Explorer) -> None:
    crops.choose("sort", "-area")
    crops.choose_image(0)
    crops.switch("zoom", False)
    without_graders(crops)
    result, size = crops.result, tuple(crops.data["size"])
    mean = masks(result["samples"], result["count"]).mean(axis=0)
    share = np.clip(mean, 1e-9, 1 - 1e-9)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    graders = masks(crops.item["truth"], len(crops.item["given"])).mean(axis=0)
    assert mean.max() > 0.5
    for name, values in (("samples", mean), ("entropy", entropy), ("graders", graders)):
        seen = at_centres(crops.hover(crops.layer(name)), size).astype(int)
        assert np.abs(seen - heat(values)).max() <= 3, name


def test_each_class_is_drawn_in_its_colour(scenes: Explorer) -> None:
    result, labels = scenes.result, scenes.data["labels"]
    colours = np.array([rgb(one["colour"]) for one in labels])
    firsts = np.array([k if one["first"] is None else one["first"] for k, one in enumerate(labels)])
    for k, stored in enumerate(classes(result["samples"], result["count"])):
        seen = at_centres(scenes.tile(f"sample-{k}"), stored.shape).astype(int)
        apart = np.minimum(
            np.abs(seen - colours[stored]).max(axis=2),
            np.abs(seen - colours[firsts[stored]]).max(axis=2),
        )
        assert (apart <= 2).mean() > 0.97  # at the tiles' own pixels' edges one of two neighbours
    assert len(np.unique(stored)) > 3


def test_a_sample_is_pinned_and_taken_away_by_keyboard(crops: Explorer) -> None:
    without_graders(crops)
    plain = crops.picture()
    tile = crops.page.locator("#explorer [data-layer=sample-2]")
    tile.focus()
    crops.page.keyboard.press("Enter")
    expect(tile).to_have_attribute("aria-pressed", "true")
    crops.part("stage").focus()
    crops.wait_drawn()
    expect(crops.part("picture")).to_have_attribute("data-shown", "sample-2")
    crops.press("Escape")
    expect(tile).to_have_attribute("aria-pressed", "false")
    np.testing.assert_array_equal(crops.picture(), plain)


def test_keys_in_the_search_are_letters(crops: Explorer) -> None:
    crops.part("search").focus()
    crops.page.keyboard.type("oz")
    expect(crops.part("search")).to_have_value("oz")
    expect(crops.part("overlay")).to_have_attribute("aria-pressed", "true")


def test_the_address_brings_the_image_back(browser: Browser, demo: Path) -> None:
    with opened(browser, demo) as seen:
        explorer = Explorer(seen.page)
        explorer.choose("dataset", "cityscapes")
        explorer.choose_image(3)
        title, address = explorer.title, seen.page.url
        picture = explorer.picture()
    with opened(browser, demo, fragment=f"#{address.partition('#')[2]}") as seen:
        again = Explorer(seen.page)
        assert again.title == title
        np.testing.assert_array_equal(again.picture(), picture)


@pytest.mark.parametrize("fragment", ["#explorer", "#explorer/%/%/%/%/%/%", "#no/such/thing"])
def test_an_address_that_means_nothing_does_no_harm(
    browser: Browser, demo: Path, fragment: str
) -> None:
    with opened(browser, demo, fragment=fragment) as seen:
        assert Explorer(seen.page).status.startswith("Image 1 of ")
        seen.assert_calm()


def changed(a: Picture, b: Picture) -> NDArray[np.bool_]:
    """Return (H, W) where two pictures differ; everywhere, if they are of two sizes."""
    if a.shape != b.shape:
        return np.ones(a.shape[:2], bool)
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2) > 4


def without_graders(explorer: Explorer) -> None:
    """Leave the picture alone on the canvas; layers are still laid over it."""
    for box in explorer.part("truths").locator("input[type=checkbox]").all():
        box.uncheck()
    explorer.page.mouse.move(0, 0)
    explorer.wait_drawn()


def part(values: NDArray[Any], view: View) -> NDArray[Any]:
    """Return what is shown of an array (H, W)."""
    left, top, width, height = view
    return values[top : top + height, left : left + width]


def edges(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where neighbours differ: (H, W - 1) beside each other, (H - 1, W) below each other."""
    return mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]


def at_edges(
    picture: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is drawn in the middles of the edges between a grid's neighbours."""
    height, width = shape
    rows = np.linspace(0, picture.shape[0], 2 * height + 1)
    columns = np.linspace(0, picture.shape[1], 2 * width + 1)
    middle_rows, middle_columns = rows[1::2].astype(int), columns[1::2].astype(int)
    between_rows, between_columns = rows[2:-1:2].astype(int), columns[2:-1:2].astype(int)
    return (
        picture[np.ix_(middle_rows, between_columns)],
        picture[np.ix_(between_rows, middle_columns)],
    )


def heat(values: NDArray[np.floating[Any]]) -> Picture:
    """Return values from 0 to 1 in magma's colours, five of them and what lies between."""
    stops = np.array([rgb(one) for one in ("#000004", "#51127c", "#b73779", "#fc8961", "#fcfdbf")])
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, stops[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def rgb(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
