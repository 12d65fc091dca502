"""The explorer of label maps: each class has its colour, each grader its line."""

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .explorer import Explorer, Picture, classes
from .opened import WIDE, opened

pytestmark = pytest.mark.browser


@pytest.fixture
def explorer(browser: Browser, report_of: Callable[[str], Path]) -> Iterator[Explorer]:
    with opened(browser, report_of("eyes"), WIDE) as seen:
        yield Explorer(seen.page)
        seen.assert_calm()


def coloured(picture: Picture, colour: str) -> int:
    """Return how many pixels have a colour in CSS."""
    return int((picture == list(bytes.fromhex(colour[1:]))).all(axis=-1).sum())


def test_each_grader_s_classes_are_outlined_in_their_colours(explorer: Explorer) -> None:
    colours = [label["colour"] for label in explorer.data["labels"]]
    assert colours[0] == ""  # the background
    for place in range(6):
        explorer.choose_image(place)
        maps = classes(explorer.item["truth"], len(explorer.item["given"]))
        drawn = [k for k in (1, 2) if coloured(explorer.picture(), colours[k])]
        assert drawn == [k for k in (1, 2) if (maps == k).any()]
        boxes = explorer.part("truths").locator("input").all()
        assert len(boxes) == len(maps)
        for box in boxes:
            box.uncheck()
        explorer.wait_drawn()
        assert not any(coloured(explorer.picture(), colours[k]) for k in (1, 2))
        for box in boxes:
            box.check()
        explorer.wait_drawn()


def test_an_inner_object_is_drawn_after_the_one_around_it(explorer: Explorer) -> None:
    source = (files("probunet.report") / "explorer-layers.js").read_text(encoding="utf-8")
    labels = json.dumps(explorer.data["labels"])
    script = (
        f"values => {{ const state = {{data: {{labels: {labels}}}}}; {source}; "
        "return partsOf({values, width: 3, height: 3}).map(({name}) => name); }"
    )
    disc_around_cup, cup_around_disc = [1, 1, 1, 1, 2, 1, 1, 1, 1], [2, 2, 2, 2, 1, 2, 2, 2, 2]
    assert explorer.page.evaluate(script, disc_around_cup) == ["disc", "cup"]
    assert explorer.page.evaluate(script, cup_around_disc) == ["cup", "disc"]


def test_samples_and_maps_show_the_classes(explorer: Explorer) -> None:
    colours = [label["colour"] for label in explorer.data["labels"][1:3]]
    layers = [*(f"sample-{k}" for k in range(4)), "map-0", "map-1"]
    seen = [coloured(explorer.tile(layer), colour) for layer in layers for colour in colours]
    assert sum(count > 0 for count in seen) > len(seen) / 2  # some samples lack a class


def test_the_legend_and_the_pointer_name_the_classes(explorer: Explorer) -> None:
    assert explorer.part("legend").locator("li").all_text_contents() == ["disc", "cup", "ignored"]
    explorer.part("picture").scroll_into_view_if_needed()
    explorer.part("picture").hover(position={"x": 30, "y": 30})
    words = str(explorer.part("pixel").text_content())
    assert "graders: " in words
    assert "samples: " in words
