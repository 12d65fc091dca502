import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from probunet.datasets.cityscapes import tree as cityscapes
from probunet.datasets.cityscapes.manifest import SceneLeftOut, SceneManifest, SceneReason
from probunet.datasets.cityscapes.phantom import fetch_street_phantom
from probunet.datasets.cityscapes.tree import fetch_scenes
from probunet.errors import ProbunetError
from probunet.files import sha256
from support.scene_trees import FETCHED as SIZE
from support.scene_trees import (
    label_path,
    picture_path,
    to_train_ids,
    write_png,
    write_scene,
    write_turned,
)

BAD = ("aachen", "000001_000019")  # the scene that tests spoil


@pytest.fixture
def tree(tmp_path):
    """Two scenes of aachen, one of ulm, one of munster; beside them what is not to be read."""
    root = tmp_path / "tree"
    for split, city, frame in (
        ("val", "munster", "000000_000019"),
        ("train", "ulm", "000003_000019"),
        ("train", "aachen", "000001_000019"),
        ("train", "aachen", "000000_000019"),
    ):
        write_scene(root, split, city, frame)
    stem = root / "gtFine/train/aachen/aachen_000000_000019_gtFine_"
    for name in ("color.png", "instanceIds.png", "polygons.json"):
        Path(f"{stem}{name}").write_text("not read")
    for stray in ("leftImg8bit/train_extra/bamberg/bamberg_000000_000019_leftImg8bit.png",
                  "gtCoarse/train/aachen/aachen_000000_000019_gtCoarse_labelIds.png",
                  "leftImg8bit/train/.DS_Store", "license.txt"):  # fmt: skip
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_text("not read")
    return root


def fetch(tree: Path, **options: Any) -> SceneManifest:
    return fetch_scenes(tree, tree.parent / "raw.json", workers=1, **options)


def only(manifest: SceneManifest) -> SceneLeftOut:
    """The one scene that was left out; the other three are all there."""
    [left_out] = manifest.left_out
    assert (left_out.city, left_out.frame) == BAD
    assert [(scene.city, scene.frame) for scene in manifest.scenes] == [
        ("aachen", "000000_000019"),
        ("munster", "000000_000019"),
        ("ulm", "000003_000019"),
    ]
    return left_out


def test_whole_tree(tree):
    manifest = fetch(tree)
    assert (manifest.dataset, manifest.source, manifest.synthetic) == ("cityscapes", "local", False)
    assert "non-commercial" in manifest.licence
    assert (manifest.left_out, Path(manifest.root)) == ((), tree.resolve())
    assert [(scene.city, scene.frame) for scene in manifest.scenes] == [
        ("aachen", "000000_000019"),
        ("aachen", "000001_000019"),
        ("munster", "000000_000019"),
        ("ulm", "000003_000019"),
    ]
    munster = manifest.scenes[2]
    assert tree / munster.picture.path == picture_path(tree, "val", munster.city, munster.frame)
    assert tree / munster.label.path == label_path(tree, "val", munster.city, munster.frame)
    for scene in manifest.scenes:
        for file in (scene.picture, scene.label):
            path = tree / file.path
            assert (path.stat().st_size, sha256(path)) == (file.bytes, file.sha256)


def test_manifest_comes_back_from_its_file(tree):
    assert fetch(tree) == SceneManifest.read(tree.parent / "raw.json")


def test_processes_do_not_change_the_manifest(tree, monkeypatch):
    picture_path(tree, "train", *BAD).write_bytes(b"")
    alone = fetch(tree)
    monkeypatch.setattr(cityscapes, "_SCENES_PER_PROCESS", 2)
    assert fetch_scenes(tree, tree.parent / "raw.json", workers=2) == alone


def test_links_are_followed(tree):
    real = tree.parent / "elsewhere"
    (tree / "leftImg8bit/train/ulm").rename(real)
    (tree / "leftImg8bit/train/ulm").symlink_to(real)
    assert fetch(tree).left_out == ()


def test_plates_and_unscored_ids_are_labels_too(tree):
    ids = np.resize(np.array([*range(34), 255], dtype=np.uint8), SIZE)
    write_png(label_path(tree, "train", *BAD), ids)
    assert fetch(tree).left_out == ()


@pytest.mark.parametrize(
    ("gone", "there", "reason"),
    [
        (label_path, picture_path, SceneReason.NO_LABEL),
        (picture_path, label_path, SceneReason.NO_PICTURE),
    ],
)
def test_one_half_of_a_scene(tree, gone, there, reason):
    gone(tree, "train", *BAD).unlink()
    left_out = only(fetch(tree))
    assert left_out.reason is reason
    assert tree / str(left_out.path) == there(tree, "train", *BAD)


def test_a_label_in_another_split_is_not_the_picture_s(tree):
    label = label_path(tree, "train", *BAD)
    (tree / "gtFine/val/aachen").mkdir()
    label.rename(label_path(tree, "val", *BAD))
    with pytest.raises(ProbunetError, match=r"aachen_000001_000019 is in train and in val"):
        fetch(tree)


def zeros(*shape: int, dtype: type = np.uint8):
    return np.zeros(shape, dtype)


FORM, FORM_OF_LABEL = SceneReason.PICTURE_FORM, SceneReason.LABEL_FORM
SIZES, IDS = SceneReason.SIZES_DIFFER, SceneReason.UNKNOWN_LABEL
OTHERS = {
    "grey picture": (picture_path, zeros(*SIZE), FORM, "8-bit grey"),
    "RGBA": (picture_path, zeros(*SIZE, 4), FORM, "8-bit RGBA"),
    "16-bit picture": (picture_path, zeros(*SIZE, dtype=np.uint16), FORM, "16-bit grey"),
    "small": (picture_path, zeros(8, 32, 3), SIZES, "8 x 32 and 16 x 32"),
    "colour label": (label_path, zeros(*SIZE, 3), FORM_OF_LABEL, "8-bit RGB"),
    "16-bit label": (label_path, zeros(*SIZE, dtype=np.uint16), FORM_OF_LABEL, "16-bit grey"),
    "turned": (label_path, zeros(*SIZE[::-1]), SIZES, "16 x 32 and 32 x 16"),
    "ids": (label_path, zeros(*SIZE) + np.uint8(34), IDS, "34"),
    "more ids": (label_path, np.resize(np.uint8([7, 34, 254, 255]), SIZE), IDS, "34, 254"),
}


@pytest.mark.parametrize(("path", "values", "reason", "detail"), OTHERS.values(), ids=OTHERS)
def test_pictures_and_labels_of_another_form(tree, path, values, reason, detail):
    written = write_png(path(tree, "train", *BAD), values)
    left_out = only(fetch(tree))
    assert (left_out.reason, left_out.detail) == (reason, detail)
    if path is label_path:  # of two that do not fit it is named
        assert tree / str(left_out.path) == written


@pytest.mark.parametrize("path", [picture_path, label_path])
@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (0, SceneReason.EMPTY),
        (20, SceneReason.TRUNCATED),
        (-1, SceneReason.TRUNCATED),
        (None, SceneReason.NOT_PNG),
    ],
)
def test_spoilt_files(tree, path, keep, reason):
    file = path(tree, "train", *BAD)
    file.write_bytes(b"Not found\n" if keep is None else file.read_bytes()[:keep])
    left_out = only(fetch(tree))
    assert left_out.reason is reason
    assert tree / str(left_out.path) == file


def test_the_publisher_s_test_set_has_no_labels_to_read(tree):
    write_scene(tree, "test", "berlin", "000000_000019")
    picture_path(tree, "test", "berlin", "000000_000019").write_bytes(b"not read")
    write_scene(tree, "test", "wuppertal", "000000_000019")
    manifest = fetch(tree)
    assert [scene.city for scene in manifest.scenes if scene.city > "n"] == ["ulm", "wuppertal"]
    [left_out] = manifest.left_out
    assert (left_out.city, left_out.reason) == ("berlin", SceneReason.UNLABELLED)


def test_what_is_left_out_is_counted_in_the_log(tree, caplog):
    caplog.set_level(logging.INFO)
    picture_path(tree, "train", "aachen", "000000_000019").write_bytes(b"")
    picture_path(tree, "train", *BAD).write_bytes(b"")
    write_png(label_path(tree, "train", "ulm", "000003_000019"), np.full(SIZE, 99, dtype=np.uint8))
    fetch(tree)
    told = [record.getMessage() for record in caplog.records]
    assert any("1 scenes of 1 cities" in line for line in told)
    first = "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert any(f"left out: {first}: empty file" in line for line in told)
    assert any("label ids out of range (99)" in line for line in told)


def test_a_scene_in_two_splits_is_refused(tree):
    write_scene(tree, "val", "ulm", "000003_000019")
    with pytest.raises(ProbunetError, match=r"ulm_000003_000019 is in train and in val"):
        fetch(tree)


@pytest.mark.parametrize("part", ["leftImg8bit", "gtFine"])
def test_a_tree_without_one_half_is_refused(tree, part):
    (tree / part).rename(tree / "other")
    with pytest.raises(ProbunetError, match=rf"holds no folder {part}; give the folder"):
        fetch(tree)
    assert not (tree.parent / "raw.json").exists()


def test_a_tree_without_scenes_is_refused(tmp_path):
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / "tree" / part).mkdir(parents=True)
    with pytest.raises(ProbunetError, match=r"no scene can be used \(none was found\)"):
        fetch(tmp_path / "tree")


def test_a_tree_of_bad_scenes_only_is_refused_with_their_reasons(tree):
    for path in tree.rglob("*_leftImg8bit.png"):
        path.write_bytes(b"")
    with pytest.raises(ProbunetError, match=r"no scene can be used \(empty file: 4\)"):
        fetch(tree)
    assert not (tree.parent / "raw.json").exists()


def test_train_ids_under_the_name_of_label_ids_are_refused(tree):
    to_train_ids(tree)
    with pytest.raises(ProbunetError) as refused:
        fetch(tree)
    told = str(refused.value)
    assert f"({SceneReason.TRAIN_IDS}: 4)" in told
    assert "*_gtFine_labelIds.png" in told
    assert "*_labelTrainIds.png" in told
    assert not (tree.parent / "raw.json").exists()


@pytest.mark.parametrize("ignored", [255, 0, 19])
def test_train_ids_with_another_ignored_id_are_refused(tree, ignored):
    """Public code also writes 19 for ignored pixels, or 0 and moves the classes by one."""
    to_train_ids(tree)
    for path in tree.rglob("*_gtFine_labelIds.png"):
        ids = np.asarray(Image.open(path))
        moved = ids + 1 if ignored == 0 else ids
        write_png(path, np.where(ids == 255, ignored, moved).astype(np.uint8))
    with pytest.raises(ProbunetError, match=str(SceneReason.TRAIN_IDS)):
        fetch(tree)


def test_train_ids_of_drawn_streets_are_refused(tmp_path):
    fetch_street_phantom(tmp_path / "tree", tmp_path / "phantom.json", 10, (64, 128), workers=1)
    assert len(fetch(tmp_path / "tree").scenes) == 10
    to_train_ids(tmp_path / "tree")
    with pytest.raises(ProbunetError, match=rf"{SceneReason.TRAIN_IDS}: 10"):
        fetch(tmp_path / "tree")


def test_train_ids_in_a_part_of_the_tree_are_left_out(tree, caplog):
    to_train_ids(tree / "gtFine/train/aachen")
    manifest = fetch(tree)
    assert [scene.city for scene in manifest.scenes] == ["munster", "ulm"]
    assert {out.reason for out in manifest.left_out} == {SceneReason.TRAIN_IDS}
    assert [out.frame for out in manifest.left_out] == ["000000_000019", "000001_000019"]
    assert f"2 cannot be used: {SceneReason.TRAIN_IDS}: 2" in caplog.text


FEW_CLASSES = {  # labels of a small tree without any of the ids that a whole street has
    "road": [7],
    "road and sidewalk": [7, 8, 255],
    "unlabelled": [0],
    "mostly unlabelled": [0, 0, 0, 1, 3, 4, 7],
    "road, building, wall": [1, 3, 7, 7, 11, 11, 12, 13, 17],
    "parking": [7, 7, 9, 11],
}


@pytest.mark.parametrize("ids", FEW_CLASSES.values(), ids=FEW_CLASSES)
def test_small_trees_of_few_classes_are_no_train_ids(tree, ids):
    for path in tree.rglob("*_gtFine_labelIds.png"):
        write_png(path, np.resize(np.uint8(ids), SIZE))
    assert fetch(tree).left_out == ()


@pytest.mark.parametrize(
    ("values", "detail"),
    [(zeros(*SIZE, 4), "8-bit RGBA"), (zeros(*SIZE, dtype=np.uint16), "16-bit grey")],
)
def test_colours_or_instances_under_the_name_of_label_ids_are_refused(tree, caplog, values, detail):
    for path in tree.rglob("*_gtFine_labelIds.png"):
        write_png(path, values)
    with pytest.raises(ProbunetError, match=r"one channel: 4\).*\*_color\.png.*instanceIds"):
        fetch(tree)
    assert detail in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_turn_pictures_and_labels(tree, orientation):
    for kind in (picture_path, label_path):
        path = kind(tree, "train", *BAD)
        write_turned(path, np.asarray(Image.open(path)), orientation)
    manifest = fetch(tree)
    assert manifest.left_out == ()
    assert manifest.scenes[1].size == (SIZE if orientation < 5 else SIZE[::-1])


def test_a_label_that_is_turned_otherwise_than_its_picture_is_refused(tree):
    path = label_path(tree, "train", *BAD)
    write_turned(path, np.asarray(Image.open(path)), 6)
    assert only(fetch(tree)).reason is SceneReason.SIZES_DIFFER


def test_a_folder_that_may_not_be_read_is_named(tree, monkeypatch):
    listed = Path.iterdir

    def refused(folder: Path) -> Iterator[Path]:  # as by chmod, which does not stop root
        if folder.name == "ulm":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ProbunetError, match=r"ulm.*cannot be read"):
        fetch(tree)


def test_a_file_that_cannot_be_read_is_named(tree):
    path = picture_path(tree, "train", *BAD)
    path.unlink()
    path.mkdir()
    with pytest.raises(
        ProbunetError, match=r"aachen_000001_000019_leftImg8bit.png: cannot be read"
    ):
        fetch(tree)
