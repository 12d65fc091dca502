"""Time of GED and HM-IoU for 2,000 images of 180x180 with 4 graders."""

from collections.abc import Callable

import numpy as np

from common import parser, seconds, write
from probunet.metrics.bits import Packed, pack
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance, ged
from probunet.metrics.matched_iou import matched_iou

IMAGES = 2_000
SIZE = 180
GRADERS = 4
TARGETS = {16: 3.0, 100: 20.0}  # seconds on two cores, by n


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=IMAGES)
    arguments = options.parse_args()

    figures: dict[str, float] = {"images": arguments.images}
    for n, target in TARGETS.items():
        masks = blobs(arguments.images, n + GRADERS)
        samples, graders = masks[:, :n], masks[:, n:]
        figures[f"ged_{n}_seconds"] = shortest(lambda s=samples, g=graders: ged(s, g))
        figures[f"ged_{n}_target_seconds"] = target
        if n == min(TARGETS):
            pairs = distances(samples, graders)
            figures["hm_iou_seconds"] = shortest(
                lambda p=pairs: [matched_iou(p, k) for k in (1, 4, 8, 16)]
            )
            figures["ged_1_4_8_16_from_distances_seconds"] = shortest(
                lambda p=pairs: [energy_distance(p, k) for k in (1, 4, 8, 16)]
            )
    write(figures, arguments.json)


def shortest(call: Callable[[], object]) -> float:
    """Return the shortest time of three calls."""
    return round(min(seconds(call) for _ in range(3)), 3)


def blobs(images: int, members: int) -> Packed:
    """Return packed random ellipses (images, members, bytes), one in five of them empty."""
    random = np.random.default_rng(0)
    y, x = np.ogrid[:SIZE, :SIZE]
    packed = []
    for _ in range(images):
        centre = random.normal(SIZE / 2, 8, (2, members, 1, 1))
        radius = random.uniform(8, 40, (2, members, 1, 1))
        masks = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
        masks &= random.random((members, 1, 1)) < 0.8
        packed.append(pack(masks))
    return np.stack(packed)


if __name__ == "__main__":
    main()
