import numpy as np
import pytest
from numpy.typing import NDArray

from probunet.datasets.cityscapes.labels import LABEL_IDS
from probunet.datasets.cityscapes.street_canvas import IDS
from probunet.datasets.cityscapes.streets import draw_street
from probunet.flips import FLIPS
from probunet.seeding import numpy_generator

Scene = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # picture and label ids


def street(index: int, size: tuple[int, int] = (64, 128), seed: int = 0) -> Scene:
    return draw_street(size, numpy_generator(seed, "street", index))


@pytest.fixture(scope="module")
def scenes():
    return [street(index) for index in range(60)]


@pytest.mark.parametrize("size", [(64, 128), (96, 96), (512, 1024)])
def test_form(size):
    picture, label = street(0, size)
    assert (picture.dtype, picture.shape) == (np.uint8, (*size, 3))
    assert (label.dtype, label.shape) == (np.uint8, size)


def test_ids_are_the_publisher_s():
    assert {IDS[name] for name in ("road", "sidewalk", "vegetation", "person", "car")} == {
        7, 8, 21, 24, 26
    }  # fmt: skip
    assert set(IDS.values()) < set(LABEL_IDS)


def test_same_draws_same_picture_and_others_differ():
    for one, again, other in zip(street(1), street(1), street(2), strict=True):
        np.testing.assert_array_equal(one, again)
        assert np.mean(one != other) > 0.1


@pytest.mark.parametrize("name", FLIPS)
def test_a_switched_class_is_in_most_scenes_and_not_in_all(name, scenes):
    pixels = np.array([np.count_nonzero(label == IDS[name]) for _, label in scenes])
    assert 0.7 < np.mean(pixels > 0) < 1
    # to be seen: of 8,192 pixels
    assert np.median(pixels[pixels > 0]) > 80


def test_the_rest_of_a_street_is_there(scenes):
    seen = np.mean([[np.any(label == IDS[name]) for name in IDS] for _, label in scenes], axis=0)
    share = dict(zip(IDS, seen, strict=True))
    for name in ("building", "sky", "pole", "rectification border"):
        assert share[name] == 1
    for name in ("wall", "fence", "traffic light", "traffic sign", "terrain", "rider", "truck",
                 "bus", "bicycle", "ego vehicle", "static"):  # fmt: skip
        assert 0 < share[name] < 1, name


def test_a_street_is_the_right_way_up(scenes):
    rows = np.arange(64)[:, None]
    for _, label in scenes:
        assert np.mean(rows * (label == IDS["sky"])) < np.mean(rows * (label == IDS["building"]))
        ground = label[50:] == IDS["road"]
        if np.any(label == IDS["road"]):
            assert np.mean(ground) > 0.3
            assert not np.any(label[:24] == IDS["road"])


def test_the_same_scene_at_another_size():
    for index in range(3):
        _, small = street(index, (64, 128))
        _, large = street(index, (256, 512))
        assert np.mean(small == large[2::4, 2::4]) > 0.9


def test_colour_alone_does_not_tell_the_class_and_does_help(scenes):
    """Neither one constant colour a class, nor pictures that have nothing to do with labels."""
    pictures = np.array([picture for picture, _ in scenes]).astype(float)
    labels = np.array([label for _, label in scenes])
    means = {name: pictures[labels == IDS[name]].mean(axis=0) for name in FLIPS}
    spread = {name: pictures[labels == IDS[name]].std(axis=0) for name in FLIPS}
    assert all(np.all(deviation > 12) for deviation in spread.values())
    names = list(FLIPS)
    true = np.concatenate([np.full(np.sum(labels == IDS[n]), i) for i, n in enumerate(names)])
    pixels = np.concatenate([pictures[labels == IDS[n]] for n in names])
    nearest = np.argmin([np.sum((pixels - means[n]) ** 2, axis=1) for n in names], axis=0)
    recall = np.mean([np.mean(nearest[true == i] == i) for i in range(len(names))])
    assert 0.35 < recall < 0.9
