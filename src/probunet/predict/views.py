"""How a network looks at whole slices: at the size that it was trained on, or in tiles.

A slice of another size is brought to the trained size as `prepare` does, and its maps are brought
back: class ids by the nearest pixel, other maps linearly. Images that are never scaled, such as
crops of CT slices, are only padded to a multiple that the network needs. A network that was trained
on patches sees tiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probunet.models.tiles import padded, tiles_of
from probunet.predict.base import Part, Picture, UnusableError, View, Views
from probunet.prepared import Prepared

if TYPE_CHECKING:
    from probunet.datasets.cityscapes.config import Fit

Size = tuple[int, int]  # height and width, pixels


@dataclass(frozen=True)
class _Slices:
    """Views of each slice by one function of its pixels."""

    pixels: NDArray[Any]
    views: Callable[[NDArray[Any]], Sequence[View]]

    def of(self, k: int) -> Sequence[View]:
        """Return the views of slice `k`."""
        return self.views(self.pixels[k])


def look_at(
    picture: Picture,
    prepared: Prepared | None,
    multiple: int,
    *,
    row: int = 0,
    tiles: bool = False,
) -> Views:
    """Return the views of a picture's slices.

    Parameters
    ----------
    prepared
        The form of the images that the network was trained on; None: it is not known, and images
        are not scaled.
    multiple
        Height and width of a view are multiples of it.
    row
        See `View.row`.
    tiles
        Cut slices that are larger than the trained size into tiles of this size.
    """
    keep = Prepared((multiple, multiple), "keep", picture.pixels.dtype.name, 0.0)
    in_tiles = prepared is not None and (tiles or prepared.resize == "tile")
    views = partial(_tiles if in_tiles else _whole, prepared or keep, multiple, row)
    return _Slices(picture.pixels, views)


def _whole(prepared: Prepared, multiple: int, row: int, pixels: NDArray[Any]) -> list[View]:
    """Return the one view of a slice (H, W, C)."""
    own: Size = pixels.shape[:2]
    pixels = _typed(pixels, prepared.values)
    part, inner = _all(own), _all(prepared.size)
    if own == prepared.size:
        image = pixels
    elif prepared.resize == "keep":
        size = tuple(-(-length // multiple) * multiple for length in own)
        image, inner = padded(pixels, size, prepared.beyond), _all(own)
    elif prepared.resize == "fit":
        from probunet.datasets.folder.fit import fit_image, place_of

        image = fit_image(pixels, prepared.size, prepared.padding)
        inner = place_of(own, prepared.size)
    else:
        assert prepared.resize != "tile"
        image, part, inner = _fitted(pixels, prepared.size, prepared.resize)
    return [View(image, part, partial(_back, inner, _shape(part)), row=row)]


def _fitted(pixels: NDArray[Any], size: Size, how: "Fit") -> tuple[NDArray[Any], Part, Part]:
    """Return a scene at `size`, which part of its own grid is seen, and where it is within."""
    from PIL import Image

    from probunet.datasets.cityscapes.scene import fitted

    method = Image.Resampling.BILINEAR
    height, width = pixels.shape[:2]
    planes = np.moveaxis(pixels, -1, 0)
    channels = [fitted(Image.fromarray(one), size, how, method) for one in planes]
    left, top, right, bottom = 0, 0, size[1], size[0]
    if how == "pad":  # where white would be
        white = Image.new("L", (width, height), 255)
        box = fitted(white, size, how, Image.Resampling.NEAREST).getbbox()
        if box is None:
            raise UnusableError(
                f"an image of {height} x {width} pixels is too narrow for {size[0]} x {size[1]}; "
                "cut it into parts, or use --tiles."
            )
        left, top, right, bottom = box
    tall, wide = height, width
    if how == "crop":
        tall = min(height, round(width * size[0] / size[1]))
        wide = min(width, round(height * size[1] / size[0]))
    y, x = (height - tall) // 2, (width - wide) // 2
    part = slice(y, y + tall), slice(x, x + wide)
    image = np.stack([np.asarray(one) for one in channels], axis=-1)
    return image, part, (slice(top, bottom), slice(left, right))


def _tiles(prepared: Prepared, multiple: int, row: int, pixels: NDArray[Any]) -> list[View]:
    """Return tiles of a slice (H, W, C), at the trained size; see `models.tiles`."""
    image = padded(_typed(pixels, prepared.values), prepared.size, prepared.beyond)
    return [
        View(image[tile.place], tile.part, partial(_back, tile.inner, _shape(tile.part)), row=row)
        for tile in tiles_of(pixels.shape[:2], prepared.size)
    ]


def _back(inner: Part, shape: Size, maps: NDArray[Any]) -> NDArray[Any]:
    """Return the inner part of maps (m, h, w) at another size, (m, *shape)."""
    maps = maps[(slice(None), *inner)]
    if maps.shape[1:] == shape:
        return maps
    from PIL import Image

    how = Image.Resampling.BILINEAR if maps.dtype.kind == "f" else Image.Resampling.NEAREST
    return np.stack([np.asarray(Image.fromarray(one).resize(shape[::-1], how)) for one in maps])


def _typed(pixels: NDArray[Any], values: str) -> NDArray[Any]:
    """Return pixels in the type of the training images, if it holds all of their values."""
    kept = np.can_cast(pixels.dtype, values)
    return pixels.astype(values, copy=False) if kept else pixels.astype(np.float32)


def _all(size: Size) -> Part:
    return slice(0, size[0]), slice(0, size[1])


def _shape(part: Part) -> Size:
    rows, columns = part
    return rows.stop - rows.start, columns.stop - columns.start
