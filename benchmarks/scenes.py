"""Seconds that all scores of a run on Cityscapes take: 500 scenes of 256x512, 16 samples, 32 modes.

    python benchmarks/scenes.py --json scenes.json

The scenes are drawn, hence synthetic; a sample is the label with flips, moved by up to 3 pixels.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from probunet.cityscapes import CLASSES, IGNORE, TRAIN_ID_OF, draw_flips, flip
from probunet.fetch.streets import draw_street
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import (
    SHARD,
    SampleAttributes,
    SceneAttributes,
    SceneColumns,
    create_scenes,
    open_scenes,
    seal,
    write_shard,
)
from probunet.store.samples import write_sample_parts

SCENES = 500
SIZE = (256, 512)
SAMPLES = 16
N = (1, 4, 8, 16)
TARGET = 60.0  # seconds on two cores
RUN = Run("cityscapes", "probabilistic_unet", 1.0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--scenes", type=int, default=SCENES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, samples = Path(folder, "cityscapes.zarr"), Path(folder, "samples.zarr")
        write_scenes(store, arguments.scenes)
        write_samples(samples, store)
        start = time.perf_counter()
        score_run(samples, store, Path(folder, "scores.parquet"), N)
        taken = time.perf_counter() - start
    figures = {"scenes": arguments.scenes, "samples": SAMPLES, "score_run_seconds": taken}
    text = json.dumps(figures | {"target_seconds": TARGET}, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


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
