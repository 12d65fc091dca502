"""Made-up images of one's own: discs that graders drew, as a folder of files and as a store."""

import csv
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from probunet.datasets.folder.manifest import GraderCheck
from probunet.datasets.folder.store import ImageAttributes, ImageColumns, create_images
from probunet.metrics.bits import mask_dtype
from probunet.store import seal, write_shard

HEADER = ["image", "subject", "mask_anna", "mask_ben", "mask_eva"]


def disc(size: tuple[int, int], radius: float, shift: float = 0) -> np.ndarray:
    """Return a disc around the middle, (H, W) bool."""
    y, x = np.ogrid[: size[0], : size[1]]
    return (y - size[0] / 2 - shift) ** 2 + (x - size[1] / 2) ** 2 < radius**2


def write_picture(path: Path, pixels: np.ndarray) -> str:
    """Write pixels as PNG, or TIFF by the path's ending; return its name in the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return f"{path.parent.name}/{path.name}"


def write_volume(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> str:
    """Write values (columns, rows, slices) as NIfTI; return the file's name in the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return f"{path.parent.name}/{path.name}"


def write_table(folder: Path, rows: list[list[str]], header: list[str] | None = None) -> Path:
    """Write the table; rows may leave out cells at their end."""
    header = HEADER if header is None else header
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([*row, *[""] * (len(header) - len(row))] for row in rows)
    return folder / "images.csv"


def write_folder(
    folder: Path, subjects: int = 4, size: tuple[int, int] = (32, 48), volumes: bool = True
) -> Path:
    """Write a folder of pictures and volumes of 16 bits; return the table.

    Each subject has two pictures, of one and of two graders, and a volume of four slices and three
    graders of which the first has none.
    """
    random, rows = np.random.default_rng(0), []
    for s in range(subjects):
        discs = [disc(size, 8 + g + s / 4) for g in range(3)]

        def seen(discs=discs) -> np.ndarray:
            noise = random.normal(0, 20, size)
            return (300 + 400 * np.mean(discs, axis=0) + noise).astype(np.uint16)

        masks = [discs[g].astype(np.uint8) * 255 for g in range(3)]
        for k in range(2):
            name = f"{s}{k}"
            row = [write_picture(folder / f"images/{name}.png", seen()), f"subject {s}"]
            for g in range(k + 1):
                row.append(write_picture(folder / f"masks/{name}_{g}.png", masks[g]))
            rows.append(row)
        if volumes:
            stack = np.stack([seen() for _ in range(4)], axis=-1).swapaxes(0, 1)
            row = [write_volume(folder / f"images/{s}.nii.gz", stack), f"subject {s}"]
            for g in range(3):
                marked = np.stack([masks[g] * (k > 0) for k in range(4)], axis=-1)
                row.append(write_volume(folder / f"masks/{s}_{g}.nii.gz", marked.swapaxes(0, 1)))
            rows.append(row)
    return write_table(folder, rows)


def write_flawed(folder: Path, flaw: str, subjects: int = 3) -> Path:
    """Write a folder of one picture a subject, with two graders, and a flaw; return the table.

    Flaws are `near black` (masks of 3 and 253 from a palette), `inverted` (the second grader's) and
    `swapped` (the columns of images and masks).
    """
    size, rows, random = (32, 48), [], np.random.default_rng(0)
    for s in range(subjects):
        marks = [disc(size, 8 + g + s).astype(np.uint8) for g in range(2)]
        pixels = (60 + 100 * marks[0] + random.normal(0, 9, size)).clip(0, 255).astype(np.uint8)
        masks = [one * 255 for one in marks]
        kind = "gif" if flaw == "near black" else "png"
        if flaw == "near black":
            masks = [3 + 250 * one for one in marks]
        if flaw == "inverted":
            masks[1] = 255 - masks[1]
        image = write_picture(folder / f"images/{s}.png", pixels)
        a, b = (write_picture(folder / f"masks/{s}_{g}.{kind}", masks[g]) for g in range(2))
        rows.append([a, f"P{s}", image] if flaw == "swapped" else [image, f"P{s}", a, b])
    header = ["image", "subject", "mask_anna", "mask_ben"]
    return write_table(folder, rows, header[:3] if flaw == "swapped" else header)


def write_store(
    path: Path,
    given: list[int],
    size: tuple[int, int] = (32, 48),
    channels: int = 1,
    values: str = "uint16",
    graders: int = 3,
    subjects: int = 4,
    checks: tuple[GraderCheck, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Path:
    """Write and seal a store of images, `given` telling by bits who has looked at each of them.

    Grader g draws a disc of radius 5 + 2 g, or nothing on every fifth image.
    """
    count, random = len(given), np.random.default_rng(0)
    discs = np.stack([disc(size, 5 + 2 * g) for g in range(graders)])
    bright = discs.mean(axis=0)[None, ..., None] * 500 + 200
    image = (bright + random.normal(0, 30, (count, *size, channels))).clip(0, 1000)
    masks = np.zeros((count, *size), mask_dtype(graders))
    for row, who in enumerate(given):
        for g in range(graders):
            if who >> g & 1 and (row + g) % 5:
                masks[row] |= discs[g].astype(masks.dtype) << g
    if values == "uint8":
        image = image / 4
    own = np.array([bin(who).count("1") for who in given])
    attributes = ImageAttributes(
        dataset=path.stem,
        source="folder",
        synthetic=False,
        size=size,
        channels=channels,
        values=values,
        graders=tuple(f"mask_{g}" for g in range(graders)),
        window=(0.0, 255.0) if values == "uint8" else (100.0, 900.0),
        window_from="set in the configuration",
        resampling="",
        resampled=0,
        annotations={str(n): int((own == n).sum()) for n in np.unique(own)},
        left_out={},
        left_out_subjects=(),
        unmarked=0,
        checks=checks,
        warnings=warnings,
        manifest_sha256="0",
        licence="none",
        versions={},
    )
    columns = ImageColumns(
        subject=np.array([f"P{row * subjects // count}" for row in range(count)]),
        name=np.array([f"images/{row}.png" for row in range(count)]),
        slice=np.full(count, -1, np.int32),
        given=np.array(given, masks.dtype),
    )
    create_images(path, columns, attributes)
    write_shard(path, 0, image=image.astype(values), masks=masks)
    seal(path)
    return path
