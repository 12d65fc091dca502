"""Seconds that GED and HM-IoU take: 2,000 images of 180x180 with 4 graders.

python benchmarks/ged.py --json ged.json
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from probunet.metrics.bits import Packed, pack
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance, ged
from probunet.metrics.matched_iou import matched_iou

IMAGES = 2_000
SIZE = 180
GRADERS = 4
TARGETS = {16: 3.0, 100: 20.0}  # seconds on two cores, by n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()

    figures: dict[str, float] = {"images": arguments.images}
    for n, target in TARGETS.items():
        masks = blobs(arguments.images, n + GRADERS)
        samples, graders = masks[:, :n], masks[:, n:]
        figures[f"ged_{n}_seconds"] = seconds(lambda s=samples, g=graders: ged(s, g))
        figures[f"ged_{n}_target_seconds"] = target
        if n == min(TARGETS):
            pairs = distances(samples, graders)
            figures["hm_iou_seconds"] = seconds(
                lambda p=pairs: [matched_iou(p, k) for k in (1, 4, 8, 16)]
            )
            figures["ged_1_4_8_16_from_distances_seconds"] = seconds(
                lambda p=pairs: [energy_distance(p, k) for k in (1, 4, 8, 16)]
            )
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


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


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the least time of several, the one that other work on the machine disturbed least."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


if __name__ == "__main__":
    main()
