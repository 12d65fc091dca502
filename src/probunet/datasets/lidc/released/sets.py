"""What is known of each released set of crops."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LICENCE = (
    "CC BY 3.0, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX (LIDC-IDRI, of which "
    "these are crops)"
)


@dataclass(frozen=True)
class ReleasedSet:
    """A released set of crops; its name is its `source` and its stores' protocol."""

    title: str
    about: str  # for the report: how the crops were made, as far as that is known
    side: int  # pixels, of its square crops
    values: str  # NumPy type of the stored images
    window: tuple[float, float]  # values that are scaled to 0 and 1
    spacing: float | None  # mm per pixel; None: that of each slice, which is not recorded
    # crops and patients, or series, of each part of the released split; "" is the whole set
    counts: Mapping[str, tuple[int, int]]
    counted: Literal["patients", "series"] = "patients"


SETS = {
    "hpunet": ReleasedSet(
        title="v2, released with the Hierarchical Probabilistic U-Net",
        about="8-bit crops of 180 x 180 pixels, released with Kohl et al. (2019); how their "
        "intensities were scaled is not documented",
        side=180,
        values="uint8",
        window=(0.0, 255.0),
        spacing=0.5,
        counts={"train": (8843, 530), "val": (1993, 111), "test": (1980, 103)},
    ),
    "knegt": ReleasedSet(
        title="v1, released with the PyTorch port of the Probabilistic U-Net",
        about="crops of 128 x 128 pixels of each slice's own size, intensities between 0 and 1; "
        "how they were scaled is not documented",
        side=128,
        values="float32",
        window=(0.0, 1.0),
        spacing=None,
        counts={"": (15096, 875)},
        counted="series",
    ),
    "slices": ReleasedSet(
        title="LIDC-IDRI-slices",
        about="8-bit crops of 128 x 128 pixels of each slice's own size; how their intensities "
        "were scaled is not documented",
        side=128,
        values="uint8",
        window=(0.0, 255.0),
        spacing=None,
        counts={"": (15548, 875)},
    ),
}
