"""Released sets of crops, made up in the layouts of their publishers."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from probunet.datasets.lidc.released.store import ReleasedAttributes


def png(pixels: np.ndarray) -> bytes:
    """Return an array as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def crop(side: int, seed: int, marked: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return an 8-bit image (side, side), and masks (4, side, side) bool, the last ones empty."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side, side), np.uint8)
    masks = np.zeros((4, side, side), bool)
    for g in range(marked):
        masks[g, side // 2 - 5 - g : side // 2 + 5, side // 2 - 5 : side // 2 + 6] = True
    return image, masks


def write(path: Path, pixels: np.ndarray) -> None:
    """Write an array as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(pixels))


def write_slices_crop(
    root: Path, patient: str, lesion: int, place: int, marked: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Write a crop of LIDC-IDRI-slices, and return its image and masks."""
    image, masks = crop(128, sum(map(ord, patient)) + 100 * lesion + place, marked)
    folder = root / f"LIDC-IDRI-slices/{patient}/nodule-{lesion}"
    write(folder / f"images/slice-{place}.png", image)
    for g, mask in enumerate(masks):
        write(folder / f"mask-{g}/slice-{place}.png", mask.astype(np.uint8) * 255)
    return image, masks


def write_hpunet_crop(
    root: Path, split: str, patient: str, z: str, lesion: int = 0, marked: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Write a crop of the set `hpunet`, and return its image and masks."""
    image, masks = crop(180, sum(map(ord, patient + z)) + lesion, marked)
    name = f"z-{z}_c{lesion}"
    write(root / split / "images" / patient / f"{name}.png", image)
    for g, mask in enumerate(masks):
        write(root / split / "gt" / patient / f"{name}_l{g}.png", mask.astype(np.uint8) * 255)
    return image, masks


def released_attributes(protocol: str) -> ReleasedAttributes:
    """Return what a store of released crops says of itself."""
    return ReleasedAttributes(
        dataset="lidc",
        source=protocol,
        synthetic=False,
        protocol=protocol,
        side=180,
        values="uint8",
        window=(0, 255),
        spacing=None,
        annotations={},
        parts={},
        patients=None,
        left_out={},
        left_out_patients=(),
        warnings=(),
        manifest_sha256="",
        licence="",
        versions={},
    )
