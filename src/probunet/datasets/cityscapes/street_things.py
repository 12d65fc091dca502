"""Things in a synthetic street: trees, posts, cars, people, bicycles.

Each is painted at `x` metres to the right and `z` metres ahead; sizes are in metres.
"""

import math

import numpy as np

from probunet.datasets.cityscapes.street_canvas import Canvas, Colour, Flat, Point, colours

PAINTS = colours("c4c8ce e4e6e8 2c3038 284682 606874 8c1e22 4678a0")  # of cars
CLOTHES = colours("d62c20 f08c14 e64682 f6d23c a0288c fa5a32 f078a0")
TROUSERS = colours("283268 2c263c 5a3e5a")
HAIR = colours("281e18 6e4c28 b4a082")
SKINS = colours("e8bea0 c6926e 80543c")
LEAVES = colours("3e6828 54742c 305c34 68702a")
BINS = colours("3c403c 5a3c28 28463c")
FRAMES = colours("be2828 1e6ea0 28282c 1e8250")
SIGNS = colours("1854ba f0c41a")
SIGNALS = colours("3ceb82 fabe28 fa3228")  # from below
LORRIES = {  # colours, length, height
    "bus": (colours("d6a01e ba1e28 286e46"), 11.0, 3.1),
    "truck": (colours("deded8 3c5a96 be783c"), 7.5, 3.3),
}
GLASS, RUBBER, STEEL = colours("26303a 161618 707476")

_CIRCLE = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * np.pi, 15)[:-1].tolist()]


def choose(canvas: Canvas, options: tuple[Colour, ...]) -> Colour:
    """Return a random colour."""
    return options[canvas.draw.integers(len(options))]


def shaded(colour: Colour, tone: float) -> Colour:
    """Return a darker or lighter colour."""
    red, green, blue = (min(255.0, tone * value) for value in colour)
    return red, green, blue


def paint_tree(canvas: Canvas, x: float, z: float, leaves: Colour) -> None:
    """Paint a trunk and a crown of leaves, lit from the sun's side."""
    height, radius = canvas.draw.uniform(5.5, 9), canvas.draw.uniform(1.7, 2.6)
    _shade_under(canvas, x, z, radius, 1.5)
    trunk = canvas.ink("vegetation", (74, 62, 48), z)
    canvas.cutout(trunk, x, z, [(-0.16, 0), (0.16, 0), (0.09, height), (-0.09, height)])
    paint_foliage(canvas, (x, height - 0.8 * radius, z), (radius, 1.1 * radius), leaves)


def paint_foliage(canvas: Canvas, centre: Point, radii: Flat, leaves: Colour) -> None:
    """Paint clumps of leaves around a point, dark ones first."""
    (x, y, z), draw = centre, canvas.draw
    clumps = 16 if z < 40 else 8
    for tone, share, shift in ((0.62, 1.0, 0.0), (0.9, 0.85, 0.12), (1.2, 0.62, 0.3)):
        ink = canvas.ink("vegetation", shaded(leaves, tone), z, "leaves")
        angle, out = draw.uniform(0, 2 * np.pi, clumps), np.sqrt(draw.uniform(0, 1, clumps))
        across = x + radii[0] * (share * out * np.cos(angle) + shift * canvas.light.sun)
        up = y + radii[1] * (share * out * np.sin(angle) + shift)
        size = draw.uniform(0.2, 0.42, clumps) * min(radii) * (16 / clumps) ** 0.5
        for clump in zip(across.tolist(), up.tolist(), size.tolist(), strict=True):
            canvas.ball(ink, (clump[0], clump[1], z), clump[2])


def paint_lamp(canvas: Canvas, x: float, z: float) -> None:
    """Paint a street lamp that leans over the road."""
    height = canvas.draw.uniform(5, 7)
    pole, arm = canvas.ink("pole", STEEL, z), -math.copysign(1.4, x)
    canvas.bar(pole, x, z, 0.09, 0, height)
    canvas.cutout(pole, x, z, [(0, height), (arm, height + 0.25), (arm, height + 0.4), (0, height)])
    canvas.cutout(pole, x + arm, z, [(-0.4, height), (0.4, height), (0.25, height + 0.4)])


def paint_sign(canvas: Canvas, x: float, z: float) -> None:
    """Paint a traffic sign: a red-rimmed disk or triangle, or a blue or yellow square."""
    height = canvas.draw.uniform(2.3, 2.8)
    canvas.bar(canvas.ink("pole", STEEL, z), x, z, 0.06, 0, height)
    red, white = (canvas.ink("traffic sign", c, z) for c in ((204, 26, 30), (242, 242, 240)))
    shape = canvas.draw.integers(3)
    if shape == 0:
        canvas.ball(red, (x, height, z), 0.42)
        canvas.ball(white, (x, height, z), 0.28)
    elif shape == 1:
        for ink, r in ((red, 0.5), (white, 0.3)):
            low, top = height - 0.58 * r, height + 1.15 * r
            canvas.cutout(ink, x, z, [(-r, low), (r, low), (0, top)])
    else:
        colour = canvas.ink("traffic sign", choose(canvas, SIGNS), z)
        for ink, half in ((white, 0.42), (colour, 0.36)):
            canvas.bar(ink, x, z, half, height - half, height + half)


def paint_traffic_light(canvas: Canvas, x: float, z: float) -> None:
    """Paint a traffic light on its pole, one of its lamps lit."""
    canvas.bar(canvas.ink("pole", STEEL, z), x, z, 0.08, 0, 2.6)
    canvas.bar(canvas.ink("traffic light", (30, 34, 32), z), x, z, 0.24, 2.4, 3.6)
    lit = canvas.draw.integers(3)
    for i, colour in enumerate(SIGNALS):
        ink = canvas.ink("traffic light", shaded(colour, 1.0 if i == lit else 0.2), z)
        canvas.ball(ink, (x, 2.62 + 0.38 * i, z), 0.15)


def paint_bin(canvas: Canvas, x: float, z: float) -> None:
    """Paint a bin, which Cityscapes calls static and does not score."""
    _shade_under(canvas, x, z, 0.4, 0.4)
    colour = choose(canvas, BINS)
    canvas.bar(canvas.ink("static", colour, z), x, z, 0.3, 0, 1.0)
    canvas.bar(canvas.ink("static", shaded(colour, 0.6), z), x, z, 0.34, 1.0, 1.1)


def paint_car(canvas: Canvas, x: float, z: float, ahead: bool) -> None:
    """Paint a car whose near end is `z` metres away; `ahead`: it shows its back."""
    paint, length, half = choose(canvas, PAINTS), canvas.draw.uniform(3.9, 4.6), 0.88
    low, waist, roof = 0.25, canvas.draw.uniform(0.82, 0.92), canvas.draw.uniform(1.42, 1.6)
    _shade_under(canvas, x, z + length / 2, half + 0.15, length / 2 + 0.2)
    side = x - half if x > canvas.camera.x else x + half  # the visible one
    inner = side + math.copysign(0.12, x - side)
    body = canvas.ink("car", paint, z)
    flank = canvas.ink("car", _flank(canvas, paint, side - x), z)
    glass = canvas.ink("car", GLASS, z, "glass")
    back, front = z + (0.35 if ahead else 1.05), z + length - (1.1 if ahead else 0.5)
    end = z + length

    def across(ink: int, *edges: tuple[float, float, float]) -> None:
        """Paint between two edges across the car: half width, distance and height of each."""
        (a, z1, y1), (b, z2, y2) = edges
        canvas.face(ink, [(x - a, y1, z1), (x + a, y1, z1), (x + b, y2, z2), (x - b, y2, z2)])

    def along(ink: int, x: float, outline: list[Flat]) -> None:
        canvas.face(ink, [(x, y, at) for at, y in outline])

    # the deck, the cabin on it, then lid, flank and end of the body, each over the one before
    across(body, (half, z + 0.5, waist), (half, end - 0.5, waist))
    along(flank, inner, [(back, waist), (back + 0.5, roof), (front - 0.6, roof), (front, waist)])
    across(body, (half - 0.12, back, waist), (half - 0.12, back + 0.5, roof))
    across(glass, (half - 0.2, back + 0.06, waist), (half - 0.28, back + 0.44, roof - 0.1))
    window = [(back + 0.4, waist + 0.04), (back + 0.65, roof - 0.12)]
    along(glass, inner, [*window, (front - 0.75, roof - 0.12), (front - 0.3, waist + 0.04)])
    across(body, (half, z, waist - 0.08), (half, z + 0.5, waist))
    profile = [(z, low), (z, waist - 0.08), (z + 0.5, waist), (end - 0.5, waist)]
    along(flank, side, [*profile, (end, waist - 0.1), (end, low)])
    _paint_wheels(canvas, side, (z + 0.8, end - 0.8), 0.33, "car")
    _paint_car_end(canvas, x, z, half, (low, waist - 0.08), paint, ahead)


def _paint_car_end(
    canvas: Canvas,
    x: float,
    z: float,
    half: float,
    levels: tuple[float, float],
    paint: Colour,
    back: bool,
) -> None:
    """Paint the near end of a car: tyres, bumper, lamps, plate."""
    low, high = levels
    lamp: Colour = (196, 24, 28) if back else (250, 246, 220)
    parts: list[tuple[Colour, float, float, float, float]] = [  # colour, aside, half, low, high
        *((RUBBER, sign * (half - 0.2), 0.12, 0, 0.4) for sign in (-1, 1)),
        (paint, 0, half, low, high),
        (shaded(paint, 0.45), 0, half, low, low + 0.16),
        *((lamp, sign * (half - 0.2), 0.17, high - 0.26, high - 0.06) for sign in (-1, 1)),
        *([] if back else [((30.0, 32.0, 36.0), 0.0, 0.4, high - 0.24, high - 0.1)]),
        ((236, 236, 228), 0, 0.26, low + 0.18, low + 0.29),
    ]
    for colour, aside, *rectangle in parts:
        canvas.bar(canvas.ink("car", colour, z), x + aside, z, *rectangle)


def paint_lorry(canvas: Canvas, x: float, z: float, name: str) -> None:
    """Paint a truck or a bus from behind, its near end `z` metres away."""
    options, length, height = LORRIES[name]
    paint, half = choose(canvas, options), 1.2
    _shade_under(canvas, x, z + length / 2, half + 0.2, length / 2 + 0.2)
    side = x - half if x > canvas.camera.x else x + half
    flank = canvas.ink(name, _flank(canvas, paint, side - x), z)
    body, glass = canvas.ink(name, paint, z), canvas.ink(name, GLASS, z, "glass")
    canvas.wall(flank, side, z, z + length, 0.4, height)
    canvas.bar(body, x, z, half, 0.4, height)
    if name == "bus":
        for at in np.arange(z + 0.5, z + length - 1.2, 1.5).tolist():
            canvas.wall(glass, side, at, at + 1.25, 1.5, 2.6)
        canvas.bar(glass, x, z, half - 0.15, 1.6, 2.6)
    else:
        seam = canvas.ink(name, shaded(paint, 0.6), z)
        canvas.bar(seam, x, z, 0.03, 0.5, height - 0.1)
        canvas.bar(seam, x, z, half, 0.4, 0.7)
    for sign in (-1, 1):
        canvas.bar(canvas.ink(name, (200, 30, 30), z), x + sign * (half - 0.2), z, 0.12, 0.75, 1.0)
    _paint_wheels(canvas, side, (z + 1.2, z + length - 1.4), 0.48, name)


def paint_person(canvas: Canvas, x: float, z: float) -> None:
    """Paint somebody who walks or stands."""
    height, step = canvas.draw.uniform(1.6, 1.9), canvas.draw.uniform(0.05, 0.28)
    _shade_under(canvas, x, z, 0.3, 0.3)
    top, trousers = choose(canvas, CLOTHES), choose(canvas, TROUSERS)
    hip = 0.5 * height
    for sign, tone in ((-1, 0.8), (1, 1.0)):
        leg = [(-0.02, hip), (sign * 0.15, hip), (sign * (step + 0.13), 0.08), (sign * step, 0.08)]
        canvas.cutout(canvas.ink("person", shaded(trousers, tone), z), x, z, leg)
        canvas.bar(canvas.ink("person", RUBBER, z), x + sign * (step + 0.08), z, 0.09, 0, 0.09)
    coat, sleeve = (canvas.ink("person", shaded(top, tone), z) for tone in (1, 0.78))
    skin = canvas.ink("person", choose(canvas, SKINS), z)
    hip, shoulder, wide = 0.46 * height, 0.82 * height, 0.13 * height
    for sign in (-1, 1):
        hand = sign * (wide + 0.3 * step)
        arm = [(sign * wide * 0.8, shoulder), (hand, hip + 0.05), (hand + 0.09 * sign, hip + 0.05)]
        canvas.cutout(sleeve, x, z, [*arm, (sign * (wide + 0.07), shoulder - 0.05)])
        canvas.ball(skin, (x + hand, hip + 0.03, z), 0.06)
    torso = [(-0.8 * wide, hip - 0.08), (0.8 * wide, hip - 0.08), (wide, shoulder - 0.04)]
    torso += [(0.5 * wide, shoulder + 0.03), (-0.5 * wide, shoulder + 0.03)]
    canvas.cutout(coat, x, z, [*torso, (-wide, shoulder - 0.04)])
    _paint_head(canvas, (x, 0.92 * height, z), "person", skin)


def paint_cyclist(canvas: Canvas, x: float, z: float, ridden: bool) -> None:
    """Paint a bicycle from the side, and a rider on it if it is `ridden`."""
    _shade_under(canvas, x, z, 0.9, 0.2)
    tube = canvas.ink("bicycle", choose(canvas, FRAMES), z)
    for sign in (-1, 1):
        canvas.ring(canvas.ink("bicycle", RUBBER, z), (x + 0.55 * sign, 0.35, z), 0.35, 0.07)
    seat, bars, pedals, knee = (-0.2, 0.9), (0.42, 0.98), (-0.02, 0.35), (0.15, 0.72)
    back, front = (-0.55, 0.35), (0.55, 0.35)
    for ends in ((pedals, seat), (pedals, bars), (seat, bars), (seat, back), (bars, front)):
        canvas.rod(tube, x, z, ends, 0.06)
    if ridden:
        cloth = canvas.ink("rider", choose(canvas, CLOTHES), z)
        dark = canvas.ink("rider", (44, 46, 70), z)
        skin = canvas.ink("rider", choose(canvas, SKINS), z)
        canvas.rod(dark, x, z, (seat, knee), 0.17)
        canvas.rod(dark, x, z, (knee, pedals), 0.14)
        canvas.rod(cloth, x, z, ((-0.2, 0.88), (0.08, 1.42)), 0.3)
        canvas.rod(cloth, x, z, ((0.08, 1.38), bars), 0.11)
        _paint_head(canvas, (x + 0.14, 1.6, z), "rider", skin)


def _paint_head(canvas: Canvas, centre: Point, name: str, skin: int) -> None:
    x, y, z = centre
    canvas.ball(canvas.ink(name, choose(canvas, HAIR), z), (x, y + 0.03, z), 0.13, 0.15)
    canvas.ball(skin, (x, y - 0.03, z), 0.1, 0.12)


def _flank(canvas: Canvas, paint: Colour, side: float) -> Colour:
    """Return the colour of a vehicle's left (`side` below 0) or right side, in the sun or not."""
    return shaded(paint, 1.06 if side * canvas.light.sun > 0 else 0.8)


def _paint_wheels(
    canvas: Canvas, side: float, at: tuple[float, ...], radius: float, name: str
) -> None:
    for z in at:
        for r, colour in ((radius, RUBBER), (0.55 * radius, (130.0, 132.0, 136.0))):
            rim = [(side, radius + r * up, z + r * along) for along, up in _CIRCLE]
            canvas.face(canvas.ink(name, colour, z), rim)


def _shade_under(canvas: Canvas, x: float, z: float, wide: float, deep: float) -> None:
    """Darken the ground under a thing and on its side away from the sun."""
    middle = x - 0.4 * wide * canvas.light.sun
    canvas.shadow((middle + 1.2 * wide * a, 0, z + deep * b) for a, b in _CIRCLE)
