"""The publisher's labels and cities.

As in `cityscapesscripts.helpers.labels` (version 2.3.0) and `leftImg8bit/{train,val,test}` (Cordts
et al. 2016).
"""

import numpy as np

from probunet.flips import IGNORE

LABELS_SOURCE = "cityscapesscripts 2.3.0, helpers.labels"
_TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
# train id by label id of the publisher's `_gtFine_labelIds.png`, of the trained and scored labels
TRAIN_IDS = {label: train for train, label in enumerate(_TRAINED)}
TRAIN_ID_OF = np.full(256, IGNORE, dtype=np.uint8)  # by label id; IGNORE for all others
TRAIN_ID_OF[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
LABEL_IDS = range(34)  # valid label ids, together with PLATE
PLATE = 255  # a licence plate, -1 stored as uint8

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
