"""A tiny store of street scenes, and samples of it that flip classes by their probabilities."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet import store
from probunet.datasets.cityscapes.store import SceneAttributes, SceneColumns, Scenes, create_scenes
from probunet.flips import CLASSES, FLIPS, IGNORE, draw_flips, flip
from probunet.run import Run

CITIES = ("frankfurt", "lindau", "munster")
LATENT = 6


def write_scenes(path: Path, scenes: int, size: tuple[int, int]) -> None:
    """Write scenes with a road, sidewalks, trees and sky; every third lacks people, one all."""
    random = np.random.default_rng(3)
    label = np.stack([street(size, random, k % 3 != 2) for k in range(scenes)])
    label[-1] = CLASSES.index("building")  # none of the ten classes
    label[:, -1:] = IGNORE
    shades = random.integers(40, 220, (256, 3))
    noise = random.normal(0, 12, (*label.shape, 3))
    image = np.clip(shades[label] + noise, 0, 255).astype(np.uint8)
    attributes = SceneAttributes(
        dataset="cityscapes",
        source="phantom",
        synthetic=True,
        protocol="kohl2018-cityscapes",
        size=size,
        resampling="pictures bilinear, labels nearest",
        labels="cityscapesscripts 2.3.0, helpers.labels",
        flips={name: str(p) for name, p in FLIPS.items()},
        left_out={"truncated or damaged PNG": 1},
        manifest_sha256="ef" * 32,
        licence="drawn <here>",
        versions={"probunet": "0.1.0"},
    )
    columns = SceneColumns(
        city=np.array([CITIES[k % len(CITIES)] for k in range(scenes)]),
        frame=np.array([f"{k:06}_000019" for k in range(scenes)]),
    )
    create_scenes(path, columns, attributes)
    store.write_shard(path, 0, image=image, label=label)
    store.seal(path)


def street(size: tuple[int, int], random: np.random.Generator, people: bool) -> NDArray[np.uint8]:
    """Return a label (H, W)."""
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    label = np.full(size, CLASSES.index("sky"), np.uint8)
    label[y > 0.3 + 0.1 * np.sin(9 * x + random.uniform(0, 6))] = CLASSES.index("building")
    middle, wide = random.uniform(0.3, 0.7), random.uniform(0.1, 0.3)
    trees = (x - middle) ** 2 + (y - 0.35) ** 2 < wide**2
    label[trees] = CLASSES.index("vegetation")
    label[y > 0.6] = CLASSES.index("sidewalk")
    label[(y > 0.6) & (np.abs(x - 0.5) < y - 0.4)] = CLASSES.index("road")
    at = random.uniform(0.2, 0.7)
    label[(np.abs(x - at) < 0.12) & (np.abs(y - 0.7) < 0.1)] = CLASSES.index("car")
    if people:
        for at in random.uniform(0, 1, 3):
            label[(np.abs(x - at) < 0.02) & (np.abs(y - 0.6) < 0.15)] = CLASSES.index("person")
    return label


def write_samples(
    folder: Path,
    run: Run,
    scenes: Scenes,
    rows: NDArray[np.int64],
    samples: int,
    latent: bool,
) -> None:
    """Write samples whose flips are exact, their pixels but for one in fifty."""
    random = np.random.default_rng([run.fold, len(run.model)])
    labels = np.asarray(scenes.label.oindex[rows])
    labels[labels == IGNORE] = CLASSES.index("road")

    def drawn(n: int) -> NDArray[np.uint8]:
        flipped = [flip(np.stack([one] * n), draw_flips(random, n)) for one in labels]
        out = np.stack(flipped)
        wrong = random.random(out.shape) < 0.02
        out[wrong] = random.integers(0, len(CLASSES), wrong.sum())
        return out

    truths = np.zeros((2, 1, LATENT), np.float32)
    arrays: dict[str, NDArray[np.generic]] = {
        "rows": rows,
        "samples": drawn(samples),
        "deterministic": drawn(1)[:, 0],
    }
    space = None
    if latent:
        arrays["prior_mean"] = random.normal(0, 1, (len(rows), LATENT)).astype(np.float32)
        arrays["prior_log_sigma"] = np.full((len(rows), LATENT), -0.5, np.float32)
        space = store.Latent(
            rows=rows[:2],
            directions=np.array([[4, 1], [0, 2]]),
            steps=np.linspace(-3, 3, 7, dtype=np.float32),
            grid=drawn(49)[:2].reshape(2, 7, 7, *labels.shape[1:]),
            posterior_mean=truths + np.array([[[1.0]], [[90.0]]], np.float32),
            posterior_log_sigma=truths - 1,
        )
    attributes = store.SampleAttributes(
        run=run.folder,
        classes=len(CLASSES),
        size=scenes.attributes.size,
        samples=samples,
        store=scenes.digest,
        weights_sha256=("cd" * 32,),
        weights_step=(1200,),
        versions={"probunet": "0.1.0", "torch": "2.13.0"},
    )
    store.write_samples(folder / "samples.zarr", attributes, arrays, space)
