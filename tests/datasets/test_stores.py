"""Stores of all data sets: their layout, which stores of earlier versions have too, and their kind.

A difference here means that stores of earlier versions are no longer read: a new schema version.
"""

import numpy as np
import pytest
import zarr

from probunet.datasets import find, open_data
from probunet.datasets.cityscapes.store import Scenes, open_scenes
from probunet.datasets.folder.store import Images, LabelledImages, open_images, open_labelled
from probunet.datasets.lidc.store import Crops, open_crops
from probunet.errors import ProbunetError
from probunet.store import open_samples, seal, verify
from support.crops import write_crops
from support.label_images import write_labelled
from support.own_images import write_store
from support.streets import write_streets

ALL = {  # attributes of every store
    "schema": 2,
    "source": "phantom",
    "synthetic": True,
    "left_out": {},
    "manifest_sha256": "ea36",
    "licence": "CC0",
    "versions": {"probunet": "0.1.0", "zarr": "3.1.6"},
}
ATTRIBUTES = {
    "crops": ALL
    | {
        "kind": "crops",
        "dataset": "lidc",
        "protocol": "kohl2018",
        "spacing": 0.5,
        "padding": -1024,
        "outlines": "its own pixels do not belong to the lesion",
        "more_than_four": "the four with the largest area",
        "annotations": {"1": 147, "2": 73, "3": 85, "4": 209, "more than 4": 0},
        "left_out_patients": [],
        "absent_patients": 0,
    },
    "scenes": ALL
    | {
        "kind": "scenes",
        "dataset": "cityscapes",
        "protocol": "kohl2018-cityscapes",
        "size": [16, 32],
        "resampling": "picture: bilinear; label ids: nearest",
        "labels": "cityscapesscripts 2.3.0, helpers.labels",
        "flips": {"sidewalk": "8/17"},
    },
    "images": ALL
    | {
        "kind": "images",
        "dataset": "mine",
        "size": [32, 48],
        "channels": 1,
        "values": "uint16",
        "graders": ["mask_0", "mask_1", "mask_2"],
        "window": [100.0, 900.0],
        "window_from": "set in the configuration",
        "resampling": "images of another size are scaled",
        "resampled": 0,
        "annotations": {"1": 2},
        "left_out_subjects": [],
        "unmarked": 0,
    },
}
ATTRIBUTES["labelled"] = ATTRIBUTES["images"] | {
    "kind": "labelled",
    "values": "uint8",
    "classes": {"names": ["background", "disc", "cup"], "values": [0, 1, 2], "ignore": 255},
    "absent": "equal",
}
NEWER = {  # attributes that earlier versions do not have, with their defaults
    "crops": {"protocol_version": 1},
    "scenes": {"fit": "stretch", "other_ratio": None},
    "images": {"threshold": None, "checks": [], "warnings": []},
}
NEWER["labelled"] = NEWER["images"]
ARRAYS = {  # (n, ...), type, images in a chunk
    "crops": {
        "image": ((180, 180), "int16", 16),
        "masks": ((180, 180), "uint8", 16),
        "patient": ((), "int32", None),
        "series": ((), "int32", None),
        "z": ((), "float64", None),
        "lesion": ((), "int32", None),
        "annotations": ((), "uint8", None),
    },
    "scenes": {
        "image": ((16, 32, 3), "uint8", 1),
        "label": ((16, 32), "uint8", 1),
        "city": ((), "int32", None),
        "frame": ((), "int32", None),
    },
    "images": {
        "image": ((32, 48, 1), "uint16", 16),
        "masks": ((32, 48), "uint8", 16),
        "subject": ((), "int32", None),
        "name": ((), "int32", None),
        "slice": ((), "int32", None),
        "given": ((), "uint8", None),
    },
}
ARRAYS["labelled"] = {
    **ARRAYS["images"],
    "image": ((32, 48, 1), "uint8", 16),
    "labels": ((32, 48, 3), "uint8", 16),
}
del ARRAYS["labelled"]["masks"]
NAMES = {"patient", "series", "city", "frame", "subject", "name"}  # columns of names
OPENED = {"crops": Crops, "scenes": Scenes, "images": Images, "labelled": LabelledImages}


def write(path, kind):
    """Write a store of a kind as this version does."""
    if kind == "crops":
        nothing = np.zeros((3, 180, 180), np.int16)
        return write_crops(path, nothing, nothing.astype(np.uint8), ["a", "b", "b"])
    if kind == "labelled":
        return write_labelled(path, [1, 0b101, 0b10], (32, 48))
    return write_streets(path) if kind == "scenes" else write_store(path, [1, 0b101, 0b10])


@pytest.fixture(params=ATTRIBUTES)
def kind(request):
    return request.param


@pytest.fixture
def written(kind, tmp_path):
    return write(tmp_path / "some.zarr", kind)


def test_the_layout_is_that_of_earlier_versions(kind, written):
    group = zarr.open_group(written, mode="r")
    assert set(group.attrs) == {*ATTRIBUTES[kind], *NEWER[kind], "files", "seal"}
    found = {}
    for name, array in group.arrays():
        chunk = array.chunks[0] if array.shards else None
        assert array.shards is None or array.shards[0] == 64
        assert ("names" in array.attrs) == (name in NAMES)
        found[name] = array.shape[1:], str(array.dtype), chunk
    assert found == ARRAYS[kind]


def test_a_store_of_an_earlier_version_opens(kind, written):
    group = zarr.open_group(written, mode="r+")
    group.attrs.put(ATTRIBUTES[kind])
    seal(written)
    verify(written)
    data = open_data(written)
    assert type(data) is OPENED[kind]
    about = data.attributes.model_dump(mode="json")
    assert {"kind": kind, "schema": 2, **about} == ATTRIBUTES[kind] | NEWER[kind]
    assert set(data.columns_of(np.arange(len(data)))) == {
        "row", "subject", *(name for name, (shape, *_) in ARRAYS[kind].items() if not shape)
    }  # fmt: skip


def test_a_data_set_opens_its_stores(kind, written):
    data_set = find(ATTRIBUTES[kind]["dataset"])
    assert kind in (data_set.kind, *data_set.other_kinds)
    assert type(data_set.open(written)) is OPENED[kind]


@pytest.mark.parametrize(
    "open_it", [open_crops, open_scenes, open_images, open_labelled, open_samples]
)
def test_another_kind_is_refused(kind, written, open_it):
    if open_it.__name__ == f"open_{kind}":
        assert len(open_it(written)) > 0
    else:
        with pytest.raises(ProbunetError, match=f"'{kind}' of schema 2; this version of probunet"):
            open_it(written)


def test_an_unknown_kind_is_one_line_that_names_the_known_ones(written):
    zarr.open_group(written, mode="r+").attrs["kind"] = "volumes"
    with pytest.raises(ProbunetError, match=r"some\.zarr: .*'volumes'; .* reads .*crops") as told:
        open_data(written)
    assert "\n" not in str(told.value)
    for known in ("scenes", "images", "remove the folder"):
        assert known in str(told.value)
