"""What a street is drawn on: a camera, inks that know their class, and the light over it all."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from probunet.cityscapes import CLASSES, TRAIN_IDS

Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Flat = tuple[float, float]  # across and down in shares of the picture, or aside and up in metres
Point = tuple[float, float, float]  # metres to the right, up, and ahead
Pixels = NDArray[np.float32]  # (H, W) or (H, W, 3)

# the publisher's label ids by name; the last three have no part in training and scores
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
NEAREST = 0.6  # metres; what lies nearer is drawn there
CLEAR = 170.0  # metres after which haze has taken 63 % of a colour
SMALL = 512  # rows; pictures with fewer are drawn at twice the size, and made smooth by halving


@dataclass(frozen=True)
class Camera:
    """A pinhole in the street."""

    horizon: float  # share of the picture's height
    vanishing: float  # share of its width
    x: float  # metres from the middle of the road
    y: float = 1.4

    def project(self, point: Point) -> Flat:
        """Return where a point lies in the picture."""
        x, y, z = point
        z = max(z, NEAREST)
        return (
            self.vanishing + FOCAL[0] * (x - self.x) / z,
            self.horizon + FOCAL[1] * (self.y - y) / z,
        )


@dataclass(frozen=True)
class Light:
    """The hour and the weather."""

    sun: int  # the side it shines from, -1 or 1
    shade: float  # what shadows leave of the light
    tint: Colour  # multiplies red, green and blue
    zenith: Colour
    haze: Colour


@dataclass(frozen=True)
class _Ink:
    label: int
    colour: Colour
    texture: str
    ground: bool  # takes shadows, and haze by its row


class Canvas:
    """A picture and its labels in the making, painted from far to near.

    Parameters
    ----------
    size
        Height and width of the picture, pixels.
    camera, light
        How the scene is seen.
    draw
        Draws textures and noise.
    """

    def __init__(
        self, size: tuple[int, int], camera: Camera, light: Light, draw: np.random.Generator
    ) -> None:
        self.camera = camera
        self.light = light
        self._draw = draw
        self._finer = 2 if size[0] < SMALL else 1
        self._height, self._width = (self._finer * side for side in size)
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
        """Return the ink of a class; `z` metres of haze lie over it."""
        clear = float(np.exp(-z / CLEAR))
        red, green, blue = (
            round(clear * of + (1 - clear) * haze, 1)
            for of, haze in zip(colour, self.light.haze, strict=True)
        )
        ink = _Ink(IDS[name], (red, green, blue), texture, ground)
        return self._inks.setdefault(ink, len(self._inks))

    def fill(self, ink: int, corners: Iterable[Flat]) -> None:
        """Paint a polygon, in shares of the picture."""
        self._brush.polygon(self._on_canvas(corners), ink)

    def face(self, ink: int, corners: Iterable[Point]) -> None:
        """Paint a polygon, in metres."""
        self.fill(ink, map(self.camera.project, corners))

    def cutout(self, ink: int, x: float, z: float, shape: Iterable[Flat]) -> None:
        """Paint a polygon, in metres aside of x and above the ground, turned to us."""
        self.face(ink, [(x + aside, up, z) for aside, up in shape])

    def ball(self, ink: int, centre: Point, radius: float, upright: float | None = None) -> None:
        """Paint a disk, in metres; it is an ellipse if its `upright` radius is another."""
        self._brush.ellipse(self._box(centre, radius, upright or radius), ink)

    def ring(self, ink: int, centre: Point, radius: float, thickness: float) -> None:
        """Paint a ring, in metres."""
        pixels = FOCAL[1] * thickness / centre[2] * self._height
        box = self._box(centre, radius, radius)
        self._brush.ellipse(box, outline=ink, width=max(1, round(pixels)))

    def shadow(self, corners: Iterable[Point]) -> None:
        """Take light from a polygon of the ground, in metres."""
        flat = self._on_canvas(map(self.camera.project, corners))
        self._shadow_brush.polygon(flat, round(255 * self.light.shade))

    def developed(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return picture (H, W, 3) and label ids (H, W)."""
        inks = np.asarray(self._painted)
        label = np.array([ink.label for ink in self._inks], dtype=np.uint8)[inks]
        step = self._finer
        picture = self._coloured(inks) * np.array(self.light.tint, dtype=np.float32)
        exposed = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).reduce(step)
        noise = self._draw.standard_normal(exposed.size[::-1], dtype=np.float32)
        grainy = np.asarray(exposed) + np.float32(2.5) * noise[..., None]
        return np.clip(grainy, 0, 255).astype(np.uint8), label[::step, ::step].copy()

    def _coloured(self, inks: NDArray[np.int32]) -> Pixels:
        """Return each pixel in its ink's colour, with texture, haze and shadow."""
        colours = np.array([ink.colour for ink in self._inks], dtype=np.float32)
        textures = np.array([TEXTURES[ink.texture] for ink in self._inks], dtype=np.float32)
        value = self._draw.standard_normal(inks.shape, dtype=np.float32) * textures[:, 0][inks]
        value += self._spots(self._height / 5) * textures[:, 1][inks]
        value += self._spots(self._height / 100) * textures[:, 2][inks]
        picture = colours[inks]
        picture += value[..., None]
        rows = ((np.arange(self._height) + 0.5) / self._height).astype(np.float32)
        self._light_ground(picture, inks, rows)
        self._light_sky(picture, inks, rows)
        return picture

    def _light_ground(
        self, picture: Pixels, inks: NDArray[np.int32], rows: NDArray[np.float32]
    ) -> None:
        """Lay shadows over the ground, and haze, row by row."""
        is_ground = np.array([ink.ground for ink in self._inks], dtype=np.float32)
        first = int(self.camera.horizon * self._height)  # row
        ground = is_ground[inks[first:]]
        below = np.maximum(rows[first:] - self.camera.horizon, 1e-3)
        veil = ground * (1 - np.exp(-FOCAL[1] * self.camera.y / below / CLEAR))[:, None]
        dark = ground * (255 - np.asarray(self._lit)[first:]) / 255
        haze = np.array(self.light.haze, dtype=np.float32)
        picture[first:] *= ((1 - dark) * (1 - veil))[..., None]
        picture[first:] += veil[..., None] * haze

    def _light_sky(
        self, picture: Pixels, inks: NDArray[np.int32], rows: NDArray[np.float32]
    ) -> None:
        """Let the sky go from haze at the horizon to the zenith's colour."""
        is_sky = np.array([ink.label == IDS["sky"] for ink in self._inks], dtype=np.float32)
        last = int(self.camera.horizon * self._height)  # row
        change = np.subtract(self.light.zenith, self.light.haze).astype(np.float32)
        up = np.clip(1 - rows[:last] / self.camera.horizon, 0, 1) ** np.float32(0.7)
        picture[:last] += (is_sky[inks[:last]] * up[:, None])[..., None] * change

    def _spots(self, length: float) -> Pixels:
        """Return smooth noise (H, W) with spots of about `length` pixels, standard deviation 1."""
        rows, columns = (max(2, round(side / length)) for side in (self._height, self._width))
        coarse = self._draw.standard_normal((rows, columns), dtype=np.float32)
        size = (self._width, self._height)
        smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        # 0.72 is what bicubic interpolation leaves of the deviation
        spots: Pixels = np.asarray(smooth, dtype=np.float32) / np.float32(0.72)
        return spots

    def _on_canvas(self, corners: Iterable[Flat]) -> list[Flat]:
        """Return points of the picture in the canvas's pixels."""
        return [(across * self._width, down * self._height) for across, down in corners]

    def _box(self, centre: Point, aside: float, up: float) -> list[Flat]:
        """Return the corners of the box around an ellipse, in the canvas's pixels."""
        across, down = self.camera.project(centre)
        z = max(centre[2], NEAREST)
        dx, dy = FOCAL[0] * aside / z, FOCAL[1] * up / z
        return self._on_canvas([(across - dx, down - dy), (across + dx, down + dy)])
