"""A made-up folder of one's own: discs in PNG pictures and in a NIfTI volume, drawn by graders."""

import csv
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

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
