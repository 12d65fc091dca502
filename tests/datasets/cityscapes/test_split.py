"""The publisher's split, and stores that it does not fit."""

import pytest

from probunet.datasets.cityscapes.labels import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError
from probunet.folds import Fold
from support.streets import scenes_of

OTHERS = {*VALIDATION_CITIES, *TEST_CITIES}


def test_the_official_split():
    (fold,) = scenes_of(sorted({"zurich", "aachen", *OTHERS})).published_split().folds
    assert fold == Fold(
        train=("aachen", "zurich"),
        validation=("darmstadt", "monchengladbach", "ulm"),
        test=("frankfurt", "lindau", "munster"),
    )


@pytest.mark.parametrize(
    ("cities", "message"),
    [
        (OTHERS | {"aachen", "utopia"}, "does not contain utopia; .*split: cities"),
        (
            (OTHERS | {"aachen"}) - {"ulm", "lindau"},
            "needs scenes of lindau, ulm, which the store lacks.*cities",
        ),
        (OTHERS, "needs scenes of training cities, which the store lacks"),
    ],
)
def test_a_store_that_it_does_not_fit(cities, message):
    with pytest.raises(ProbunetError, match=message):
        scenes_of(sorted(cities)).published_split()


def test_absent_training_cities_are_named(caplog):
    cities = sorted({*TRAIN_CITIES, *OTHERS} - {"jena"})
    scenes_of(cities, synthetic=False).published_split()
    assert "has no scene of jena for training" in caplog.text
    caplog.clear()
    scenes_of(cities).published_split()
    assert caplog.text == ""
