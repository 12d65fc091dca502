"""What stands and moves in a drawn street: trees, posts, cars, people, bicycles."""

import math

import numpy as np

from probunet.fetch.street_canvas import Canvas, Colour, Flat, Point

PAINTS: tuple[Colour, ...] = (  # of cars
    (196, 200, 206),
    (228, 230, 232),
    (44, 48, 56),
    (40, 70, 130),
    (96, 104, 116),
    (140, 30, 34),
    (70, 120, 160),
)
CLOTHES: tuple[Colour, ...] = (
    (214, 44, 32),
    (240, 140, 20),
    (230, 70, 130),
    (246, 210, 60),
    (160, 40, 140),
    (250, 90, 50),
    (240, 120, 160),
)
SKINS: tuple[Colour, ...] = ((232, 190, 160), (198, 146, 110), (128, 84, 60))
LEAVES: tuple[Colour, ...] = ((62, 104, 40), (84, 116, 44), (48, 92, 52), (104, 112, 42))
GLASS: Colour = (38, 48, 58)
RUBBER: Colour = (22, 22, 24)
STEEL: Colour = (112, 116, 118)

_ROUND = [(math.cos(turn), math.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 15)[:-1].tolist()]


def paint_tree(
    canvas: Canvas, draw: np.random.Generator, x: float, z: float, leaves: Colour
) -> None:
    """Paint a trunk and a crown of leafy clumps, lit from the sun's side."""
    height, radius = draw.uniform(5.5, 9), draw.uniform(1.7, 2.6)
    _shade_under(canvas, x, z, radius, 1.5)
    trunk = canvas.ink("vegetation", (74, 62, 48), z)
    canvas.cutout(trunk, x, z, [(-0.16, 0), (0.16, 0), (0.09, height), (-0.09, height)])
    paint_foliage(canvas, draw, (x, height - 0.8 * radius, z), (radius, 1.1 * radius), leaves)


def paint_foliage(
    canvas: Canvas, draw: np.random.Generator, centre: Point, radii: Flat, leaves: Colour
) -> None:
    """Paint clumps of leaves around a point, dark ones first; all in metres."""
    x, y, z = centre
    clumps = 16 if z < 40 else 8
    for tone, share, shift in ((0.62, 1.0, 0.0), (0.9, 0.85, 0.12), (1.2, 0.62, 0.3)):
        ink = canvas.ink("vegetation", shaded(leaves, tone), z, "leaves")
        angle, out = draw.uniform(0, 2 * np.pi, clumps), np.sqrt(draw.uniform(0, 1, clumps))
        across = x + radii[0] * (share * out * np.cos(angle) + shift * canvas.light.sun)
        up = y + radii[1] * (share * out * np.sin(angle) + shift)
        size = draw.uniform(0.2, 0.42, clumps) * min(radii) * (16 / clumps) ** 0.5
        for clump in zip(across.tolist(), up.tolist(), size.tolist(), strict=True):
            canvas.ball(ink, (clump[0], clump[1], z), clump[2])


def paint_lamp(canvas: Canvas, draw: np.random.Generator, x: float, z: float) -> None:
    """Paint a street lamp that leans over the road."""
    height = draw.uniform(5, 7)
    pole = canvas.ink("pole", STEEL, z)
    canvas.cutout(pole, x, z, _bar(0.09, 0, height))
    arm = -math.copysign(1.4, x)
    canvas.cutout(pole, x, z, [(0, height), (arm, height + 0.25), (arm, height + 0.4), (0, height)])
    canvas.cutout(pole, x + arm, z, [(-0.4, height), (0.4, height), (0.25, height + 0.4)])


def paint_sign(canvas: Canvas, draw: np.random.Generator, x: float, z: float) -> None:
    """Paint a traffic sign: a red-rimmed disk or triangle, or a blue or yellow square."""
    height = draw.uniform(2.3, 2.8)
    canvas.cutout(canvas.ink("pole", STEEL, z), x, z, _bar(0.06, 0, height))
    red, white = (canvas.ink("traffic sign", c, z) for c in ((204, 26, 30), (242, 242, 240)))
    shape = draw.integers(3)
    if shape == 0:
        canvas.ball(red, (x, height, z), 0.42)
        canvas.ball(white, (x, height, z), 0.28)
    elif shape == 1:
        for ink, r in ((red, 0.5), (white, 0.3)):
            low, top = height - 0.58 * r, height + 1.15 * r
            canvas.cutout(ink, x, z, [(-r, low), (r, low), (0, top)])
    else:
        colour = ((24, 84, 186), (240, 196, 26))[draw.integers(2)]
        canvas.cutout(white, x, z, _bar(0.42, height - 0.42, height + 0.42))
        canvas.cutout(
            canvas.ink("traffic sign", colour, z), x, z, _bar(0.36, height - 0.36, height + 0.36)
        )


def paint_traffic_light(canvas: Canvas, draw: np.random.Generator, x: float, z: float) -> None:
    """Paint a traffic light on its pole, one of its lamps lit."""
    canvas.cutout(canvas.ink("pole", STEEL, z), x, z, _bar(0.08, 0, 2.6))
    canvas.cutout(canvas.ink("traffic light", (30, 34, 32), z), x, z, _bar(0.24, 2.4, 3.6))
    lit = draw.integers(3)
    for i, colour in enumerate(((60, 235, 130), (250, 190, 40), (250, 50, 40))):
        tone = shaded(colour, 1.0 if i == lit else 0.2)
        centre = (x, 2.62 + 0.38 * i, z)
        canvas.ball(canvas.ink("traffic light", tone, z), centre, 0.15)


def paint_bin(canvas: Canvas, draw: np.random.Generator, x: float, z: float) -> None:
    """Paint a bin, which Cityscapes calls static and does not score."""
    _shade_under(canvas, x, z, 0.4, 0.4)
    colour = ((60, 64, 60), (90, 60, 40), (40, 70, 60))[draw.integers(3)]
    canvas.cutout(canvas.ink("static", colour, z), x, z, _bar(0.3, 0, 1.0))
    canvas.cutout(canvas.ink("static", shaded(colour, 0.6), z), x, z, _bar(0.34, 1.0, 1.1))


def paint_car(canvas: Canvas, draw: np.random.Generator, x: float, z: float, ahead: bool) -> None:
    """Paint a car whose near end is `z` metres away, its back to us if it drives `ahead`."""
    paint, length, half = PAINTS[draw.integers(len(PAINTS))], draw.uniform(3.9, 4.6), 0.88
    low, waist, roof = 0.25, draw.uniform(0.82, 0.92), draw.uniform(1.42, 1.6)
    _shade_under(canvas, x, z + length / 2, half + 0.15, length / 2 + 0.2)
    side = x - half if x > canvas.camera.x else x + half  # the one that we see
    inner = side + math.copysign(0.12, x - side)
    body = canvas.ink("car", paint, z)
    flank = canvas.ink("car", _flank(canvas, paint, side - x), z)
    glass = canvas.ink("car", GLASS, z, "glass")
    # the deck, the cabin on it, then the body's lid, flank and end, each over the one before
    canvas.face(body, _end(x, half, z + 0.5, waist, half, z + length - 0.5, waist))
    back, front = z + (0.35 if ahead else 1.05), z + length - (1.1 if ahead else 0.5)
    cabin = [(back, waist), (back + 0.5, roof), (front - 0.6, roof), (front, waist)]
    canvas.face(flank, [(inner, y, at) for at, y in cabin])
    canvas.face(body, _end(x, half - 0.12, back, waist, half - 0.12, back + 0.5, roof))
    canvas.face(
        glass, _end(x, half - 0.2, back + 0.06, waist, half - 0.28, back + 0.44, roof - 0.1)
    )
    window = [(back + 0.4, waist + 0.04), (back + 0.65, roof - 0.12)]
    window += [(front - 0.75, roof - 0.12), (front - 0.3, waist + 0.04)]
    canvas.face(glass, [(inner, y, at) for at, y in window])
    canvas.face(body, _end(x, half, z, waist - 0.08, half, z + 0.5, waist))
    profile = [(z, low), (z, waist - 0.08), (z + 0.5, waist), (z + length - 0.5, waist)]
    profile += [(z + length, waist - 0.1), (z + length, low)]
    canvas.face(flank, [(side, y, at) for at, y in profile])
    _paint_wheels(canvas, side, (z + 0.8, z + length - 0.8), 0.33, "car")
    _paint_end(canvas, x, z, half, (low, waist - 0.08), paint, ahead)


def paint_lorry(canvas: Canvas, draw: np.random.Generator, x: float, z: float, name: str) -> None:
    """Paint a truck or a bus from behind, its near end `z` metres away."""
    colours: tuple[Colour, ...]
    if name == "bus":
        colours, length, height = ((214, 160, 30), (186, 30, 40), (40, 110, 70)), 11.0, 3.1
    else:
        colours, length, height = ((222, 222, 216), (60, 90, 150), (190, 120, 60)), 7.5, 3.3
    paint, half = colours[draw.integers(len(colours))], 1.2
    _shade_under(canvas, x, z + length / 2, half + 0.2, length / 2 + 0.2)
    side = x - half if x > canvas.camera.x else x + half
    flank = canvas.ink(name, _flank(canvas, paint, side - x), z)
    body, glass = canvas.ink(name, paint, z), canvas.ink(name, GLASS, z, "glass")
    canvas.face(flank, _wall(side, z, z + length, 0.4, height))
    canvas.cutout(body, x, z, _bar(half, 0.4, height))
    if name == "bus":
        for at in np.arange(z + 0.5, z + length - 1.2, 1.5).tolist():
            canvas.face(glass, _wall(side, at, at + 1.25, 1.5, 2.6))
        canvas.cutout(glass, x, z, _bar(half - 0.15, 1.6, 2.6))
    else:
        seam = canvas.ink(name, shaded(paint, 0.6), z)
        canvas.cutout(seam, x, z, _bar(0.03, 0.5, height - 0.1))
        canvas.cutout(seam, x, z, _bar(half, 0.4, 0.7))
    lamp = canvas.ink(name, (200, 30, 30), z)
    for sign in (-1, 1):
        canvas.cutout(lamp, x + sign * (half - 0.2), z, _bar(0.12, 0.75, 1.0))
    _paint_wheels(canvas, side, (z + 1.2, z + length - 1.4), 0.48, name)


def paint_person(
    canvas: Canvas, draw: np.random.Generator, x: float, z: float, name: str = "person"
) -> None:
    """Paint somebody who walks or stands."""
    height, step = draw.uniform(1.6, 1.9), draw.uniform(0.05, 0.28)
    _shade_under(canvas, x, z, 0.3, 0.3)
    top = CLOTHES[draw.integers(len(CLOTHES))]
    trousers = shaded(((40, 50, 104), (44, 38, 60), (90, 62, 90))[draw.integers(3)], 1)
    _paint_legs(canvas, x, z, height, step, (name, trousers))
    coat, sleeve = (canvas.ink(name, shaded(top, tone), z) for tone in (1, 0.78))
    skin = canvas.ink(name, SKINS[draw.integers(len(SKINS))], z)
    hip, shoulder, wide = 0.46 * height, 0.82 * height, 0.13 * height
    for sign in (-1, 1):
        hand = sign * (wide + 0.3 * step)
        arm = [(sign * wide * 0.8, shoulder), (hand, hip + 0.05), (hand + 0.09 * sign, hip + 0.05)]
        canvas.cutout(sleeve, x, z, [*arm, (sign * (wide + 0.07), shoulder - 0.05)])
        canvas.ball(skin, (x + hand, hip + 0.03, z), 0.06)
    torso = [(-0.8 * wide, hip - 0.08), (0.8 * wide, hip - 0.08), (wide, shoulder - 0.04)]
    torso += [(0.5 * wide, shoulder + 0.03), (-0.5 * wide, shoulder + 0.03)]
    canvas.cutout(coat, x, z, [*torso, (-wide, shoulder - 0.04)])
    _paint_head(canvas, draw, (x, 0.92 * height, z), name, skin)


def paint_cyclist(
    canvas: Canvas, draw: np.random.Generator, x: float, z: float, ridden: bool
) -> None:
    """Paint a bicycle from the side, and on it a rider where it is `ridden`."""
    _shade_under(canvas, x, z, 0.9, 0.2)
    frame = ((190, 40, 40), (30, 110, 160), (40, 40, 44), (30, 130, 80))[draw.integers(4)]
    tyre, tube = canvas.ink("bicycle", RUBBER, z), canvas.ink("bicycle", frame, z)
    for sign in (-1, 1):
        canvas.ring(tyre, (x + 0.55 * sign, 0.35, z), 0.35, 0.07)
    seat, bars, pedals = (-0.2, 0.9), (0.42, 0.98), (-0.02, 0.35)
    for a, b in (
        (pedals, seat),
        (pedals, bars),
        (seat, bars),
        (seat, (-0.55, 0.35)),
        (bars, (0.55, 0.35)),
    ):
        canvas.cutout(tube, x, z, _rod(a, b, 0.06))
    if ridden:
        top = CLOTHES[draw.integers(len(CLOTHES))]
        cloth, dark = canvas.ink("rider", top, z), canvas.ink("rider", (44, 46, 70), z)
        skin = canvas.ink("rider", SKINS[draw.integers(len(SKINS))], z)
        canvas.cutout(dark, x, z, _rod(seat, (0.15, 0.72), 0.17))
        canvas.cutout(dark, x, z, _rod((0.15, 0.72), pedals, 0.14))
        canvas.cutout(cloth, x, z, _rod((-0.2, 0.88), (0.08, 1.42), 0.3))
        canvas.cutout(cloth, x, z, _rod((0.08, 1.38), bars, 0.11))
        _paint_head(canvas, draw, (x + 0.14, 1.6, z), "rider", skin)


def shaded(colour: Colour, tone: float) -> Colour:
    """Return a darker or lighter colour."""
    red, green, blue = (min(255.0, tone * value) for value in colour)
    return red, green, blue


def _paint_legs(
    canvas: Canvas, x: float, z: float, height: float, step: float, ink: tuple[str, Colour]
) -> None:
    name, colour = ink
    hip = 0.5 * height
    for sign, tone in ((-1, 0.8), (1, 1.0)):
        leg = [(-0.02, hip), (sign * 0.15, hip), (sign * (step + 0.13), 0.08), (sign * step, 0.08)]
        canvas.cutout(canvas.ink(name, shaded(colour, tone), z), x, z, leg)
        shoe = _bar(0.09, 0, 0.09)
        canvas.cutout(canvas.ink(name, RUBBER, z), x + sign * (step + 0.08), z, shoe)


def _paint_head(
    canvas: Canvas,
    draw: np.random.Generator,
    centre: Point,
    name: str,
    skin: int,
) -> None:
    x, y, z = centre
    hair = ((40, 30, 24), (110, 76, 40), (180, 160, 130))[draw.integers(3)]
    canvas.ball(canvas.ink(name, hair, z), (x, y + 0.03, z), 0.13, 0.15)
    canvas.ball(skin, (x, y - 0.03, z), 0.1, 0.12)


def _flank(canvas: Canvas, paint: Colour, side: float) -> Colour:
    """Return a vehicle's colour on its left (`side` below 0) or right, in the sun or not."""
    return shaded(paint, 1.06 if side * canvas.light.sun > 0 else 0.8)


def _paint_wheels(
    canvas: Canvas, side: float, at: tuple[float, ...], radius: float, name: str
) -> None:
    """Paint wheels on a vehicle's flank."""
    for z in at:
        for r, colour in ((radius, RUBBER), (0.55 * radius, (130.0, 132.0, 136.0))):
            rim = [(side, radius + r * up, z + r * along) for along, up in _ROUND]
            canvas.face(canvas.ink(name, colour, z), rim)


def _paint_end(
    canvas: Canvas,
    x: float,
    z: float,
    half: float,
    levels: tuple[float, float],
    paint: Colour,
    back: bool,
) -> None:
    """Paint a car's end that is turned to us: lamps, plate, bumper."""
    low, high = levels
    for sign in (-1, 1):
        canvas.cutout(canvas.ink("car", RUBBER, z), x + sign * (half - 0.2), z, _bar(0.12, 0, 0.4))
    canvas.cutout(canvas.ink("car", paint, z), x, z, _bar(half, low, high))
    canvas.cutout(canvas.ink("car", shaded(paint, 0.45), z), x, z, _bar(half, low, low + 0.16))
    lamp = canvas.ink("car", (196, 24, 28) if back else (250, 246, 220), z)
    for sign in (-1, 1):
        canvas.cutout(lamp, x + sign * (half - 0.2), z, _bar(0.17, high - 0.26, high - 0.06))
    if not back:
        canvas.cutout(canvas.ink("car", (30, 32, 36), z), x, z, _bar(0.4, high - 0.24, high - 0.1))
    plate = canvas.ink("car", (236, 236, 228), z)
    canvas.cutout(plate, x, z, _bar(0.26, low + 0.18, low + 0.29))


def _shade_under(canvas: Canvas, x: float, z: float, wide: float, deep: float) -> None:
    """Darken the ground under a thing, and a little aside of it, away from the sun."""
    middle = x - 0.4 * wide * canvas.light.sun
    canvas.shadow((middle + 1.2 * wide * a, 0, z + deep * b) for a, b in _ROUND)


def _bar(half: float, low: float, high: float) -> list[Flat]:
    """Return an upright rectangle, metres aside and up."""
    return [(-half, low), (half, low), (half, high), (-half, high)]


def _rod(a: Flat, b: Flat, thick: float) -> list[Flat]:
    """Return a bar from a to b."""
    (ax, ay), (bx, by) = a, b
    share = 0.5 * thick / math.hypot(bx - ax, by - ay)
    dx, dy = share * (ay - by), share * (bx - ax)
    return [(ax + dx, ay + dy), (bx + dx, by + dy), (bx - dx, by - dy), (ax - dx, ay - dy)]


def _end(
    x: float, half: float, z: float, low: float, half2: float, z2: float, high: float
) -> list[Point]:
    """Return a leaning or lying rectangle, from one height and distance to another."""
    return [(x - half, low, z), (x + half, low, z), (x + half2, high, z2), (x - half2, high, z2)]


def _wall(x: float, near: float, far: float, low: float, high: float) -> list[Point]:
    """Return an upright rectangle along the street."""
    return [(x, low, near), (x, low, far), (x, high, far), (x, high, near)]
