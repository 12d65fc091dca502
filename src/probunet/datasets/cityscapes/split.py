"""The publisher's split of Cityscapes as one fold."""

import logging

from probunet.datasets.cityscapes.labels import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError, few
from probunet.folds import Fold, Folds
from probunet.truth.base import Data

logger = logging.getLogger(__name__)


def published_split(data: Data) -> Folds:
    """Return the one fold of the published split of Cityscapes (Kohl et al. 2018, appendix H.2).

    Three of the publisher's training cities are for validation, its validation cities for testing.

    Raises
    ------
    ProbunetError
        If the store has cities outside of the split, or lacks validation or test cities.
    """
    found = set(data.subjects.tolist())
    train = sorted(found & {*TRAIN_CITIES})
    unknown = sorted(found - {*TRAIN_CITIES, *VALIDATION_CITIES, *TEST_CITIES})
    lacking = sorted({*VALIDATION_CITIES, *TEST_CITIES} - found)
    instead = "draw folds with `split: cities` (datasets.cityscapes in the configuration)"
    if unknown:
        raise ProbunetError(
            f"{data.path}: the official split does not contain {few(unknown)}; {instead}."
        )
    if lacking or not train:
        what = few(lacking) if lacking else "training cities"
        raise ProbunetError(
            f"{data.path}: the official split needs scenes of {what}, which the store lacks; "
            f"fetch and prepare them, or {instead}."
        )
    if len(train) < len(TRAIN_CITIES) and not data.attributes.synthetic:
        absent = few(sorted({*TRAIN_CITIES} - found))
        logger.warning("%s: has no scene of %s for training", data.path, absent)
    fold = Fold(train=tuple(train), validation=VALIDATION_CITIES, test=TEST_CITIES)
    return Folds(dataset=data.attributes.dataset, split="official", folds=(fold,))
