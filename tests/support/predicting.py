"""Weights of small networks before their first step, and CT series, for predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from probunet.models import build
from probunet.models.weights import WeightsInfo, save_weights
from probunet.prepared import Prepared
from support.settings import tiny_settings, with_one_latent_scale
from support.slices import write_slice

STUDY, FRAME = generate_uid(), generate_uid()
FIT = Prepared((32, 48), "fit", "uint8", 0.0)


def write_weights(
    path: Path,
    model: str = "probabilistic_unet",
    classes: tuple[str, ...] = ("background", "foreground"),
    in_channels: int = 1,
    seed: int = 0,
    prepared: Prepared | None = FIT,
    **changed: Any,
) -> Path:
    """Write untrained weights of a model for images of one's own."""
    settings = with_one_latent_scale(tiny_settings())
    architecture = settings.architecture_of(model) | {"initialisation": "he"}
    described = {
        "model": model,
        "architecture": architecture,
        "in_channels": in_channels,
        "classes": len(classes),
        "window": (0.0, 255.0),
        "crop": None,
        "run": f"mine/{model}/beta-1/fold-0/seed-{seed}",
        "store": "0" * 64,
        "step": 1,
        "validation_ged": None,
        "dataset": "mine",
        "class_names": list(classes),
        "prepared": None if prepared is None else prepared.written(),
    }
    shape = {"in_channels": in_channels, "classes": len(classes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    built = build(model, architecture, seed=seed, **shape)
    for name, value in built.named_parameters():  # so that samples differ, and probabilities too
        if name.endswith("weight"):
            value.data *= 1.5
    save_weights(path, built, WeightsInfo(**described | changed))
    return path


def write_whole_series(
    folder: Path,
    shape: tuple[int, int],
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    slices: int = 5,
) -> Path:
    """Write a series with all that a SEG needs, in an order that is not that of its files."""
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    for number in range(slices):
        position = np.array([-20.5, 30.25, 7]) + 2.5 * number * np.cross(row, column)
        write_slice(
            folder / f"{slices - number}.dcm",
            float(number),
            pixels=np.random.default_rng(number).integers(0, 1500, shape).astype("<i2"),
            Modality="CT",
            SliceLocation=None,
            ImagePositionPatient=position.tolist(),
            ImageOrientationPatient=list(orientation),
            SliceThickness=2.5,
            StudyInstanceUID=STUDY,
            FrameOfReferenceUID=FRAME,
        )
    return folder


def assert_same_places(found: NDArray[Any], drawn: NDArray[Any]) -> None:
    """Each marked pixel lies within half a pixel, mm, of where it was drawn."""
    assert len(found) == len(drawn)
    distances = np.linalg.norm(found[:, None] - drawn, axis=-1)
    assert distances.min(axis=0).max() < 0.35
    assert distances.min(axis=1).max() < 0.35
