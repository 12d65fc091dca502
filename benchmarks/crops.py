"""Time and memory of all scores of a run at n = 100: 2,000 crops of 128x128, 4 graders.

Samples and graders' masks are ellipses, one in five of them empty.
"""

import resource
import tempfile
from pathlib import Path

import numpy as np

from common import parser, seconds, write
from probunet.datasets.lidc.store import (
    PROTOCOL,
    PROTOCOL_VERSION,
    Columns,
    CropAttributes,
    create_crops,
    open_crops,
)
from probunet.metrics.bits import GRADERS, Packed, pack
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import SHARD, SampleAttributes, seal, write_sample_parts, write_shard

CROPS = 2_000
STORED, SIZE = 180, 128
SAMPLES = 100
N = (1, 16, 50, 100)
TARGET = 10.0  # seconds on two cores
TARGET_MB = 2_000
RUN = Run("lidc", "probabilistic_unet", 1.0, 0, 0)
PART = 16  # crops per chunk of the samples


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--crops", type=int, default=CROPS)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, samples = Path(folder, "lidc.zarr"), Path(folder, "samples.zarr")
        write_crops(store, arguments.crops)
        write_samples(samples, store)
        time = seconds(lambda: score_run(samples, store, Path(folder, "scores.parquet"), N))
    figures = {
        "crops": arguments.crops,
        "samples": SAMPLES,
        "score_run_seconds": round(time, 2),
        "target_seconds": TARGET,
        # of the whole process, which wrote the samples too
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "target_megabytes": TARGET_MB,
    }
    write(figures, arguments.json)


def write_crops(path: Path, count: int) -> None:
    """Write a store of crops without values; only their masks are scored."""
    attributes = CropAttributes(
        dataset="lidc",
        source="phantom",
        synthetic=True,
        protocol=PROTOCOL,
        protocol_version=PROTOCOL_VERSION,
        spacing=0.5,
        outlines="",
        more_than_four="",
        annotations={},
        left_out={},
        left_out_patients=(),
        manifest_sha256="",
        licence="CC0",
        versions={},
    )
    names = np.array([f"P{number // 10}" for number in range(count)])
    zeros = np.zeros(count, np.int32)
    columns = Columns(names, names, zeros.astype(float), zeros, zeros.astype(np.uint8))
    create_crops(path, columns, attributes)
    for first in range(0, count, SHARD):
        rows = range(first, min(first + SHARD, count))
        masks = np.stack([ellipses(STORED, GRADERS, seed) for seed in rows])
        bits = (masks << np.arange(GRADERS, dtype=np.uint8)[:, None, None]).sum(1, dtype=np.uint8)
        write_shard(path, first // SHARD, image=np.zeros(bits.shape, np.int16), masks=bits)
    seal(path)


def write_samples(path: Path, store: Path) -> None:
    """Write samples for all crops of a store."""
    count = len(open_crops(store))
    attributes = SampleAttributes(
        run=RUN.folder,
        classes=2,
        size=(SIZE, SIZE),
        samples=SAMPLES,
        population=0,
        store=open_crops(store).digest,
        weights_sha256=("",),
        weights_step=(0,),
        versions={},
    )

    def part(first: int) -> dict[str, Packed]:
        rows = range(first, min(first + PART, count))
        drawn = [pack(ellipses(SIZE, SAMPLES + 1, CROPS + row).astype(bool)) for row in rows]
        return {"samples": np.stack(drawn)[:, 1:], "deterministic": np.stack(drawn)[:, 0]}

    write_sample_parts(path, attributes, np.arange(count), map(part, range(0, count, PART)))


def ellipses(size: int, members: int, seed: int) -> np.ndarray:
    """Return random ellipses (members, size, size) uint8 of 0 and 1, one in five empty."""
    random = np.random.default_rng(seed)
    y, x = np.ogrid[:size, :size]
    centre = random.normal(size / 2, 4, (2, members, 1, 1))
    radius = random.uniform(4, 24, (2, members, 1, 1)) * (random.random((members, 1, 1)) < 0.8)
    with np.errstate(divide="ignore"):
        inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
    return inside.astype(np.uint8)


if __name__ == "__main__":
    main()
