"""The explorer of an open report: what it was given, what it was told to show, and its pixels."""

import base64
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from .whole import wait_until_drawn

Picture = NDArray[np.uint8]  # (H, W, 3)
View = tuple[int, int, int, int]  # left, top, width and height of what is shown, pixels


class Explorer:
    """Drives the page as a reader does, and reads what is drawn."""

    def __init__(self, page: Page) -> None:
        self.page = page
        scripts = page.locator("script.explorer-data").all()
        self.documents: dict[str, dict[str, Any]] = {
            str(script.get_attribute("data-dataset")): json.loads(str(script.text_content()))
            for script in scripts
        }
        self.wait_drawn()

    def part(self, name: str) -> Locator:
        return self.page.locator(f"#explorer-{name}")

    @property
    def data(self) -> dict[str, Any]:
        """What the page holds of the data set that is shown."""
        return self.documents[self.part("dataset").input_value()]

    @property
    def item(self) -> dict[str, Any]:
        """The image that is shown, as the page's data have it."""
        found = [one for one in self.data["images"] if _title(one) == self.title]
        assert len(found) == 1, self.title
        image: dict[str, Any] = found[0]
        return image

    @property
    def run(self) -> dict[str, Any]:
        """The run that was chosen, of the image's fold."""
        model, beta, seed = (self.part(name).input_value() for name in ("model", "beta", "seed"))
        found = [
            one
            for one in self.data["runs"]
            if (one["model"], str(one["seed"]), one["fold"]) == (model, seed, self.item["fold"])
            and one["beta"] in (beta, None)
        ]
        assert len(found) == 1
        run: dict[str, Any] = found[0]
        return run

    @property
    def result(self) -> dict[str, Any]:
        """What the chosen run has of the image."""
        found: dict[str, Any] = self.item["runs"][str(self.run["index"])]
        return found

    @property
    def title(self) -> str:
        return str(self.part("title").text_content())

    @property
    def status(self) -> str:
        return str(self.part("status").text_content())

    @property
    def listed(self) -> list[str]:
        """The list's lines, less the number in front of each."""
        lines = self.part("list").locator("option").all_text_contents()
        return [line.partition("\u2002")[2] for line in lines]

    def wait_drawn(self) -> None:
        """Wait until the picture that was asked for last is on the canvas."""
        expect(self.part("status")).not_to_be_empty()
        self.page.wait_for_function(
            """() => {
              const root = document.querySelector("#explorer");
              const list = document.querySelector("#explorer-list");
              const line = list.selectedOptions[0]?.text ?? "";
              const title = document.querySelector("#explorer-title").textContent;
              return line.endsWith(title.replace(/, /, " · ")) || !list.options.length;
            }"""
        )
        # what is drawn "soon" is drawn before the next frame
        wait_until_drawn(self.page)

    def choose(self, name: str, value: str) -> None:
        """Choose in a select."""
        self.part(name).select_option(value)
        self.wait_drawn()

    def choose_image(self, place: int) -> None:
        self.part("list").select_option(index=place)
        self.wait_drawn()

    def press(self, key: str) -> None:
        """Press a key while the picture has the focus."""
        self.part("stage").focus()
        self.page.keyboard.press(key)
        self.wait_drawn()

    def set_range(self, name: str, value: float) -> None:
        self.part(name).fill(str(value))
        self.wait_drawn()

    def switch(self, name: str, on: bool) -> None:
        """Press a button that stays pressed, where it is not so already."""
        if (self.part(name).get_attribute("aria-pressed") == "true") != on:
            self.part(name).click()
        self.page.mouse.move(0, 0)
        self.wait_drawn()

    def hover(self, layer: str) -> Picture:
        """Return the picture while the pointer is over this layer's button."""
        self.page.locator(f"#explorer [data-layer={layer}]").hover()
        expect(self.part("picture")).to_have_attribute("data-shown", layer)
        return self.picture()

    def view(self) -> View:
        """Return the part of the picture that is shown, as the words under it tell."""
        self.part("picture").scroll_into_view_if_needed()
        bounds = self.part("picture").bounding_box()
        assert bounds is not None
        found = []
        for x, y in ((1, 1), (bounds["width"] - 1, bounds["height"] - 1)):
            self.part("picture").hover(position={"x": x, "y": y})
            expect(self.part("pixel")).to_contain_text("x ")
            words = str(self.part("pixel").text_content()).partition(":")[0]
            found.append([int(word.strip("xy ")) for word in words.split(",")])
        (left, top), (right, bottom) = found
        self.page.mouse.move(0, 0)
        return left, top, right + 1 - left, bottom + 1 - top

    def picture(self) -> Picture:
        return pixels(self.part("picture"))

    def tile(self, layer: str) -> Picture:
        return pixels(self.page.locator(f"#explorer [data-layer={layer}] canvas"))

    def layer(self, name: str) -> str:
        """Return the key of the map of this name."""
        buttons = self.page.locator("#explorer-maps [data-layer]")
        found = [one for one in buttons.all() if name in (one.get_attribute("aria-label") or "")]
        assert len(found) == 1, name
        return str(found[0].get_attribute("data-layer"))


def _title(item: dict[str, Any]) -> str:
    return f"{item['subject']}, {item['name']}"


def pixels(canvas: Locator) -> Picture:
    """Return a canvas's pixels."""
    uri = canvas.evaluate("(canvas) => canvas.toDataURL()")
    return np.asarray(decoded(uri).convert("RGB"))


def decoded(uri: str) -> Image.Image:
    """Return the picture behind a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def masks(uri: str, count: int) -> NDArray[np.bool_]:
    """Return the masks (m, H, W) that stand one below the other in a picture."""
    values = np.asarray(decoded(uri).convert("L")) > 127
    return values.reshape(count, -1, values.shape[1])


def classes(uri: str, count: int) -> NDArray[np.uint8]:
    """Return the maps of classes (m, H, W) that stand one below the other in a picture."""
    values = np.asarray(decoded(uri).convert("L"))
    return values.reshape(count, -1, values.shape[1])


def at_centres(picture: Picture, shape: tuple[int, int]) -> Picture:
    """Return what is drawn at the centres of a grid of `shape` that fills the picture."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * there / wanted).astype(int)
        for wanted, there in zip(shape, picture.shape[:2], strict=True)
    )
    return picture[np.ix_(rows, columns)]
