"""A picture to look at: an image, the best guess, mean and uncertainty, and some samples."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from probunet.errors import printable
from probunet.pictures.labels import class_colours
from probunet.predict.base import DISCLAIMER
from probunet.predict.files import class_rgb
from probunet.predict.predictor import Drawn
from probunet.truth.labels import objects

_SIDE, _TEXT, _GAP = 160, 14, 4  # pixels
_COLUMNS, _SAMPLES = 6, 13  # with the five other pictures, three rows

Rgb = NDArray[np.uint8]  # (H, W, 3)


def draw_montage(
    pixels: NDArray[np.generic],
    drawn: Drawn,
    classes: tuple[str, ...],
    window: tuple[float, float],
    title: str,
) -> tuple[Image.Image, PngInfo]:
    """Return the picture of a slice (H, W, C), and the text to save with it."""
    shown = list(_tiles(pixels, drawn, classes, window))
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    step = size[0] + _GAP, size[1] + _GAP + _TEXT
    rows = -(-len(shown) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * step[0], rows * step[1] + 2 * _TEXT), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (caption, tile) in enumerate(shown):
        x, y = k % _COLUMNS * step[0], k // _COLUMNS * step[1]
        pen.text((x, y), caption, "black")
        sheet.paste(Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR), (x, y + _TEXT))
    words = printable(title, 200).encode("ascii", "replace").decode()
    for line, text in enumerate((words, DISCLAIMER)):
        pen.text((0, rows * step[1] + line * _TEXT), text, "black")
    about = PngInfo()
    about.add_text("Comment", DISCLAIMER)
    return sheet, about


def _tiles(
    pixels: NDArray[np.generic],
    drawn: Drawn,
    classes: tuple[str, ...],
    window: tuple[float, float],
) -> Iterator[tuple[str, Rgb]]:
    """Yield captions and pictures."""
    low, high = window
    image = _grey((pixels.astype(np.float32) - low) / (high - low))
    colours = class_rgb(classes, class_colours(1)[0])
    foreground = objects(classes)
    most = np.log(len(classes))
    yield "image", image
    yield "best guess", _over(image, drawn.deterministic, colours, foreground)
    yield "mean", _grey(drawn.mean[foreground].max(axis=0)[..., None])
    yield "entropy", _grey(drawn.entropy[..., None] / most)
    yield "mutual inf.", _grey(drawn.mutual_information[..., None] / most)
    for k, sample in enumerate(drawn.samples[:_SAMPLES]):
        caption = f"sample {k}"
        if drawn.weights is not None:
            caption += f", weight {drawn.weights[k] / drawn.weights.sum():.3f}"
        yield caption, _over(image, sample, colours, foreground)


def _over(image: Rgb, ids: NDArray[np.uint8], colours: Rgb, foreground: list[int]) -> Rgb:
    """Return an image with the colours of a label map (H, W) on the pixels of objects."""
    mixed = (image // 2 + colours[ids] // 2).astype(np.uint8)
    return np.where(np.isin(ids, foreground)[..., None], mixed, image)


def _grey(values: NDArray[np.floating]) -> Rgb:
    """Return values (H, W, 1 or 3) from 0 to 1 as a picture."""
    levels = np.rint(255 * values[..., :3].clip(0, 1)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))
