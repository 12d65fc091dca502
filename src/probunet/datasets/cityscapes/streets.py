"""Draw a synthetic street scene with the labels of Cityscapes, seen from a car.

Classes differ by colour, texture and place together, so that every step of the pipeline can be
tried. Results measured on these scenes say nothing about real streets.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.cityscapes.street_canvas import Camera, Canvas, Colour, Light, Point, colours
from probunet.datasets.cityscapes.street_things import (
    GLASS,
    LEAVES,
    choose,
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

LACKING = 0.15  # share of scenes without people; the same for cars, vegetation, sidewalk
PEDESTRIAN = 0.06  # share of pedestrian zones, which have neither road nor cars

FAR = 90.0  # metres to the end of the street
FACADES = colours("c4ac88 cebea6 9e604a b09678 ba805c a8a098 d6c696")
ZENITHS = colours("5c92d6 bec6ce 8cb0d8 a4b2c4")
HAZES = colours("cedeec e2e6e8 ece2d0 d6d8da")


def draw_street(
    size: tuple[int, int], draw: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene's picture (H, W, 3) and its label ids (H, W) in the publisher's numbering.

    `size` is height and width in pixels, on which the content of the scene does not depend; `draw`
    is the source of every random choice.
    """
    street = _plan(draw)
    camera = Camera(draw.uniform(0.4, 0.46), draw.uniform(0.44, 0.56), street.lane)
    canvas = Canvas(size, camera, _light(draw), draw)
    _paint_ground(canvas, street)
    for side in (-1, 1):
        _paint_side(canvas, street, side)
    for paint, x, z, *options in sorted(_things(canvas.draw, street), key=lambda thing: -thing[2]):
        paint(canvas, x, z, *options)
    _paint_borders(canvas)
    return canvas.developed()


@dataclass(frozen=True)
class _Street:
    """The plan of a street, in metres from its middle."""

    road: bool
    sidewalk: bool
    people: bool
    cars: bool
    green: bool
    kerb: float  # end of the road, on both sides
    lawn: float  # width of the grass beside the road
    houses: float
    lane: float  # the camera's place
    leaves: Colour


def _plan(draw: np.random.Generator) -> _Street:
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
    sky = draw.integers(len(ZENITHS))
    gain, warm = draw.uniform(0.82, 1.12), draw.uniform(-0.05, 0.05)
    sun, shade = int(draw.choice([-1, 1])), draw.uniform(0.5, 0.75)
    return Light(sun, shade, (gain * (1 + warm), gain, gain * (1 - warm)), ZENITHS[sky], HAZES[sky])


def _paint_ground(canvas: Canvas, street: _Street) -> None:
    """Paint the sky, and the ground from the houses to the middle of the road."""
    draw, kerb = canvas.draw, street.kerb
    sky = canvas.ink("sky", canvas.light.haze, texture="cloud")
    canvas.fill(sky, [(0, 0), (1, 0), (1, 1), (0, 1)])
    grey, sand = draw.uniform(78, 104), draw.uniform(150, 178)
    slab, joint = ((sand + 14, sand - 4, sand - 14), (sand - 16, sand - 32, sand - 40))
    grass = canvas.ink("terrain", (112, 126, 62), texture="grass", ground=True)
    paving = canvas.ink("sidewalk", slab, texture="paving", ground=True)
    asphalt = canvas.ink("road", (grey, grey, grey + 5), texture="asphalt", ground=True)
    canvas.face(paving if street.sidewalk and not street.green else grass, _strip(-60, 60))
    if street.sidewalk:
        foot = street.houses + 0.5  # covers the gaps to houses that stand back
        canvas.face(paving, _strip(-foot, foot))
        _paint_joints(canvas, street, joint)
    for side in (-1, 1):
        if street.lawn:
            canvas.face(grass, _strip(side * kerb, side * (kerb + street.lawn)))
    if street.road:
        name = "sidewalk" if street.sidewalk else "road"
        stone = canvas.ink(name, (186, 184, 178), texture="paving", ground=True)
        canvas.face(stone, _strip(-kerb - 0.16, kerb + 0.16))
        canvas.face(asphalt, _strip(-kerb, kerb))
        _paint_markings(canvas, kerb, grey)
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


def _paint_markings(canvas: Canvas, kerb: float, grey: float) -> None:
    """Paint lines, patches and gutters of the road."""
    draw = canvas.draw
    white = canvas.ink("road", (214, 214, 208), texture="asphalt", ground=True)
    patch = canvas.ink("road", (grey - 16, grey - 15, grey - 12), texture="asphalt", ground=True)
    for _ in range(draw.integers(2, 6)):
        x, z = draw.uniform(-kerb, kerb - 1.2), draw.uniform(3, 25)
        canvas.face(patch, _strip(x, x + draw.uniform(0.5, 1.2), z, z + draw.uniform(1, 6)))
    for side in (-1, 1):
        canvas.face(patch, _strip(side * (kerb - 0.35), side * kerb))
    if draw.random() < 0.75:
        for z in np.arange(draw.uniform(1, 5), FAR, 8).tolist():
            canvas.face(white, _strip(-0.07, 0.07, z, z + 4))
    if draw.random() < 0.3:
        at = draw.uniform(9, 16)
        for x in np.arange(-kerb + 0.4, kerb - 0.5, 0.95).tolist():
            canvas.face(white, _strip(x, x + 0.5, at, at + 3))


def _paint_side(canvas: Canvas, street: _Street, side: int) -> None:
    """Paint one side of the street from its far end: houses, and gaps between them."""
    draw = canvas.draw
    tone = 1.06 if side == -canvas.light.sun else 0.78  # houses on the sun's side are in shade
    ends = np.minimum(np.cumsum(draw.uniform(8, 17, 9)), FAR)
    for x in np.arange(0, 40, 9.0).tolist():  # the end of the street
        ink = canvas.ink("building", choose(canvas, FACADES), FAR, "plaster")
        canvas.bar(ink, side * x, FAR, 5, 0, draw.uniform(6, 15))
        if street.green and draw.random() < 0.6:
            centre = (side * (x + draw.uniform(-3, 3)), 2.5, FAR - 2)
            paint_foliage(canvas, centre, (4.0, 3.2), street.leaves)
    for near, far in reversed(list(zip([-6.0, *ends[:-1]], ends, strict=True))):
        if draw.random() < 0.2 and far - near > 3:
            _paint_gap(canvas, street, side * street.houses, max(near, 1.5), far)
        elif far > near:
            _paint_house(canvas, side * (street.houses + draw.uniform(0, 0.4)), near, far, tone)


def _paint_house(canvas: Canvas, x: float, near: float, far: float, tone: float) -> None:
    """Paint a house along the street: gable, facade, windows, cornice."""
    middle = max((near + far) / 2, 4)
    storeys = int(canvas.draw.integers(2, 6))
    height, colour = 3.1 * storeys + 1.0, choose(canvas, FACADES)
    deep = x + math.copysign(12, x)

    def ink(colour: Colour, texture: str = "plaster") -> int:
        return canvas.ink("building", colour, middle, texture)

    roof = [(deep, height, near), ((x + deep) / 2, height + 3.5, near), (x, height, near)]
    canvas.face(ink(shaded(colour, 0.86)), [(x, 0, near), (deep, 0, near), *roof])
    canvas.wall(ink(shaded(colour, tone)), x, near, far, 0, height)
    edge = ink(shaded(colour, 0.7 * tone))
    canvas.wall(edge, x, near, far, height - 0.4, height)
    canvas.wall(edge, x, near, far, 0, 0.5)
    glass = ink(shaded(GLASS, canvas.draw.uniform(1.1, 1.9)), "glass")
    frame = ink(shaded(colour, 1.3 * tone), "plain")
    columns = max(2, round((far - near) / 2.8))
    starts = near + (far - near) * (np.arange(columns) + 0.28) / columns
    width = 0.46 * (far - near) / columns
    for z in starts[starts > 1].tolist():
        for storey in range(storeys):
            low = 0.9 + 3.1 * storey
            if storey and middle < 45:
                canvas.wall(frame, x, z - 0.12, z + width + 0.12, low - 0.12, low + 1.9)
            canvas.wall(glass, x, z, z + width, low, low + (1.75 if storey else 1.5))


def _paint_gap(canvas: Canvas, street: _Street, x: float, near: float, far: float) -> None:
    """Paint a wall or a fence between two houses, and the trees behind it."""
    if far <= near:
        return
    draw = canvas.draw
    if street.green:
        for z in np.arange(far, near, -4.0).tolist():
            centre = (x + math.copysign(3.5, x), draw.uniform(3, 5), max(z, 3.0))
            paint_foliage(canvas, centre, (2.6, 3.4), street.leaves)
    height, middle = draw.uniform(1.2, 2.0), (near + far) / 2
    if draw.random() < 0.5:
        brick = canvas.ink("wall", (150, 116, 104), middle, "paving")
        canvas.wall(brick, x, near, far, 0, height)
        top = canvas.ink("wall", (176, 166, 156), middle)
        canvas.wall(top, x, near, far, height, height + 0.12)
    else:
        boards = [canvas.ink("fence", shaded((128, 98, 66), tone), middle) for tone in (1, 0.82)]
        for i, z in enumerate(np.arange(near, far, 0.5).tolist()):
            canvas.wall(boards[i % 2], x, z, min(z + 0.5, far), 0, height)


# a function that paints, x, z, and the function's further arguments
_Thing = tuple[Callable[..., None], float, float, *tuple[Any, ...]]


def _things(draw: np.random.Generator, street: _Street) -> Iterator[_Thing]:
    """Yield everything that stands or moves in the street."""
    yield from _furniture(draw, street)
    for _ in range(int(draw.choice([0, 0, 1, 2]))):
        z, ridden = draw.uniform(8, 18), bool(draw.random() < 0.6)
        x = draw.uniform(-3, 3) if ridden else float(draw.choice([-1, 1])) * (street.kerb + 0.5)
        yield paint_cyclist, x, z, ridden
    if street.cars:
        yield from _vehicles(draw, street)
    if street.people:
        yield from _people(draw, street)


def _furniture(draw: np.random.Generator, street: _Street) -> Iterator[_Thing]:
    """Yield trees, lamps, signs, traffic lights and bins along the kerbs."""
    for side in (-1, 1):
        row = side * (street.kerb + 0.7)
        planted = street.green and (side == 1 or draw.random() < 0.6)
        for z in np.arange(draw.uniform(9, 14), 60, draw.uniform(9, 13)).tolist():
            if planted:
                x = side * (street.houses - 1.0) if draw.random() < 0.4 else row
                yield paint_tree, x, z, street.leaves
        for z in np.arange(draw.uniform(7, 18), 70, 21).tolist():
            yield paint_lamp, row, z
        for paint, chance in ((paint_sign, 0.8), (paint_traffic_light, 0.4), (paint_bin, 0.3)):
            if draw.random() < chance:
                yield paint, row - 0.2 * side, draw.uniform(8, 20)


def _vehicles(draw: np.random.Generator, street: _Street) -> Iterator[_Thing]:
    """Yield parked cars, an oncoming one, and in front of the camera a car or a lorry."""
    for side in (-1, 1):
        x, z = side * (street.kerb - 0.6), draw.uniform(7, 10)
        while z < 60:
            if draw.random() < 0.5:
                yield paint_car, x, z, side == 1
            z += draw.uniform(5.4, 6.5)
    leading, oncoming = draw.uniform(9, 24), draw.uniform(14, 45)
    if draw.random() < 0.25:
        yield paint_lorry, 1.2, leading + 8, ("bus", "truck")[draw.integers(2)]
    else:
        yield paint_car, 0.9, leading, True
    yield paint_car, -1.4, oncoming, False


def _people(draw: np.random.Generator, street: _Street) -> Iterator[_Thing]:
    """Yield people on both sides, one of them near, and sometimes one who crosses."""
    inner = street.kerb + 0.3 if street.road else 1.5
    for side in (-1, 1):
        distances = [draw.uniform(7.5, 11), *draw.uniform(9, 32, draw.integers(2, 6)).tolist()]
        for z in distances:
            in_sight = street.lane * side + 0.55 * z
            outer = max(inner, min(street.houses - 0.5, in_sight))
            yield paint_person, side * draw.uniform(inner, outer), z
    if draw.random() < 0.4:
        yield paint_person, draw.uniform(-2.5, 3), draw.uniform(6, 11)


def _paint_borders(canvas: Canvas) -> None:
    """Paint what is not scored: the car's own bonnet, and the rim left by rectification."""
    draw = canvas.draw
    if draw.random() < 0.7:
        top, middle = 1 - draw.uniform(0.05, 0.09), draw.uniform(0.45, 0.55)
        across = np.linspace(-0.05, 1.05, 24)
        arch = np.column_stack([across, top + 0.09 * np.abs(across - middle) ** 2 / 0.25])
        paint = shaded((52, 56, 62), draw.uniform(0.6, 1.5))
        bonnet = canvas.ink("ego vehicle", paint, texture="glass")
        canvas.fill(bonnet, [*arch, (1.05, 1), (-0.05, 1)])
    black = canvas.ink("rectification border", (8, 8, 8))
    wide = draw.uniform(0.008, 0.016)
    for outer, inner in ((0.0, wide), (1.0, 1 - wide)):
        canvas.fill(black, [(outer, 0), (inner, 0), ((2 * inner + outer) / 3, 1), (outer, 1)])


def _strip(left: float, right: float, near: float = 0.6, far: float = FAR) -> list[Point]:
    """Return a rectangle on the ground."""
    return [(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)]
