from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.cityscapes import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.prepare.folds import check_folds, check_origin, draw_folds, official_folds
from probunet.store import SceneAttributes, SceneColumns, Scenes


def crops_of(patients: list[str]):
    return SimpleNamespace(
        path=Path("data/lidc.zarr"),
        attributes=SimpleNamespace(dataset="lidc"),
        subjects=np.array(patients),
    )


def crops(number: int):
    return crops_of([f"P{i:03}" for i in range(number)] * 2)


@given(patients=st.integers(2, 60), folds=st.integers(2, 60), seed=st.integers(0, 2**31 - 1))
def test_folds_are_disjoint_and_cover(patients, folds, seed):
    folds = min(folds, patients)
    drawn = draw_folds(crops(patients), folds, seed)
    everybody = {f"P{i:03}" for i in range(patients)}
    tested = [patient for fold in drawn.folds for patient in fold.test]
    assert len(tested) == patients
    assert set(tested) == everybody
    for fold in drawn.folds:
        parts = [*fold.train, *fold.validation, *fold.test]
        assert len(parts) == patients
        assert set(parts) == everybody
        assert min(len(fold.train), len(fold.test)) >= 1
        # nobody is left to validate where one patient remains
        assert bool(fold.validation) == (patients - len(fold.test) > 1)
    sizes = [len(fold.test) for fold in drawn.folds]
    assert max(sizes) - min(sizes) <= 1
    assert draw_folds(crops(patients), folds, seed) == drawn


def test_a_sixth_of_the_rest_validates():
    drawn = draw_folds(crops(24), 4, 0)
    assert [len(fold.validation) for fold in drawn.folds] == [3] * 4
    assert [len(fold.train) for fold in drawn.folds] == [15] * 4


def test_seeds_draw_different_folds():
    assert draw_folds(crops(24), 4, 0).folds != draw_folds(crops(24), 4, 1).folds


def test_drawn_folds_read_back(tmp_path):
    drawn = draw_folds(crops(9), 3, 0)
    drawn.write(tmp_path / "folds.json")
    assert Folds.read(tmp_path / "folds.json") == drawn


def test_more_folds_than_patients_is_told():
    with pytest.raises(ProbunetError, match=r"folds: 40 is more than the 24 patients.*2 to 24"):
        draw_folds(crops(24), 40, 0)


def test_one_patient_is_too_few():
    with pytest.raises(ProbunetError, match="holds 1 patient; a fold needs two"):
        draw_folds(crops(1), 2, 0)


def test_a_store_of_another_origin_is_refused():
    store = crops(24)
    store.attributes.source = "phantom"
    store.attributes.left_out_patients = ("P999",)
    check_origin(store, None, None)
    check_origin(store, "phantom", 25)
    with pytest.raises(ProbunetError, match=r"lidc\.source: local, but .* made with phantom"):
        check_origin(store, "local", None)
    with pytest.raises(ProbunetError, match=r"lidc\.patients: 8, but .* made with 25"):
        check_origin(store, "phantom", 8)


def own(*folds: Fold) -> Folds:
    return Folds(dataset="lidc", folds=folds)


def test_own_folds_may_leave_patients_out():
    fold = Fold(train=("P000",), validation=("P001",), test=("P002",))
    check_folds(own(fold, fold), crops(5), 2)


def test_own_folds_of_another_number_are_refused():
    fold = Fold(train=("P000",), validation=("P001",), test=("P002",))
    with pytest.raises(ProbunetError, match=r"folds: 4, but the folds file holds 1"):
        check_folds(own(fold), crops(5), 4)


def test_unknown_patients_are_named():
    fold = Fold(train=("P000", "nobody"), validation=("P001",), test=("P002",))
    with pytest.raises(ProbunetError, match=r"names nobody, of whom data/lidc\.zarr has no crop"):
        check_folds(own(fold), crops(5), 1)


def scenes_of(cities, synthetic=True) -> Scenes:
    """An open store of two scenes of each city, without pictures."""
    attributes = SceneAttributes(
        dataset="cityscapes",
        source="phantom",
        synthetic=synthetic,
        protocol="kohl2018-cityscapes",
        size=(8, 16),
        resampling="",
        labels="",
        flips={},
        left_out={"empty file": 3},
        manifest_sha256="",
        licence="",
        versions={},
    )
    city = np.repeat(np.array(sorted(cities)), 2)
    columns = SceneColumns(city=city, frame=np.arange(len(city)).astype(str))
    image = np.zeros((len(city), 1))
    return Scenes(Path("data/cityscapes.zarr"), attributes, "", columns, image, image)


def test_folds_over_cities():
    cities = {*TRAIN_CITIES, *VALIDATION_CITIES, *TEST_CITIES}
    drawn = draw_folds(scenes_of(cities), 4, 0)
    assert {city for fold in drawn.folds for city in fold.test} == cities
    assert {city for part in drawn.folds[0] for city in part[1]} == cities
    with pytest.raises(ProbunetError, match=r"folds: 22 is more than the 21 cities in .*2 to 21"):
        draw_folds(scenes_of(cities), 22, 0)
    with pytest.raises(ProbunetError, match="holds 1 city; a fold needs two"):
        draw_folds(scenes_of(["ulm"]), 2, 0)
    unknown = Fold(train=("ulm",), validation=(), test=("utopia",))
    with pytest.raises(ProbunetError, match=r"names utopia, of which .*\.zarr has no scene"):
        check_folds(own(unknown), scenes_of(cities), 1)


def test_the_official_split():
    cities = {"zurich", "aachen", *VALIDATION_CITIES, *TEST_CITIES}
    (fold,) = official_folds(scenes_of(cities)).folds
    assert fold == Fold(
        train=("aachen", "zurich"),
        validation=("darmstadt", "monchengladbach", "ulm"),
        test=("frankfurt", "lindau", "munster"),
    )


@pytest.mark.parametrize(
    ("more", "less", "message"),
    [
        ({"utopia"}, set(), "does not know utopia; .*split: cities"),
        (set(), {"ulm", "lindau"}, "needs lindau, ulm, of which the store has no scene.*cities"),
        (set(), {"aachen"}, "needs training cities, of which the store has no scene"),
    ],
)
def test_a_store_that_the_official_split_does_not_fit_is_told(more, less, message):
    cities = {"aachen", *VALIDATION_CITIES, *TEST_CITIES, *more} - less
    with pytest.raises(ProbunetError, match=message):
        official_folds(scenes_of(cities))


def test_absent_training_cities_are_told(caplog):
    cities = {*TRAIN_CITIES, *VALIDATION_CITIES, *TEST_CITIES} - {"jena"}
    official_folds(scenes_of(cities, synthetic=False))
    assert "trains without jena" in caplog.text
    caplog.clear()
    official_folds(scenes_of(cities))
    assert caplog.text == ""


def test_crops_have_no_official_split():
    with pytest.raises(ProbunetError, match="has no official split"):
        official_folds(crops(3))


def test_scenes_of_another_origin_are_refused():
    store = scenes_of(["aachen", "ulm"])
    check_origin(store, "phantom", 4 + 3, (8, 16))
    check_origin(store, None, None)
    for source, count, size, message in (
        ("local", None, None, r"cityscapes\.source: local, but .* made with phantom"),
        (None, 4, None, r"cityscapes\.images: 4, but .* made with 7"),
        (None, None, (16, 8), r"cityscapes\.size: \[16, 8\], but .* made with \[8, 16\]"),
    ):
        with pytest.raises(ProbunetError, match=message):
            check_origin(store, source, count, size)
