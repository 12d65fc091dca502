"""Cost of comparing the files of sealed stores with their sha256 when they are read."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common import parser, write
from ged import GRADERS, SIZE, blobs
from probunet.config import Settings
from probunet.datasets.lidc.store import (
    PROTOCOL_VERSION,
    Columns,
    CropAttributes,
    create_crops,
    open_crops,
)
from probunet.metrics.bits import pack, unpack
from probunet.models import build
from probunet.models.device import choose_device
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import SHARD, SampleAttributes, seal, sealed, write_samples, write_shard

CROP, N = 128, (1, 4, 8, 16)
RUN = Run("lidc", "probabilistic_unet", 1.0, 0, 0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=2_000)
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="probunet-") as folder:
        store = write_crops(Path(folder, "lidc.zarr"), arguments.images)
        samples = draw_samples(Path(folder, "samples.zarr"), store, arguments.images // 4)
        calls: dict[str, Callable[[], Any]] = {
            "score": lambda: score_run(samples, store, Path(folder, "scores.parquet"), N),
            "training_start": lambda: start_training(store),
        }
        figures: dict[str, Any] = {"images": arguments.images}
        for name, call in calls.items():
            call()  # import modules, and fill the cache
            times = [measure(call) for _ in range(arguments.repeats)]
            whole, hashing = min(times)
            figures[f"{name}_seconds"] = round(whole, 3)
            figures[f"{name}_hashing_seconds"] = round(hashing, 4)
            figures[f"{name}_hashing_percent"] = round(100 * hashing / whole, 2)
    write(figures, arguments.json)


def measure(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the time of a call, and how much of it hashed files."""
    check, spent = sealed._check_file, [0.0]

    def timed(*arguments: Any) -> None:
        start = time.perf_counter()
        check(*arguments)
        spent[0] += time.perf_counter() - start

    sealed._check_file = timed
    try:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start, spent[0]
    finally:
        sealed._check_file = check


def start_training(store: Path) -> None:
    """Do what a training does before its first step: read its images, build its network."""
    crops, settings = open_crops(store), Settings()
    crops.batches(np.arange(len(crops)), settings, choose_device("cpu", None))
    build(RUN.model, settings.architecture_of(RUN.model))


def write_crops(path: Path, images: int) -> Path:
    """Write a store of noise, which compresses as badly as CT slices, with blobs as masks."""
    random = np.random.default_rng(0)
    columns = Columns(
        patient=np.array([f"LIDC-IDRI-{i // 16:04}" for i in range(images)]),
        series=np.array([f"2.25.{i // 16}" for i in range(images)]),
        z=np.arange(images) * 2.5,
        lesion=np.zeros(images, np.int32),
        annotations=np.full(images, GRADERS, np.uint8),
    )
    attributes = CropAttributes(
        dataset="lidc",
        source="phantom",
        synthetic=True,
        protocol="kohl2018",
        protocol_version=PROTOCOL_VERSION,
        spacing=0.5,
        outlines="",
        more_than_four="",
        annotations={},
        left_out={},
        left_out_patients=(),
        manifest_sha256="",
        licence="",
        versions={},
    )
    create_crops(path, columns, attributes)
    for shard, start in enumerate(range(0, images, SHARD)):
        count = min(SHARD, images - start)
        graders = unpack(blobs(count, GRADERS), SIZE, SIZE).astype(np.uint8)
        masks = sum(graders[:, g] << g for g in range(GRADERS))
        image = random.normal(-600, 300, (count, SIZE, SIZE)).astype(np.int16)
        write_shard(path, shard, image=image, masks=np.asarray(masks, np.uint8))
    seal(path)
    return path


def draw_samples(path: Path, store: Path, images: int) -> Path:
    """Write samples of every fourth image."""
    margin = (SIZE - CROP) // 2
    centre = slice(margin, margin + CROP)
    masks = unpack(blobs(images, max(N) + 1), SIZE, SIZE)[..., centre, centre]
    attributes = SampleAttributes(
        run=RUN.folder,
        classes=2,
        size=(CROP, CROP),
        samples=max(N),
        store=open_crops(store).digest,
        weights_sha256=("0",),
        weights_step=(1,),
        versions={},
    )
    arrays = {
        "rows": np.arange(images) * 4,
        "samples": pack(masks[:, 1:]),
        "deterministic": pack(masks[:, 0]),
    }
    write_samples(path, attributes, arrays)
    return path


if __name__ == "__main__":
    main()
