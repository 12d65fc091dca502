"""Render a chest-like image for each slice of a scan; lesions show how far the readers agree.

It resembles computed tomography enough to try every step of the pipeline, but is not a model of
anatomy: results measured on it say nothing about patients.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon

from probunet.datasets.lidc.outlines import Annotation, LesionSlice, Scan
from probunet.seeding import numpy_generator

SIZE = 512  # rows and columns
READERS = 4
PADDING = -3024  # HU outside the scanner's circular field, as in many LIDC series

# Hounsfield units
AIR, FAT, MUSCLE, MARROW, CORTEX, LUNG = -1000.0, -100.0, 50.0, 190.0, 650.0, -860.0
# HU that a lesion adds where at least 1, 2, 3, 4 readers mark it, and the blur of each of these
# levels (pixels): faint and soft for one reader, dense and sharp for all
AGREEMENT_HU = (240.0, 210.0, 210.0, 230.0)
AGREEMENT_BLUR = (1.2, 1.0, 0.8, 0.6)

Field = NDArray[np.float32]  # (SIZE, SIZE)
Points = NDArray[np.float64]  # (3,) x, y, z; (n, 4) with radius, pixels

_X = np.arange(SIZE, dtype=np.float32)[None, :]
_Y = np.arange(SIZE, dtype=np.float32)[:, None]


class Chest:
    """The chest around one series' lesions; neighbouring slices show the same anatomy.

    Parameters
    ----------
    scan
        Determines the pixel spacing and the extent along z.
    lesions
        The series' lesions; the lungs are widened until they contain them.
    seed
        Determines every random draw, together with the series' UID.
    """

    def __init__(self, scan: Scan, lesions: list[LesionSlice], seed: int) -> None:
        self._seed, self._scan, self._lesions = seed, scan, lesions
        draw = numpy_generator(seed, f"chest/{scan.series}")
        self._cx, self._cy = draw.uniform(250, 262), draw.uniform(250, 268)
        self._cage = (draw.uniform(172, 188), draw.uniform(134, 148))  # semi-axes, pixels
        self._cage = self._wide_enough(lesions)
        self._wall = (draw.uniform(44, 60), draw.uniform(34, 46))
        self._fat = draw.uniform(10, 22)
        self._contrast = draw.uniform(60, 240)  # HU in the great vessels
        self._rib_phase = draw.uniform(0, 1)
        self._noise = draw.uniform(22, 30)  # HU, standard deviation
        self._coarse = [_texture(draw, 14), _texture(draw, 14)]
        self._fine = [_texture(draw, 2.2), _texture(draw, 2.2)]
        # 0 at the back, pi at the front
        self._angle = np.arctan2(np.abs(_X - self._cx), _Y - self._cy)
        self._vessels = np.concatenate([self._vessel_tree(draw, side) for side in (-1, 1)])
        self._blobs = self._unmarked_blobs(draw)

    def render(self, z: float) -> NDArray[np.int16]:
        """Return the slice at z (mm) in Hounsfield units, (rows, columns)."""
        height = self._height(z)
        hu = np.full((SIZE, SIZE), AIR, dtype=np.float32)
        coarse, fine = self._woven(self._coarse, z, 25), self._woven(self._fine, z, 4)
        rho = self._cage_radius(height)
        self._paint_wall(hu, rho, coarse, height)
        self._paint_ribs(hu, rho, z)
        self._paint_mediastinum(hu, fine, height)
        lung = self._lung(rho, coarse, z, height)
        parenchyma = LUNG + 18 * coarse + 14 * fine + 70 * (_Y - self._cy) / self._cage[1]
        hu += lung * (parenchyma + self._opacity(z) - hu)
        self._paint_vessels(hu, lung, z)
        self._paint_airways(hu, height)
        return self._scanned(hu, z)

    def _height(self, z: float) -> float:
        """Return the position of z between the lowest slice (0) and the highest (1)."""
        low, high = float(self._scan.z[0]), float(self._scan.z[-1])
        return (z - low) / max(high - low, 1.0)

    def _wide_enough(self, lesions: list[LesionSlice]) -> tuple[float, float]:
        """Return the semi-axes of the rib cage, widened until every outline is inside."""
        a, b = self._cage
        for lesion in lesions:
            scale = _narrowing(self._height(lesion.z))
            x0, x1, y0, y1 = lesion.box
            for x, y in ((x0, y0), (x0, y1), (x1, y0), (x1, y1)):
                dx, dy = (x - self._cx) / scale, (y - self._cy) / scale
                while math.hypot(dx / a, dy / b) > 0.94:  # widen in the direction of the corner
                    wide = (dx / a) ** 2 / ((dx / a) ** 2 + (dy / b) ** 2)
                    a, b = a * (1 + 0.02 * wide), b * (1.02 - 0.02 * wide)
        return a, b

    def _cage_radius(self, height: float) -> Field:
        """Return the distance from the axis, with 1 on the inner surface of the rib cage."""
        scale = _narrowing(height)
        a, b = (scale * axis for axis in self._cage)
        dx, dy = np.abs(_X - self._cx) / np.float32(a), np.abs(_Y - self._cy) / np.float32(b)
        rho: Field = np.sqrt(dx**2 + dy**2)
        return rho

    def _paint_wall(self, hu: Field, rho: Field, coarse: Field, height: float) -> None:
        """Paint skin, fat and muscle, and the table below the patient."""
        a, b = (axis + wall for axis, wall in zip(self._cage, self._wall, strict=True))
        table = self._cy + b + 10 - (_X - self._cx) ** 2 / 1800
        _blend(hu, 1.5 - np.abs(_Y - table), -350)
        _blend(hu, 1.0 - np.abs(_Y - table - 16), -500)
        # a superellipse: flatter at front and back than an ellipse
        dx, dy = (np.abs(_X - self._cx) / np.float32(a)) ** 2.5, (np.abs(_Y - self._cy) / b) ** 2.5
        depth = (1 - (dx + dy) ** np.float32(0.4)) * np.float32(0.5 * (a + b))
        _blend(hu, depth, 0)
        _blend(hu, depth - 2, FAT)
        bundles = 6 * coarse + self._fat * (1.2 + 0.5 * np.cos(2 * self._angle))
        _blend(hu, depth - np.maximum(bundles, 5), MUSCLE)
        # fat between the muscles
        seams = np.minimum(8 * (0.16 - np.abs(coarse - 0.5)), 60 * (rho - 1.17))
        _blend(hu, np.minimum(seams, depth - 4), FAT)

    def _paint_ribs(self, hu: Field, rho: Field, z: float) -> None:
        """Paint ribs, which slope down from the spine to the front, and shoulder blades."""
        spacing, slope = 24.0, 36.0  # mm between ribs, mm down per radian
        out = (rho - 1) * np.float32(0.5 * sum(self._cage))  # pixels outside the lung
        # against symmetry, the right side is cut a little lower
        turns = (z + slope * self._angle + 0.02 * (_X - self._cx)) / spacing + self._rib_phase
        off = (turns - np.rint(turns)) * spacing
        level = (1 - np.hypot((out - 8) / 6, off / 6)) * 6
        level = np.minimum(level, 30 * (2.6 - self._angle))  # cartilage in front, no bone
        _blend(hu, level, CORTEX)
        _blend(hu, level - 2, MARROW)
        a, b = self._cage
        if self._height(z) > 0.45:
            for side in (-1, 1):
                x, y = self._cx + side * (a + 8), self._cy + 0.62 * b
                _paint(hu, x, y, (44, 7), CORTEX, -side * 0.75)
                _paint(hu, x, y, (41, 4), MARROW, -side * 0.75)

    def _paint_mediastinum(self, hu: Field, fine: Field, height: float) -> None:
        """Paint sternum, spine, heart chambers and great vessels; the lungs are painted over it."""
        cx, cy, (a, b) = self._cx, self._cy, self._cage
        front, back = cy - b * _narrowing(height), cy + b * _narrowing(height)
        for x, y, axes, value, turn in (
            (cx, cy, (a * 0.75, b * 0.85), 30, 0),
            (cx, front + 30, (34, 26), FAT, 0),
            (cx, front - 9, (27, 9), CORTEX, 0),
            (cx, front - 9, (24, 6.5), MARROW, 0),
            (cx - 24, back + 14, (20, 5), CORTEX, -0.35),  # transverse processes
            (cx + 24, back + 14, (20, 5), CORTEX, 0.35),
            (cx, back + 34, (5, 18), CORTEX, 0),
            (cx, back + 12, (15, 14), CORTEX, 0),
            (cx, back - 14, (26, 20), CORTEX, 0),
            (cx, back - 14, (23.5, 17.5), MARROW, 0),
            (cx, back + 12, (10, 9), 25, 0),
        ):
            _paint(hu, x, y, axes, value, turn)
        blood = self._contrast
        if height < 0.74:
            _paint(hu, cx + 30, back - 44, (13, 13), blood)
        vessels: list[tuple[float, ...]] = []  # dx, dy, semi-axes, HU, angle
        if 0.12 < height < 0.5:
            vessels = [(42, -12, 38, 44, -20, -0.5), (-16, -34, 30, 34, -35)]
        elif 0.5 <= height < 0.72:
            vessels = [(-14, -34, 19, 19, 0), (18, -26, 16, 15, -10), (-34, -18, 9, 11, 40)]
        elif height >= 0.72:
            vessels = [(-26, -26, 9, 9, 0), (-8, -34, 7, 7, 0)]
            vessels += [(12, -28, 6, 6, 0), (26, -20, 7, 7, 0)]
        for dx, dy, wide, high, contrast, *angle in vessels:
            _paint(hu, cx + dx, cy + dy, (wide, high), blood + contrast, *angle)

    def _lung(self, rho: Field, coarse: Field, z: float, height: float) -> Field:
        """Return the share of lung in each pixel: the cage without its middle."""
        cx, cy, (a, b) = self._cx, self._cy, self._cage
        scale = _narrowing(height)
        inside = (1 - rho) * np.float32(0.5 * (a + b) * scale)
        middle = _ellipse(cx + 4, cy - 10, 36 + 8 * height, 0.58 * b * scale)
        middle = _join(middle, _ellipse(cx, cy + b * scale, 42, 46), 14)
        if height < 0.74:  # aorta
            middle = _join(middle, _ellipse(cx + 28, cy + b * scale - 44, 18, 18), 18)
        middle = _join(middle, _ellipse(cx, cy - b * scale, 20, 34), 14)
        middle = _join(middle, 6 - np.abs(_X - cx) + 0 * _Y, 18)
        hilum = 1 - ((height - 0.5) / 0.12) ** 2
        if hilum > 0:
            middle = _join(middle, _ellipse(cx, cy + 6, 58 * hilum, 18 * hilum), 20)
        heart = math.sqrt(max(0.0, 1 - ((height - 0.28) / 0.24) ** 2))
        if heart > 0:
            middle = _join(middle, _ellipse(cx + 30, cy - 24, 78 * heart, 66 * heart), 16)
        for x, top, wide in ((cx - 0.48 * a, 0.26, 0.45), (cx + 0.5 * a, 0.2, 0.38)):
            dome = math.sqrt(max(0.0, 1 - (height / top) ** 2)) if height > 0 else 1.0
            if dome > 0:  # diaphragm, over liver and stomach
                middle = _join(middle, _ellipse(x, cy - 6, a * wide * dome, b * 0.8 * dome), 16)
        open_ = self._opened_for_lesions(-middle + 3 * coarse, z)
        share: Field = np.clip(np.minimum(inside, open_) + 0.5, 0, 1)
        return share

    def _opened_for_lesions(self, level: Field, z: float) -> Field:
        """Return the lung's level, widened around each lesion near z."""
        for lesion in self._lesions:
            x0, x1, y0, y1 = lesion.box
            radius = 0.5 * math.hypot(x1 - x0, y1 - y0) + 9
            dz = (z - lesion.z) / self._scan.pixel_spacing
            if abs(dz) < radius:
                x, y, r = 0.5 * (x0 + x1), 0.5 * (y0 + y1), math.sqrt(radius**2 - dz**2)
                rows, columns = _window(x, y, r + 14)
                round_ = r - np.hypot(_X[:, columns] - x, _Y[rows] - y)
                level[rows, columns] = _join(level[rows, columns], round_, 12)
        return level

    def _paint_vessels(self, hu: Field, lung: Field, z: float) -> None:
        """Paint the vessels' cross-sections at z."""
        dz = self._vessels[:, 2] - z / self._scan.pixel_spacing
        cut = np.abs(dz) < self._vessels[:, 3]
        x, y, _, r = self._vessels[cut].T
        r = np.sqrt(r**2 - dz[cut] ** 2)
        reach = np.arange(-8, 9)
        columns = np.rint(x).astype(int)[:, None, None] + reach[None, None, :]
        rows = np.rint(y).astype(int)[:, None, None] + reach[None, :, None]
        distance = np.hypot(columns - x[:, None, None], rows - y[:, None, None])
        cover = np.clip(r[:, None, None] + 0.5 - distance, 0, 1)
        marked = (cover > 0) & (rows >= 0) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)
        share = np.zeros(SIZE * SIZE, dtype=np.float32)
        np.maximum.at(share, (rows * SIZE + columns)[marked], cover[marked].astype(np.float32))
        hu += share.reshape(SIZE, SIZE) * lung * np.maximum(40 - hu, 0)

    def _paint_airways(self, hu: Field, height: float) -> None:
        """Paint the trachea or, below its fork, the two main bronchi."""
        apart = 12 + 300 * (0.58 - height)
        airways = [(self._cx - apart, 8.0), (self._cx + apart, 8.0)] if height > 0.46 else []
        for x, r in [(self._cx, 11.0)] if height > 0.58 else airways:
            _paint(hu, x, self._cy + 10, (r + 2, r + 2), 20)
            _paint(hu, x, self._cy + 10, (r, r), AIR)

    def _opacity(self, z: float) -> Field:
        """Return the HU that lesions and unmarked blobs add to the lung at z."""
        opacity = np.zeros((SIZE, SIZE), dtype=np.float32)
        for lesion in self._lesions:
            if lesion.z == z:
                x0, x1, y0, y1 = lesion.box
                rows, columns = slice(max(y0 - 8, 0), y1 + 9), slice(max(x0 - 8, 0), x1 + 9)
                readers = agreement(lesion)[rows, columns]
                for count, (add, blur) in enumerate(
                    zip(AGREEMENT_HU, AGREEMENT_BLUR, strict=True), start=1
                ):
                    marked = (readers >= count).astype(np.float32)
                    opacity[rows, columns] += add * gaussian_filter(marked, blur)
        for x, y, height, r in self._blobs:
            dz = height - z / self._scan.pixel_spacing
            if abs(dz) < 3 * r:
                rows, columns = _window(x, y, 3 * r)
                distance = (_X[:, columns] - x) ** 2 + (_Y[rows] - y) ** 2 + dz**2
                opacity[rows, columns] += 160 * np.exp(-distance / (2 * r**2))
        return opacity

    def _scanned(self, hu: Field, z: float) -> NDArray[np.int16]:
        """Return the image with a scanner's noise, whole numbers and circular field."""
        draw = numpy_generator(self._seed, f"noise/{self._scan.series}", round(1000 * z))
        noise = gaussian_filter(draw.standard_normal((SIZE, SIZE), dtype=np.float32), 0.65)
        hu += noise * np.float32(self._noise / noise.std())
        whole = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
        middle = (SIZE - 1) / 2
        whole[(_X - middle) ** 2 + (_Y - middle) ** 2 > (SIZE / 2) ** 2] = PADDING
        return whole

    def _woven(self, pair: list[Field], z: float, period: float) -> Field:
        """Return a texture that changes smoothly along z (mm)."""
        turn = z / period
        return np.float32(math.cos(turn)) * pair[0] + np.float32(math.sin(turn)) * pair[1]

    def _vessel_tree(self, draw: np.random.Generator, side: int) -> Points:
        """Return one lung's vessels as rows of balls: x, y, z, radius in pixels, (n, 4).

        Random points in the lung are connected to the tree, nearest to the root first, where the
        path to the root stays short. The radius of a branch is proportional to the cube root of
        the number of points behind it (Murray's law).
        """
        a, b = self._cage
        low, high = (float(self._scan.z[i]) / self._scan.pixel_spacing for i in (0, -1))
        root = np.array([self._cx + side * 42, self._cy + 4, low + 0.5 * (high - low)])
        unit = draw.uniform(-1, 1, (4000, 3))
        unit = unit[(np.abs(unit[:, 0]) > 0.25) & (np.hypot(unit[:, 0], unit[:, 1]) < 0.95)]
        unit[:, 0] = side * np.abs(unit[:, 0])
        points = unit[:900] * [a, b, 0.47 * (high - low)] + [self._cx, self._cy, root[2]]
        points = points[np.argsort(np.linalg.norm(points - root, axis=1))]
        nodes = np.concatenate([root[None], points])
        parent, way = np.zeros(len(nodes), dtype=int), np.zeros(len(nodes))
        for i in range(1, len(nodes)):
            step = np.linalg.norm(nodes[:i] - nodes[i], axis=1)
            parent[i] = np.argmin(step + 0.45 * way[:i])
            way[i] = way[parent[i]] + step[parent[i]]
        behind = np.ones(len(nodes))
        for i in range(len(nodes) - 1, 0, -1):
            behind[parent[i]] += behind[i]
        radius = np.minimum(0.9 * behind ** (1 / 3), 6.5)
        bends = (draw.normal(0, 0.08, 3) for _ in nodes)
        branches = zip(nodes[parent], nodes, radius, strict=True)
        return np.concatenate([_balls(*b, next(bends)) for b in list(branches)[1:]])

    def _unmarked_blobs(self, draw: np.random.Generator) -> Points:
        """Return faint blobs that no reader marked: x, y, z, radius in pixels, (n, 4)."""
        n, ends = 4, self._scan.z[[0, -1]] / self._scan.pixel_spacing
        return np.column_stack(
            [
                self._cx + draw.choice([-1, 1], n) * draw.uniform(0.35, 0.8, n) * self._cage[0],
                self._cy + draw.uniform(-0.5, 0.5, n) * self._cage[1],
                draw.uniform(ends[0], ends[1], n),
                draw.uniform(2.5, 5, n),
            ]
        )


def agreement(lesion: LesionSlice) -> NDArray[np.uint8]:
    """Return how many readers mark each pixel of the slice, at most 4: (rows, columns)."""
    readers = sum(_filled(annotation).astype(np.uint8) for annotation in lesion.annotations)
    return np.minimum(readers, READERS).astype(np.uint8)


def _filled(annotation: Annotation) -> NDArray[np.bool_]:
    """Return the pixels inside an annotation; LIDC's outlines are just outside the lesion."""
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    for outline in annotation.inclusions:
        mask[polygon(outline[:, 1], outline[:, 0], (SIZE, SIZE))] = True  # type: ignore[no-untyped-call]
    for hole in annotation.exclusions:
        mask[polygon(hole[:, 1], hole[:, 0], (SIZE, SIZE))] = False  # type: ignore[no-untyped-call]
    without = mask.copy()
    for outline in annotation.inclusions:
        without[outline[:, 1], outline[:, 0]] = False
    return without if without.any() else mask


def _narrowing(height: float) -> float:
    """Return the relative size of the rib cage, which narrows towards the top."""
    u = min(max((height - 0.5) / 0.55, 0.0), 1.0)
    return 1 - 0.26 * u * u * (3 - 2 * u)


def _texture(draw: np.random.Generator, scale: float) -> Field:
    """Return a smooth random field of unit variance; `scale` in pixels."""
    noise = draw.standard_normal((SIZE, SIZE), dtype=np.float32)
    field = gaussian_filter(noise, scale, mode="wrap")
    unit: Field = field / field.std()
    return unit


def _balls(start: Points, end: Points, radius: float, bend: Points) -> Points:
    """Return balls along a bent line from `start` to `end`."""
    length = float(np.linalg.norm(end - start))
    s = np.linspace(0, 1, max(2, math.ceil(length / (0.6 * radius))))[:, None]
    line = start + s * (end - start) + 4 * s * (1 - s) * length * bend
    return np.column_stack([line, np.full(len(s), radius)])


def _window(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Return the rows and columns within `reach` of a point."""
    rows = slice(max(math.floor(y - reach), 0), max(math.ceil(y + reach) + 1, 0))
    columns = slice(max(math.floor(x - reach), 0), max(math.ceil(x + reach) + 1, 0))
    return rows, columns


def _ellipse(x: float, y: float, a: float, b: float) -> Field:
    """Return the approximate distance to an ellipse's edge in pixels, positive inside."""
    dx, dy = (_X - np.float32(x)) / np.float32(a), (_Y - np.float32(y)) / np.float32(b)
    level: Field = (1 - np.sqrt(dx**2 + dy**2)) * np.float32(min(a, b))
    return level


def _join(first: Field, second: Field, smooth: float) -> Field:
    """Return the union of two levels, rounded where they meet; `smooth` in pixels.

    The polynomial smooth maximum: max(a, b) + k h^2 / 4 with h = max(k - |a - b|, 0) / k.
    """
    h = np.maximum(smooth - np.abs(first - second), 0)
    union: Field = np.maximum(first, second) + h * h * np.float32(0.25 / smooth)
    return union


def _blend(hu: Field, level: NDArray[np.floating[Any]], value: float) -> None:
    """Paint `value` where `level` is positive, with an edge one pixel wide."""
    hu += np.clip(level + 0.5, 0, 1) * (np.float32(value) - hu)


def _paint(
    hu: Field, x: float, y: float, axes: tuple[float, float], value: float, turn: float = 0.0
) -> None:
    """Paint an ellipse, turned by `turn` radians from the x axis."""
    rows, columns = _window(x, y, max(axes) + 1)
    dx, dy = _X[:, columns] - np.float32(x), _Y[rows] - np.float32(y)
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    u, v = (dx * c + dy * s) / np.float32(axes[0]), (dy * c - dx * s) / np.float32(axes[1])
    _blend(hu[rows, columns], (1 - np.sqrt(u * u + v * v)) * np.float32(min(axes)), value)
