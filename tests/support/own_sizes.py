"""Made-up images that keep their own sizes, as stores and as a folder."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.store import Images, LabelledImages, create_images
from probunet.flips import IGNORE
from probunet.metrics.bits import pack
from probunet.run import Run
from probunet.sample.draw import sample_run
from probunet.score.run import score_run
from probunet.store import seal, write_shard
from support.folds import write_folds
from support.label_images import write_labelled
from support.own_images import disc, write_picture, write_store, write_table
from support.predicting import write_weights
from support.settings import tiny_settings

Size = tuple[int, int]
Own = Images | LabelledImages
# a side below, at and above the patches of 32 pixels of `tiny_settings`
SIZES: list[Size] = [(20, 44), (32, 32), (70, 52), (20, 44), (33, 90), (70, 52), (8, 8), (70, 90)]
GIVEN = [7, 1, 6, 7, 2, 5, 7, 7]  # who has looked, by bits


def open_own(path: Path, sizes: list[Size] = SIZES, labelled: bool = False, seed: int = 0) -> Own:
    """Write and open a store of images of these sizes, of 1 to 3 graders each."""
    from probunet.datasets import open_data

    given = [GIVEN[row % len(GIVEN)] for row in range(len(sizes))]
    size = max(height for height, _ in sizes), max(width for _, width in sizes)
    if labelled:
        whole = write_labelled(path.with_name(f"whole-{path.name}"), given, size, seed=seed)
    else:
        whole = write_store(path.with_name(f"whole-{path.name}"), given, size)
    images = open_data(whole)
    height, width = np.array(sizes, np.int32).T
    columns = vars(images.columns) | {"height": height, "width": width}
    arrays = {name: np.asarray(getattr(images, name)) for name in names(images)}
    for row, (height, width) in enumerate(sizes):
        inside = np.zeros(size, bool)
        inside[:height, :width] = True
        for name, array in arrays.items():
            array[row, ~inside] = IGNORE if name == "labels" else 0
    _write(path, images, columns, arrays, size)
    return open_data(path)


def alone(path: Path, images: Own, row: int) -> Own:
    """Write and open a store of one of the images, whose array is as large as the image."""
    from probunet.datasets import open_data

    height, width = images.extents[row].tolist()
    columns = {name: column[row : row + 1] for name, column in vars(images.columns).items()} | {
        "height": None,
        "width": None,
    }
    arrays = {
        name: np.asarray(getattr(images, name))[row : row + 1, :height, :width]
        for name in names(images)
    }
    _write(path, images, columns, arrays, (height, width))
    return open_data(path)


def write_lively(path: Path, images: Own, run: Run, **training: Any) -> Path:
    """Write weights of a run before its first step, whose samples differ."""
    settings = tiny_settings(**training)
    return write_weights(
        path,
        "unet" if run.model == "unet_ensemble" else run.model,
        images.class_names,
        seed=4 if isinstance(images, LabelledImages) else 7,  # which draw several classes
        prepared=images.prepared(settings),
        crop=images.crop(settings),
        run=run.folder,
        store=images.digest,
        window=images.window(settings),
    )


def write_own_run(folder: Path, images: Own, run: Run) -> Path:
    """Write samples and scores of a run that tests the second half of the images."""
    output = folder / "results" / run.folder
    weights = write_lively(output / "weights.pt", images, run)
    folds = write_folds(folder / "folds.json", "mine", "P0", "P1", "P2 P3")
    samples = output / "samples.zarr"
    sample_run([weights], images.path, folds, run, tiny_settings(), samples, "cpu", 1)
    score_run(samples, images.path, output / "scores.parquet", (1, 4))
    return output


def names(images: Own) -> tuple[str, str]:
    """Return the names of the arrays of a store."""
    return ("image", "labels") if isinstance(images, LabelledImages) else ("image", "masks")


def stored(images: Own, maps: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return class ids (..., H, W) in the format of a store of samples."""
    return pack(maps.astype(bool)) if images.classes == 2 else maps


def write_sizes(folder: Path, subjects: int = 4, classes: int = 2) -> Path:
    """Write a folder with an image of each of three sizes for each subject; return the table.

    Masks are discs, of 255; of three classes, label maps with a smaller disc inside.
    """
    random, rows = np.random.default_rng(0), []
    for s in range(subjects):
        for k, size in enumerate([(24, 40), (48, 48), (90, 66)]):
            discs = [disc(size, 7 + g + s / 2) for g in range(2)]
            values = 60 + 100 * np.mean(discs, axis=0) + random.normal(0, 9, size)
            pixels = values.clip(0, 255).astype(np.uint8)
            row = [write_picture(folder / f"images/{s}{k}.png", pixels), f"subject {s}"]
            for g in range(1 + (s + k) % 2):
                mask = discs[g] * np.uint8(255)
                if classes > 2:
                    mask = discs[g].astype(np.uint8) + disc(size, 3 + g)
                row.append(write_picture(folder / f"masks/{s}{k}_{g}.png", mask))
            rows.append(row)
    return write_table(folder, rows, ["image", "subject", "mask_anna", "mask_ben"])


def _write(path: Path, like: Own, columns: dict, arrays: dict, size: Size) -> None:
    attributes = like.attributes.model_copy(update={"size": size, "dataset": "mine"})
    create_images(path, type(like.columns)(**columns), attributes)
    write_shard(path, 0, **arrays)
    seal(path)
