"""The classes of Cityscapes and the random flips that make them ambiguous.

Classes as in the publisher's `cityscapesscripts.helpers.labels` (version 2.3.0; Cordts et al.
2016). Flips as in Kohl et al. 2018, section 3.2: each of five classes has a second name with a
known probability. All pixels of a class in an image have the same name, and the classes are
independent, so that an image has 2^5 modes.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from probunet.seeding import numpy_generator

IGNORE = 255  # label of pixels that losses and scores ignore

CLASSES = (  # by train id
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
    # the second names
    "sidewalk 2",
    "person 2",
    "car 2",
    "vegetation 2",
    "road 2",
)

FLIPS = {  # probability of the second name by class
    "sidewalk": Fraction(8, 17),
    "person": Fraction(7, 17),
    "car": Fraction(6, 17),
    "vegetation": Fraction(5, 17),
    "road": Fraction(4, 17),
}
FIRST = np.array([CLASSES.index(name) for name in FLIPS], dtype=np.uint8)  # (5,)
SECOND = np.array([CLASSES.index(f"{name} 2") for name in FLIPS], dtype=np.uint8)  # (5,)
PROBABILITIES = np.array([float(p) for p in FLIPS.values()])  # (5,)

# bit k of mode m: whether class k has its second name
MODES: NDArray[np.bool_] = (np.arange(2 ** len(FLIPS))[:, None] >> np.arange(len(FLIPS)) & 1) > 0
MODE_PROBABILITIES: NDArray[np.float64] = np.where(MODES, PROBABILITIES, 1 - PROBABILITIES).prod(
    axis=1
)


def draw_flips(generator: np.random.Generator, images: int) -> NDArray[np.bool_]:
    """Return random flips (images, 5)."""
    return generator.random((images, len(PROBABILITIES))) < PROBABILITIES


def flip(label: NDArray[np.uint8], flips: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return labels (..., H, W) whose classes have their second names where `flips` (..., 5)."""
    out = label.copy()
    for k, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
        out[(label == first) & flips[..., k, None, None]] = second
    return out


def drawn_label(label: NDArray[np.uint8], seed: int, row: int) -> NDArray[np.uint8]:
    """Return a label (H, W) with random flips, for the reconstruction by a posterior.

    `seed` is the run's, `row` the scene's row in the store.
    """
    return flip(label, draw_flips(numpy_generator(seed, "reconstruction", row), 1)[0])
