"""What Cityscapes is: its labels and cities, and the flips that make it ambiguous.

Labels and splits as in the publisher's `cityscapesscripts.helpers.labels` (version 2.3.0) and
`leftImg8bit/{train,val,test}` (Cordts et al. 2016). The flips are those of Kohl et al. 2018,
section 3.2: five classes are each called by a second name with a known probability, all pixels of
an image at once and each class on its own, which gives an image 2^5 modes.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from probunet.seeding import numpy_generator

LABELS_SOURCE = "cityscapesscripts 2.3.0, helpers.labels"
IGNORE = 255  # of pixels that have no part in the loss and the scores

# by label id of the publisher's `_gtFine_labelIds.png`, for those that are trained and scored
TRAIN_IDS = {
    7: 0,
    8: 1,
    11: 2,
    12: 3,
    13: 4,
    17: 5,
    19: 6,
    20: 7,
    21: 8,
    22: 9,
    23: 10,
    24: 11,
    25: 12,
    26: 13,
    27: 14,
    28: 15,
    31: 16,
    32: 17,
    33: 18,
}
TRAIN_ID_OF = np.full(256, IGNORE, dtype=np.uint8)  # by label id; of all others, IGNORE
TRAIN_ID_OF[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
LABEL_IDS = range(34)  # all that a label may hold; 255, a licence plate saved as -1, besides
PLATE = 255

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

FLIPS = {  # by class, the probability of its second name
    "sidewalk": Fraction(8, 17),
    "person": Fraction(7, 17),
    "car": Fraction(6, 17),
    "vegetation": Fraction(5, 17),
    "road": Fraction(4, 17),
}
FIRST = np.array([CLASSES.index(name) for name in FLIPS], dtype=np.uint8)  # (5,)
SECOND = np.array([CLASSES.index(f"{name} 2") for name in FLIPS], dtype=np.uint8)  # (5,)
PROBABILITIES = np.array([float(p) for p in FLIPS.values()])  # (5,)

# bit k of mode m: whether class k goes by its second name
MODES: NDArray[np.bool_] = (np.arange(2 ** len(FLIPS))[:, None] >> np.arange(len(FLIPS)) & 1) > 0
MODE_PROBABILITIES: NDArray[np.float64] = np.where(MODES, PROBABILITIES, 1 - PROBABILITIES).prod(
    axis=1
)

TRAIN_CITIES = (
    "aachen",
    "bochum",
    "bremen",
    "cologne",
    "dusseldorf",
    "erfurt",
    "hamburg",
    "hanover",
    "jena",
    "krefeld",
    "strasbourg",
    "stuttgart",
    "tubingen",
    "weimar",
    "zurich",
)
VALIDATION_CITIES = ("darmstadt", "monchengladbach", "ulm")  # of the publisher's `train`
TEST_CITIES = ("frankfurt", "lindau", "munster")  # the publisher's `val`
UNLABELLED_CITIES = ("berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich")  # its `test`


def draw_flips(generator: np.random.Generator, images: int) -> NDArray[np.bool_]:
    """Return flips (images, 5) drawn by their probabilities."""
    return generator.random((images, len(PROBABILITIES))) < PROBABILITIES


def flip(label: NDArray[np.uint8], flips: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return labels (..., H, W) with their classes called by the names that `flips` (..., 5) says.

    What is `IGNORE` stays so.
    """
    out = label.copy()
    for k, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
        out[(label == first) & flips[..., k, None, None]] = second
    return out


def drawn_label(label: NDArray[np.uint8], seed: int, row: int) -> NDArray[np.uint8]:
    """Return a label (H, W) with flips drawn for it: the one that a posterior is shown.

    `seed` is the run's, `row` the scene's in the data set's store.
    """
    return flip(label, draw_flips(numpy_generator(seed, "reconstruction", row), 1)[0])
