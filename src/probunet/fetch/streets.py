"""A synthetic street scene with the labels of Cityscapes, as a camera on a windscreen sees it.

It resembles a street closely enough to try every step of the pipeline on: classes are told apart
by colour, texture and place together. Whatever is measured on it says nothing about real streets.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from probunet.fetch.street_canvas import Camera, Canvas, Colour, Light, Point
from probunet.fetch.street_things import (
    GLASS,
    LEAVES,
    paint_bin,
    paint_car,
    paint_cyclist,
    paint_foliage,
    paint_lamp,
    paint_lorry,
    paint_person,
    paint_sign,
    paint_traffic_light,
    paint_tree,
    shaded,
)

LACKING = 0.15  # share of scenes without people; as many without cars, vegetation, sidewalk
PEDESTRIAN = 0.06  # share of pedestrian zones, which have neither road nor cars

FAR = 90.0  # metres to where the street ends
FACADES: tuple[Colour, ...] = (
    (196, 172, 136),
    (206, 190, 166),
    (158, 96, 74),
    (176, 150, 120),
    (186, 128, 92),
    (168, 160, 152),
    (214, 198, 150),
)
SKIES: tuple[tuple[Colour, Colour], ...] = (  # zenith, haze
    ((92, 146, 214), (206, 222, 236)),
    ((190, 198, 206), (226, 230, 232)),
    ((140, 176, 216), (236, 226, 208)),
    ((164, 178, 196), (214, 216, 218)),
)


def draw_street(
    size: tuple[int, int], draw: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene's picture (H, W, 3) and its label ids (H, W) as the publisher numbers them.

    Parameters
    ----------
    size
        Height and width, pixels; whatever they are, the picture holds the same things.
    draw
        Makes every random choice.
    """
    street = _lay_out(draw)
    camera = Camera(draw.uniform(0.4, 0.46), draw.uniform(0.44, 0.56), street.lane)
    canvas = Canvas(size, camera, _light(draw), draw)
    _paint_ground(canvas, draw, street)
    for side in (-1, 1):
        _paint_side(canvas, draw, street, side)
    for _, paint in sorted(_things(canvas, draw, street), key=lambda thing: -thing[0]):
        paint()
    _paint_borders(canvas, draw)
    return canvas.developed()


@dataclass(frozen=True)
class _Street:
    """A plan of the street, in metres from its middle."""

    road: bool
    sidewalk: bool
    people: bool
    cars: bool
    green: bool
    kerb: float  # where the road ends, on both sides
    lawn: float  # width of the grass beside the road
    houses: float
    lane: float  # where we drive
    leaves: Colour


def _lay_out(draw: np.random.Generator) -> _Street:
    """Return the plan of a street."""
    no_people, no_cars, no_green, no_sidewalk = (draw.random(4) < LACKING).tolist()
    pedestrian = draw.random() < PEDESTRIAN
    sidewalk = pedestrian or not no_sidewalk
    kerb, width = draw.uniform(3.2, 4.2), draw.uniform(3.4, 5.4)
    verge = float(draw.choice([0.0, 0.0, 1.4]))
    return _Street(
        road=not pedestrian,
        sidewalk=sidewalk,
        people=not no_people,
        cars=not (pedestrian or no_cars),
        green=not no_green,
        kerb=kerb,
        lawn=0.0 if pedestrian else verge if sidewalk else width,
        houses=kerb + width + (verge if sidewalk else 0),
        lane=draw.uniform(0.2, 1.4),
        leaves=LEAVES[draw.integers(len(LEAVES))],
    )


def _light(draw: np.random.Generator) -> Light:
    """Return the hour and the weather."""
    zenith, haze = SKIES[draw.integers(len(SKIES))]
    gain, warm = draw.uniform(0.82, 1.12), draw.uniform(-0.05, 0.05)
    return Light(
        sun=int(draw.choice([-1, 1])),
        shade=draw.uniform(0.5, 0.75),
        tint=(gain * (1 + warm), gain, gain * (1 - warm)),
        zenith=zenith,
        haze=haze,
    )


def _paint_ground(canvas: Canvas, draw: np.random.Generator, street: _Street) -> None:
    """Paint the sky, and the ground from the houses to the middle of the road."""
    sky = canvas.ink("sky", canvas.light.haze, texture="cloud")
    canvas.fill(sky, [(0, 0), (1, 0), (1, 1), (0, 1)])
    grey, sand = draw.uniform(78, 104), draw.uniform(150, 178)
    slab, joint = ((sand + 14, sand - 4, sand - 14), (sand - 16, sand - 32, sand - 40))
    grass = canvas.ink("terrain", (112, 126, 62), texture="grass", ground=True)
    paving = canvas.ink("sidewalk", slab, texture="paving", ground=True)
    asphalt = canvas.ink("road", (grey, grey, grey + 5), texture="asphalt", ground=True)
    canvas.face(paving if street.sidewalk and not street.green else grass, _strip(-60, 60))
    if street.sidewalk:
        foot = street.houses + 0.5  # not all houses stand in line
        canvas.face(paving, _strip(-foot, foot))
        _paint_joints(canvas, street, joint)
    for side in (-1, 1):
        if street.lawn:
            canvas.face(grass, _strip(side * street.kerb, side * (street.kerb + street.lawn)))
    if street.road:
        name = "sidewalk" if street.sidewalk else "road"
        stone = canvas.ink(name, (186, 184, 178), texture="paving", ground=True)
        canvas.face(stone, _strip(-street.kerb - 0.16, street.kerb + 0.16))
        canvas.face(asphalt, _strip(-street.kerb, street.kerb))
        _paint_markings(canvas, draw, street, grey)
    shadow = draw.uniform(0.2, 1.1) * street.houses
    edge = canvas.light.sun * street.houses
    canvas.shadow(_strip(edge, edge - canvas.light.sun * shadow))


def _paint_joints(canvas: Canvas, street: _Street, colour: Colour) -> None:
    """Paint the joints of the sidewalk's slabs."""
    joint = canvas.ink("sidewalk", colour, texture="paving", ground=True)
    inner = street.kerb + street.lawn if street.road else 0.0
    for side in (-1, 1):
        for z in np.arange(4, 32, 1.3).tolist():
            canvas.face(joint, _strip(side * inner, side * street.houses, z, z + 0.07))
        for x in np.arange(inner + 0.9, street.houses, 0.9).tolist():
            canvas.face(joint, _strip(side * x, side * (x + 0.06), far=40))


def _paint_markings(
    canvas: Canvas, draw: np.random.Generator, street: _Street, grey: float
) -> None:
    """Paint lines, patches and the gutters of the road."""
    white = canvas.ink("road", (214, 214, 208), texture="asphalt", ground=True)
    patch = canvas.ink("road", (grey - 16, grey - 15, grey - 12), texture="asphalt", ground=True)
    for _ in range(draw.integers(2, 6)):
        x, z = draw.uniform(-street.kerb, street.kerb - 1.2), draw.uniform(3, 25)
        canvas.face(patch, _strip(x, x + draw.uniform(0.5, 1.2), z, z + draw.uniform(1, 6)))
    for side in (-1, 1):
        canvas.face(patch, _strip(side * (street.kerb - 0.35), side * street.kerb))
    if draw.random() < 0.75:
        for z in np.arange(draw.uniform(1, 5), FAR, 8).tolist():
            canvas.face(white, _strip(-0.07, 0.07, z, z + 4))
    if draw.random() < 0.3:
        at = draw.uniform(9, 16)
        for x in np.arange(-street.kerb + 0.4, street.kerb - 0.5, 0.95).tolist():
            canvas.face(white, _strip(x, x + 0.5, at, at + 3))


def _paint_side(canvas: Canvas, draw: np.random.Generator, street: _Street, side: int) -> None:
    """Paint one side of the street from its far end: houses, and gaps between them."""
    tone = 1.06 if side == -canvas.light.sun else 0.78  # the sun's side lies in its own shade
    lengths = draw.uniform(8, 17, 9)
    ends = np.minimum(np.cumsum(lengths), FAR)
    _paint_end_of_street(canvas, draw, street, side)
    for near, far in reversed(list(zip([-6.0, *ends[:-1]], ends, strict=True))):
        if draw.random() < 0.2 and far - near > 3:
            _paint_gap(canvas, draw, street, side * street.houses, (near, far))
        elif far > near:
            x = side * (street.houses + draw.uniform(0, 0.4))
            _paint_house(canvas, draw, (x, near, far), tone)


def _paint_end_of_street(
    canvas: Canvas, draw: np.random.Generator, street: _Street, side: int
) -> None:
    """Paint what closes the view."""
    for x in np.arange(0, 40, 9.0).tolist():
        colour = FACADES[draw.integers(len(FACADES))]
        ink = canvas.ink("building", colour, FAR, "plaster")
        top = draw.uniform(6, 15)
        canvas.cutout(ink, side * x, FAR, [(-5, 0), (5, 0), (5, top), (-5, top)])
        if street.green and draw.random() < 0.6:
            centre = (side * (x + draw.uniform(-3, 3)), 2.5, FAR - 2)
            paint_foliage(canvas, draw, centre, (4.0, 3.2), street.leaves)


def _paint_house(canvas: Canvas, draw: np.random.Generator, at: Point, tone: float) -> None:
    """Paint a house along the street: gable, facade, windows, cornice; `at` is x, near and far."""
    x, near, far = at
    middle = max((near + far) / 2, 4)
    storeys = int(draw.integers(2, 6))
    height, colour = 3.1 * storeys + 1.0, FACADES[draw.integers(len(FACADES))]
    deep = x + math.copysign(12, x)
    gable = canvas.ink("building", shaded(colour, 0.86), middle, "plaster")
    roof = [(deep, height, near), ((x + deep) / 2, height + 3.5, near), (x, height, near)]
    canvas.face(gable, [(x, 0, near), (deep, 0, near), *roof])
    wall = canvas.ink("building", shaded(colour, tone), middle, "plaster")
    canvas.face(wall, _along(x, near, far, 0, height))
    edge = canvas.ink("building", shaded(colour, 0.7 * tone), middle, "plaster")
    canvas.face(edge, _along(x, near, far, height - 0.4, height))
    canvas.face(edge, _along(x, near, far, 0, 0.5))
    glass = canvas.ink("building", shaded(GLASS, draw.uniform(1.1, 1.9)), middle, "glass")
    frame = canvas.ink("building", shaded(colour, 1.3 * tone), middle)
    columns = max(2, round((far - near) / 2.8))
    starts = near + (far - near) * (np.arange(columns) + 0.28) / columns
    width = 0.46 * (far - near) / columns
    for z in starts[starts > 1].tolist():
        for storey in range(storeys):
            low = 0.9 + 3.1 * storey
            if storey and middle < 45:
                canvas.face(frame, _along(x, z - 0.12, z + width + 0.12, low - 0.12, low + 1.9))
            canvas.face(glass, _along(x, z, z + width, low, low + (1.75 if storey else 1.5)))


def _paint_gap(
    canvas: Canvas,
    draw: np.random.Generator,
    street: _Street,
    x: float,
    reach: tuple[float, float],
) -> None:
    """Paint a wall or a fence between two houses, and the trees behind it."""
    near, far = max(reach[0], 1.5), reach[1]
    if far <= near:
        return
    if street.green:
        for z in np.arange(far, near, -4.0).tolist():
            centre = (x + math.copysign(3.5, x), draw.uniform(3, 5), max(z, 3.0))
            paint_foliage(canvas, draw, centre, (2.6, 3.4), street.leaves)
    height, middle = draw.uniform(1.2, 2.0), (near + far) / 2
    if draw.random() < 0.5:
        brick = canvas.ink("wall", (150, 116, 104), middle, "paving")
        canvas.face(brick, _along(x, near, far, 0, height))
        canvas.face(
            canvas.ink("wall", (176, 166, 156), middle), _along(x, near, far, height, height + 0.12)
        )
    else:
        boards = [canvas.ink("fence", shaded((128, 98, 66), tone), middle) for tone in (1, 0.82)]
        for i, z in enumerate(np.arange(near, far, 0.5).tolist()):
            canvas.face(boards[i % 2], _along(x, z, min(z + 0.5, far), 0, height))


_Thing = tuple[float, Callable[[], None]]


def _things(canvas: Canvas, draw: np.random.Generator, street: _Street) -> list[_Thing]:
    """Return all that stands and moves in the street, each with its distance."""
    things = [*_furniture(canvas, draw, street), *_cyclists(canvas, draw, street)]
    if street.cars:
        things += _vehicles(canvas, draw, street)
    if street.people:
        things += _people(canvas, draw, street)
    return things


def _furniture(canvas: Canvas, draw: np.random.Generator, street: _Street) -> list[_Thing]:
    """Return trees, lamps, signs, traffic lights and bins along the kerbs."""
    things: list[_Thing] = []
    for side in (-1, 1):
        row = side * (street.kerb + 0.7)
        planted = street.green and (side == 1 or draw.random() < 0.6)
        for z in np.arange(draw.uniform(9, 14), 60, draw.uniform(9, 13)).tolist():
            if planted:
                x = side * (street.houses - 1.0) if draw.random() < 0.4 else row
                things.append((z, partial(paint_tree, canvas, draw, x, z, street.leaves)))
        for z in np.arange(draw.uniform(7, 18), 70, 21).tolist():
            things.append((z, partial(paint_lamp, canvas, draw, row, z)))
        for paint, chance in ((paint_sign, 0.8), (paint_traffic_light, 0.4), (paint_bin, 0.3)):
            if draw.random() < chance:
                z = draw.uniform(8, 20)
                things.append((z, partial(paint, canvas, draw, row - 0.2 * side, z)))
    return things


def _cyclists(canvas: Canvas, draw: np.random.Generator, street: _Street) -> list[_Thing]:
    """Return bicycles, left standing or ridden."""
    things: list[_Thing] = []
    for _ in range(int(draw.choice([0, 0, 1, 2]))):
        z, ridden = draw.uniform(8, 18), bool(draw.random() < 0.6)
        x = draw.uniform(-3, 3) if ridden else float(draw.choice([-1, 1])) * (street.kerb + 0.5)
        things.append((z, partial(paint_cyclist, canvas, draw, x, z, ridden)))
    return things


def _vehicles(canvas: Canvas, draw: np.random.Generator, street: _Street) -> list[_Thing]:
    """Return parked and driving cars, one at least within sight, and now and then a lorry."""
    things: list[_Thing] = []
    for side in (-1, 1):
        x, z = side * (street.kerb - 0.6), draw.uniform(7, 10)
        while z < 60:
            if draw.random() < 0.5:
                things.append((z, partial(paint_car, canvas, draw, x, z, side == 1)))
            z += draw.uniform(5.4, 6.5)
    leading, oncoming = draw.uniform(9, 24), draw.uniform(14, 45)
    if draw.random() < 0.25:
        name = ("bus", "truck")[draw.integers(2)]
        things.append((leading + 8, partial(paint_lorry, canvas, draw, 1.2, leading + 8, name)))
    else:
        things.append((leading, partial(paint_car, canvas, draw, 0.9, leading, True)))
    things.append((oncoming, partial(paint_car, canvas, draw, -1.4, oncoming, False)))
    return things


def _people(canvas: Canvas, draw: np.random.Generator, street: _Street) -> list[_Thing]:
    """Return people on both sides, the first of them near, and now and then one who crosses."""
    things: list[_Thing] = []
    inner = street.kerb + 0.3 if street.road else 1.5
    for side in (-1, 1):
        distances = [draw.uniform(7.5, 11), *draw.uniform(9, 32, draw.integers(2, 6)).tolist()]
        for z in distances:
            in_sight = street.lane * side + 0.55 * z
            x = side * draw.uniform(inner, max(inner, min(street.houses - 0.5, in_sight)))
            things.append((z, partial(paint_person, canvas, draw, x, z)))
    if draw.random() < 0.4:
        x, z = draw.uniform(-2.5, 3), draw.uniform(6, 11)
        things.append((z, partial(paint_person, canvas, draw, x, z)))
    return things


def _paint_borders(canvas: Canvas, draw: np.random.Generator) -> None:
    """Paint what has no part in the scores: our own bonnet, and the rim that rectification left."""
    if draw.random() < 0.7:
        top, middle = 1 - draw.uniform(0.05, 0.09), draw.uniform(0.45, 0.55)
        across = np.linspace(-0.05, 1.05, 24)
        arch = np.column_stack([across, top + 0.09 * np.abs(across - middle) ** 2 / 0.25])
        paint = shaded((52, 56, 62), draw.uniform(0.6, 1.5))
        canvas.fill(
            canvas.ink("ego vehicle", paint, texture="glass"), [*arch, (1.05, 1), (-0.05, 1)]
        )
    black = canvas.ink("rectification border", (8, 8, 8))
    wide = draw.uniform(0.008, 0.016)
    for outer, inner in ((0.0, wide), (1.0, 1 - wide)):
        canvas.fill(black, [(outer, 0), (inner, 0), ((2 * inner + outer) / 3, 1), (outer, 1)])


def _strip(left: float, right: float, near: float = 0.6, far: float = FAR) -> list[Point]:
    """Return a rectangle on the ground."""
    return [(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)]


def _along(x: float, near: float, far: float, low: float, high: float) -> list[Point]:
    """Return an upright rectangle along the street."""
    return [(x, low, near), (x, low, far), (x, high, far), (x, high, near)]
