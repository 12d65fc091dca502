"""Time of all scores of a run on Cityscapes: 500 scenes of 256x512, 16 samples, 32 modes.

The scenes are synthetic; a sample is the flipped label, moved by up to 3 pixels.
"""

import tempfile
from pathlib import Path

import numpy as np

from common import parser, seconds, write
from probunet.datasets.cityscapes.labels import TRAIN_ID_OF
from probunet.datasets.cityscapes.store import (
    SceneAttributes,
    SceneColumns,
    create_scenes,
    open_scenes,
)
from probunet.datasets.cityscapes.streets import draw_street
from probunet.flips import CLASSES, IGNORE, draw_flips, flip
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import SHARD, SampleAttributes, seal, write_sample_parts, write_shard

SCENES = 500
SIZE = (256, 512)
SAMPLES = 16
N = (1, 4, 8, 16)
TARGET = 60.0  # seconds on two cores
RUN = Run("cityscapes", "probabilistic_unet", 1.0, 0, 0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--scenes", type=int, default=SCENES)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, samples = Path(folder, "cityscapes.zarr"), Path(folder, "samples.zarr")
        write_scenes(store, arguments.scenes)
        write_samples(samples, store)
        time = seconds(lambda: score_run(samples, store, Path(folder, "scores.parquet"), N))
    figures = {"scenes": arguments.scenes, "samples": SAMPLES, "score_run_seconds": time}
    write(figures | {"target_seconds": TARGET}, arguments.json)


def write_scenes(path: Path, count: int) -> None:
    """Write a store of drawn scenes."""
    attributes = SceneAttributes(
        dataset="cityscapes",
        source="phantom",
        synthetic=True,
        protocol="kohl2018-cityscapes",
        size=SIZE,
        resampling="drawn in this size",
        labels="drawn",
        flips={},
        left_out={},
        manifest_sha256="",
        licence="CC0",
        versions={},
    )
    frames = np.array([f"{number:06}_000019" for number in range(count)])
    create_scenes(path, SceneColumns(np.full(count, "lindau"), frames), attributes)
    for first in range(0, count, SHARD):
        drawn = [
            draw_street(SIZE, np.random.default_rng(number))
            for number in range(first, min(first + SHARD, count))
        ]
        pictures, labels = (np.stack(part) for part in zip(*drawn, strict=True))
        write_shard(path, first // SHARD, image=pictures, label=TRAIN_ID_OF[labels])
    seal(path)


def write_samples(path: Path, store: Path) -> None:
    """Write samples for all scenes of a store."""
    scenes = open_scenes(store)
    attributes = SampleAttributes(
        run=RUN.folder,
        classes=len(CLASSES),
        size=SIZE,
        samples=SAMPLES,
        store=scenes.digest,
        weights_sha256=("",),
        weights_step=(0,),
        versions={},
    )
    random = np.random.default_rng(0)

    def part(row: int) -> dict[str, np.ndarray]:
        label = np.asarray(scenes.label[row])
        label[label == IGNORE] = CLASSES.index("building")
        named = flip(np.stack([label] * (SAMPLES + 1)), draw_flips(random, SAMPLES + 1))
        moved = [np.roll(one, random.integers(-3, 4, 2), axis=(0, 1)) for one in named]
        return {"samples": np.stack(moved[1:])[None], "deterministic": moved[0][None]}

    write_sample_parts(path, attributes, np.arange(len(scenes)), map(part, range(len(scenes))))


if __name__ == "__main__":
    main()
