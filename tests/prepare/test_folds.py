"""Folds: drawn, the user's own, and of the very store that the configuration asks for."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.datasets.cityscapes.config import CityscapesSource
from probunet.datasets.cityscapes.labels import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.folder.store import open_images
from probunet.datasets.lidc.config import LidcSource
from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.prepare.folds import check_folds, check_origin, choose_folds, draw_folds
from support.crops import crops_of
from support.own_images import write_store
from support.streets import scenes_of

ALL_CITIES = sorted({*TRAIN_CITIES, *VALIDATION_CITIES, *TEST_CITIES})


def crops(number: int, **attributes):
    return crops_of([f"P{i:03}" for i in range(number)] * 2, **attributes)


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


def test_a_sixth_of_the_others_validates():
    drawn = draw_folds(crops(24), 4, 0)
    assert [len(fold.validation) for fold in drawn.folds] == [3] * 4
    assert [len(fold.train) for fold in drawn.folds] == [15] * 4


def test_seeds_draw_different_folds():
    assert draw_folds(crops(24), 4, 0).folds != draw_folds(crops(24), 4, 1).folds


def test_drawn_folds_read_back(tmp_path):
    drawn = draw_folds(crops(9), 3, 0)
    drawn.write(tmp_path / "folds.json")
    assert Folds.read(tmp_path / "folds.json") == drawn


def test_cities_are_kept_together():
    drawn = draw_folds(scenes_of(ALL_CITIES * 2), 4, 0)
    assert {city for fold in drawn.folds for city in fold.test} == set(ALL_CITIES)
    assert {city for part in drawn.folds[0] for city in part[1]} == set(ALL_CITIES)


@pytest.mark.parametrize(
    ("data", "folds", "message"),
    [
        (crops(24), 40, r"folds: 40 is more than the 24 patients in .*; choose 2 to 24"),
        (crops(24), 1, r"folds: 1 needs a fixed split in .*; choose 2 to 24"),
        (crops(1), 2, "holds 1 patient; folds need at least two"),
        (scenes_of(ALL_CITIES), 22, r"folds: 22 is more than the 21 cities in .*2 to 21"),
        (scenes_of(["ulm"]), 2, "holds 1 city; folds need at least two"),
    ],
)
def test_a_number_of_folds_that_cannot_be_drawn(data, folds, message):
    with pytest.raises(ProbunetError, match=message):
        draw_folds(data, folds, 0)


@pytest.mark.parametrize(
    ("source", "number", "message"),
    [
        (LidcSource(source="phantom"), 40, "folds: 40 is more than"),
        (LidcSource(source="phantom", patients=9), 2, "datasets.lidc.patients: 9, but"),
        (LidcSource(source="phantom", folds_file="f.json"), 2, "folds: 2, but the folds file"),
    ],
)
def test_an_error_names_the_file_or_the_option_of_the_settings(
    source, number, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    own(FOLD).write(tmp_path / "f.json")
    for where, begin in (({"where": "mine.yaml"}, "mine.yaml: "), ({}, "--settings: ")):
        with pytest.raises(ProbunetError) as caught:
            choose_folds(crops(5), source, number, **where)
        assert str(caught.value).startswith(begin + message)
        assert "config.yaml" not in str(caught.value)


def own(*folds: Fold) -> Folds:
    return Folds(dataset="lidc", folds=folds)


FOLD = Fold(train=("P000",), validation=("P001",), test=("P002",))
UNKNOWN = Fold(train=("P000", "ulm"), validation=(), test=("utopia",))


OTHER = Fold(train=("P000",), validation=(), test=("P003", "P004"))


def test_own_folds_may_leave_patients_out(caplog):
    check_folds(own(FOLD, OTHER), crops(7), 2)
    assert not caplog.text


def test_patients_in_several_test_sets_are_warned_about(caplog):
    again = OTHER.model_copy(update={"test": ("P002", "P004")})
    check_folds(own(FOLD, OTHER, again), crops(7), 3)
    assert "tests 2 of the 3 patients in several folds (P002, P004)" in caplog.text


@pytest.mark.parametrize(
    ("folds", "data", "number", "message"),
    [
        (own(FOLD), crops(5), 4, "folds: 4, but the folds file holds 1; make the two equal"),
        (own(UNKNOWN), crops(5), 1, r"names patients without any crop in data/lidc\.zarr: ulm, ut"),
        (own(UNKNOWN), scenes_of(["ulm"]), 1, r"cities without any scene in .*: P000, utopia"),
        (
            own(FOLD).model_copy(update={"dataset": "cats"}),
            crops(5),
            1,
            "the folds file is of the data set cats, but .* contains lidc; correct `dataset`",
        ),
    ],
)
def test_own_folds_that_do_not_fit(folds, data, number, message):
    with pytest.raises(ProbunetError, match=message):
        check_folds(folds, data, number)


@pytest.fixture(params=["lidc", "cityscapes", "mine"])
def data_and_source(request, tmp_path):
    """A store of each kind, and a function that makes its section of the configuration."""
    if request.param == "lidc":
        return crops(3), partial(LidcSource, source="phantom")
    if request.param == "cityscapes":
        scenes = scenes_of(["P000", "P001", "P002"], left_out={"empty file": 7})
        return scenes, partial(CityscapesSource, source="phantom", images=10, size=(16, 32))
    images = open_images(write_store(tmp_path / "mine.zarr", [1] * 6, subjects=3))
    return images, partial(FolderSource, source="folder", path="here")


def test_a_fixed_split_is_one_fold_of_every_data_set(data_and_source, tmp_path):
    data, source = data_and_source
    subjects = sorted(set(data.subjects.tolist()))
    train, validation, test = ((one,) for one in subjects)
    split = Folds(
        dataset=data.attributes.dataset,
        folds=(Fold(train=train, validation=validation, test=test),),
    )
    split.write(tmp_path / "split.json")
    chosen = source(folds_file=str(tmp_path / "split.json"))
    assert choose_folds(data, chosen, 1) == split.model_copy(update={"split": "file"})
    with pytest.raises(ProbunetError, match="folds: 4, but the folds file holds 1"):
        choose_folds(data, chosen, 4)


def test_folds_are_of_the_section_s_choice():
    published, drawn = CityscapesSource(source="phantom"), CityscapesSource(split="cities")
    of_phantom = scenes_of(ALL_CITIES, left_out={"empty file": 99}, size=(256, 512))
    assert choose_folds(of_phantom, published, 1) == of_phantom.published_split()
    official = scenes_of(ALL_CITIES, source="official", size=(256, 512))
    assert choose_folds(official, drawn, 3, seed=5) == draw_folds(official, 3, 5)
    with pytest.raises(ProbunetError, match=r"source: official, but .* was made with phantom"):
        choose_folds(of_phantom, drawn, 3)


def test_crops_have_no_published_split():
    with pytest.raises(ProbunetError, match="this data set has no published split; use drawn"):
        crops(3).published_split()


CROPS = crops(24, left_out_patients=("P999",))
SCENES = scenes_of(["aachen", "ulm"] * 2, left_out={"empty file": 9}, size=(8, 16))


def test_a_store_of_the_origin_that_is_asked_for():
    check_origin(CROPS, LidcSource(source="phantom", patients=25))
    check_origin(CROPS, LidcSource(source="phantom"))
    check_origin(SCENES, CityscapesSource(source="phantom", images=13, size=(8, 16)))


@pytest.mark.parametrize(
    ("data", "source", "message"),
    [
        (CROPS, LidcSource(source="idc"), r"lidc\.source: idc, but .* made with phantom; name an"),
        (CROPS, LidcSource(source="phantom", patients=8), r"lidc\.patients: 8, but .* with 25"),
        (
            SCENES,
            CityscapesSource(source="local", path="here", size=(8, 16)),
            r"cityscapes\.source: local, but .* made with phantom",
        ),
        (
            SCENES,
            CityscapesSource(source="phantom", images=14, size=(8, 16)),
            r"cityscapes\.images: 14, but .* made with 13",
        ),
        (
            SCENES,
            CityscapesSource(source="phantom", images=13, size=(16, 8)),
            r"cityscapes\.size: \[16, 8\], but .* made with \[8, 16\]",
        ),
    ],
)
def test_a_store_of_another_origin_is_refused(data, source, message):
    with pytest.raises(ProbunetError, match=message):
        check_origin(data, source)


@pytest.mark.parametrize(
    ("first", "second"),
    [("P1", "p1"), ("P 1", "P1"), ("M\u00fcller", "Mu\u0308ller"), ("\uff301", "P1"), ("ß", "SS")],
)
def test_subjects_that_look_alike_are_told(caplog, first, second):
    data = crops_of([first, second, "other"])
    choose_folds(data, LidcSource(source=data.attributes.source), 2)
    assert "1 subject differs from another one only in case, spaces or form" in caplog.text
    assert f"({min(first, second)} and {max(first, second)})" in caplog.text


def test_subjects_that_differ_are_not_told(caplog):
    data = crops_of(["P1", "P10", "P-1"])
    choose_folds(data, LidcSource(source=data.attributes.source), 2)
    assert "warning" not in caplog.text
