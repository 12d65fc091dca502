"""Canvas of a synthetic street: a camera, inks with a class, light, and shapes in metres."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from probunet.datasets.cityscapes.labels import TRAIN_IDS
from probunet.flips import CLASSES

Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Flat = tuple[float, float]  # across and down in shares of the picture, or aside and up in metres
Point = tuple[float, float, float]  # metres to the right, up, and ahead
Pixels = NDArray[np.float32]  # (H, W) or (H, W, 3)

# the publisher's label ids by name; the last three are neither trained nor scored
IDS = {CLASSES[train]: label for label, train in TRAIN_IDS.items()} | {
    "ego vehicle": 1,
    "rectification border": 2,
    "static": 4,
}
# standard deviations, in grey levels, of grain, of large patches and of leaf-sized spots
TEXTURES = {
    "plain": (4.0, 5.0, 0.0),
    "asphalt": (9.0, 6.0, 3.0),
    "paving": (8.0, 5.0, 0.0),
    "plaster": (5.0, 9.0, 0.0),
    "leaves": (10.0, 8.0, 20.0),
    "grass": (14.0, 8.0, 10.0),
    "cloud": (1.0, 11.0, 0.0),
    "glass": (3.0, 14.0, 2.0),
}
FOCAL = (0.8, 1.6)  # of a picture's width and height: square pixels at 1 : 2
NEAREST = 0.6  # metres; nearer points are drawn at this distance
CLEAR = 170.0  # metres over which haze replaces 63 % of a colour
SMALL = 512  # rows; smaller pictures are drawn at twice the size and halved


def colours(codes: str) -> tuple[Colour, ...]:
    """Return colours from their hexadecimal codes.

    >>> colours("ff8000 000001")
    ((255, 128, 0), (0, 0, 1))
    """
    return tuple((code[0], code[1], code[2]) for code in map(bytes.fromhex, codes.split()))


class Camera(NamedTuple):
    """A pinhole camera in the street."""

    horizon: float  # share of the picture's height
    vanishing: float  # share of its width
    x: float  # metres from the middle of the road
    y: float = 1.4

    def project(self, point: Point) -> Flat:
        """Return the place of a point in the picture."""
        x, y, z = point
        z = max(z, NEAREST)
        across, down = FOCAL[0] * (x - self.x) / z, FOCAL[1] * (self.y - y) / z
        return self.vanishing + across, self.horizon + down


class Light(NamedTuple):
    """Time of day and weather."""

    sun: int  # the side of the sun, -1 or 1
    shade: float  # share of light in shadows
    tint: Colour  # factors of red, green and blue
    zenith: Colour
    haze: Colour


class _Ink(NamedTuple):
    label: int
    colour: Colour
    texture: str
    ground: bool  # shadows fall on it, and its haze depends on the row


class Canvas:
    """A picture and its labels, painted from far to near.

    Parameters
    ----------
    size
        Height and width of the picture, pixels.
    camera, light
        How the scene is seen.
    draw
        Random generator of everything in the scene.
    """

    def __init__(
        self, size: tuple[int, int], camera: Camera, light: Light, draw: np.random.Generator
    ) -> None:
        self.camera, self.light, self.draw = camera, light, draw
        self._factor = 2 if size[0] < SMALL else 1
        self._height, self._width = (self._factor * side for side in size)
        self._inks: dict[_Ink, int] = {}
        self._painted = Image.new("I", (self._width, self._height))
        self._brush = ImageDraw.Draw(self._painted)
        self._lit = Image.new("L", (self._width, self._height), 255)
        self._shadow_brush = ImageDraw.Draw(self._lit)

    def ink(
        self,
        name: str,
        colour: Colour,
        z: float = 0.0,
        texture: str = "plain",
        ground: bool = False,
    ) -> int:
        """Return the ink of a class behind `z` metres of haze."""
        clear = float(np.exp(-z / CLEAR))
        red, green, blue = (
            round(clear * part + (1 - clear) * haze, 1)
            for part, haze in zip(colour, self.light.haze, strict=True)
        )
        ink = _Ink(IDS[name], (red, green, blue), texture, ground)
        return self._inks.setdefault(ink, len(self._inks))

    def fill(self, ink: int, corners: Iterable[Flat]) -> None:
        """Paint a polygon, in shares of the picture."""
        self._brush.polygon(self._on_canvas(corners), ink)

    def face(self, ink: int, corners: Iterable[Point]) -> None:
        """Paint a polygon, in metres."""
        self.fill(ink, map(self.camera.project, corners))

    def wall(self, ink: int, x: float, near: float, far: float, low: float, high: float) -> None:
        """Paint an upright rectangle along the street, in metres."""
        self.face(ink, [(x, low, near), (x, low, far), (x, high, far), (x, high, near)])

    def cutout(self, ink: int, x: float, z: float, shape: Iterable[Flat]) -> None:
        """Paint a polygon that faces the camera, in metres aside of x and above the ground."""
        self.face(ink, [(x + aside, up, z) for aside, up in shape])

    def bar(self, ink: int, x: float, z: float, half: float, low: float, high: float) -> None:
        """Paint an upright rectangle that faces the camera, `half` metres wide on both sides."""
        self.cutout(ink, x, z, [(-half, low), (half, low), (half, high), (-half, high)])

    def rod(self, ink: int, x: float, z: float, ends: tuple[Flat, Flat], thick: float) -> None:
        """Paint a rod that faces the camera, in metres."""
        (ax, ay), (bx, by) = ends
        share = 0.5 * thick / math.hypot(bx - ax, by - ay)
        dx, dy = share * (ay - by), share * (bx - ax)
        corners = [(ax + dx, ay + dy), (bx + dx, by + dy), (bx - dx, by - dy), (ax - dx, ay - dy)]
        self.cutout(ink, x, z, corners)

    def ball(self, ink: int, centre: Point, radius: float, upright: float | None = None) -> None:
        """Paint a disk, in metres; an ellipse with the vertical radius `upright`."""
        self._brush.ellipse(self._box(centre, radius, upright or radius), ink)

    def ring(self, ink: int, centre: Point, radius: float, thickness: float) -> None:
        """Paint a ring, in metres."""
        pixels = FOCAL[1] * thickness / centre[2] * self._height
        box = self._box(centre, radius, radius)
        self._brush.ellipse(box, outline=ink, width=max(1, round(pixels)))

    def shadow(self, corners: Iterable[Point]) -> None:
        """Darken a polygon of the ground, in metres."""
        flat = self._on_canvas(map(self.camera.project, corners))
        self._shadow_brush.polygon(flat, round(255 * self.light.shade))

    def developed(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return picture (H, W, 3) and label ids (H, W)."""
        inks = np.asarray(self._painted)
        label = np.array([ink.label for ink in self._inks], dtype=np.uint8)[inks]
        step = self._factor
        picture = self._coloured(inks) * np.array(self.light.tint, dtype=np.float32)
        exposed = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).reduce(step)
        noise = self.draw.standard_normal(exposed.size[::-1], dtype=np.float32)
        grainy = np.asarray(exposed) + np.float32(2.5) * noise[..., None]
        return np.clip(grainy, 0, 255).astype(np.uint8), label[::step, ::step].copy()

    def _coloured(self, inks: NDArray[np.int32]) -> Pixels:
        """Return the colours of all inks (H, W) with texture, haze and shadow."""
        colours = np.array([ink.colour for ink in self._inks], dtype=np.float32)
        textures = np.array([TEXTURES[ink.texture] for ink in self._inks], dtype=np.float32)
        value = self.draw.standard_normal(inks.shape, dtype=np.float32) * textures[:, 0][inks]
        value += self._spots(self._height / 5) * textures[:, 1][inks]
        value += self._spots(self._height / 100) * textures[:, 2][inks]
        picture = colours[inks]
        picture += value[..., None]
        rows = ((np.arange(self._height) + 0.5) / self._height).astype(np.float32)
        horizon = int(self.camera.horizon * self._height)  # row
        self._light_ground(picture[horizon:], inks[horizon:], rows[horizon:])
        self._light_sky(picture[:horizon], inks[:horizon], rows[:horizon])
        return picture

    def _light_ground(
        self, picture: Pixels, inks: NDArray[np.int32], rows: NDArray[np.float32]
    ) -> None:
        """Add shadows and haze to the ground in the rows below the horizon."""
        ground = np.array([ink.ground for ink in self._inks], dtype=np.float32)[inks]
        below = np.maximum(rows - self.camera.horizon, 1e-3)
        veil = ground * (1 - np.exp(-FOCAL[1] * self.camera.y / below / CLEAR))[:, None]
        dark = ground * (255 - np.asarray(self._lit)[-len(rows) :]) / 255
        picture *= ((1 - dark) * (1 - veil))[..., None]
        picture += veil[..., None] * np.array(self.light.haze, dtype=np.float32)

    def _light_sky(
        self, picture: Pixels, inks: NDArray[np.int32], rows: NDArray[np.float32]
    ) -> None:
        """Shade the sky from haze at the horizon to the colour of the zenith."""
        sky = np.array([ink.label == IDS["sky"] for ink in self._inks], dtype=np.float32)[inks]
        change = np.subtract(self.light.zenith, self.light.haze).astype(np.float32)
        up = np.clip(1 - rows / self.camera.horizon, 0, 1) ** np.float32(0.7)
        picture += (sky * up[:, None])[..., None] * change

    def _spots(self, length: float) -> Pixels:
        """Return smooth noise (H, W) with spots of about `length` pixels, standard deviation 1."""
        rows, columns = (max(2, round(side / length)) for side in (self._height, self._width))
        coarse = self.draw.standard_normal((rows, columns), dtype=np.float32)
        size = (self._width, self._height)
        smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        # bicubic interpolation reduces the deviation to 0.72
        spots: Pixels = np.asarray(smooth, dtype=np.float32) / np.float32(0.72)
        return spots

    def _on_canvas(self, corners: Iterable[Flat]) -> list[Flat]:
        """Return points of the picture in pixels of the canvas."""
        return [(across * self._width, down * self._height) for across, down in corners]

    def _box(self, centre: Point, aside: float, up: float) -> list[Flat]:
        """Return the bounding box of an ellipse in pixels of the canvas."""
        across, down = self.camera.project(centre)
        z = max(centre[2], NEAREST)
        dx, dy = FOCAL[0] * aside / z, FOCAL[1] * up / z
        return self._on_canvas([(across - dx, down - dy), (across + dx, down + dy)])
