from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from probunet import store
from probunet.metrics.bits import GRADERS, pack
from probunet.run import Run

CROP = 128
MARGIN = (store.SIZE - CROP) // 2


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed store of 10 crops of 5 patients with random discs as masks."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("crops") / "lidc.zarr"
    n = 10
    columns = store.Columns(
        patient=np.array([f"LIDC-IDRI-{i // 2:04}" for i in range(n)]),
        series=np.array([f"1.2.{i // 2}" for i in range(n)]),
        z=np.arange(n, dtype=np.float64),
        lesion=np.zeros(n, dtype=np.int32),
        annotations=np.full(n, 4, dtype=np.uint8),
    )
    attributes = store.CropAttributes(
        dataset="lidc",
        source="phantom",
        synthetic=True,
        protocol="kohl2018",
        spacing=0.5,
        outlines="inside",
        more_than_four="first four",
        annotations={"4": n},
        left_out={},
        left_out_patients=(),
        manifest_sha256="0",
        licence="none",
        versions={},
    )
    store.create_crops(path, columns, attributes)
    graders = np.stack([discs(random, n) for _ in range(GRADERS)])
    masks = sum(graders[g].astype(np.uint8) << g for g in range(GRADERS))
    store.write_shard(path, 0, image=np.zeros(masks.shape, np.int16), masks=masks.astype(np.uint8))
    store.seal(path)
    return path


def discs(random: np.random.Generator, n: int) -> NDArray[np.bool_]:
    """Discs (n, 180, 180), one in five of them empty."""
    y, x = np.ogrid[: store.SIZE, : store.SIZE]
    centre = random.normal(90, 6, (2, n, 1, 1))
    radius = random.uniform(5, 70, (n, 1, 1)) * (random.random((n, 1, 1)) < 0.8)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


@pytest.fixture(scope="module")
def sampled(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a store of random samples for a run."""

    def write(
        run: Run,
        rows: list[int],
        samples: int = 8,
        digest: str | None = None,
        reconstruction: NDArray[np.bool_] | None = None,
    ) -> Path:
        random = np.random.default_rng(run.fold + 100 * run.seed + int(1000 * run.beta))
        path = tmp_path_factory.mktemp("results") / run.folder / "samples.zarr"
        path.parent.mkdir(parents=True)
        centre = slice(MARGIN, MARGIN + CROP)
        drawn = np.stack([discs(random, samples + 1)[:, centre, centre] for _ in rows])
        store.write_samples(
            path,
            store.SampleAttributes(
                run=run.folder,
                classes=2,
                size=(CROP, CROP),
                samples=samples,
                store=digest or store.open_crops(crops).digest,
                weights_sha256=("0",),
                weights_step=(1,),
                versions={},
            ),
            {
                "rows": np.array(rows),
                "samples": pack(drawn[:, 1:]),
                "deterministic": pack(drawn[:, 0]),
                "prior_mean": np.zeros((len(rows), 6), np.float32),
                "prior_log_sigma": np.zeros((len(rows), 6), np.float32),
                **({} if reconstruction is None else {"reconstruction": pack(reconstruction)}),
            },
        )
        return path

    return write
