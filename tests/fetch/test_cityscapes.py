import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from probunet.errors import ProbunetError
from probunet.fetch import cityscapes as cityscapes
from probunet.fetch.cityscapes import fetch_scenes
from probunet.files import locked, sha256
from probunet.scene_manifest import SceneLeftOut, SceneManifest, SceneReason

SIZE = (16, 32)
BAD = ("aachen", "000001_000019")  # the scene that tests spoil


def picture_path(tree: Path, split: str, city: str, frame: str) -> Path:
    return tree / "leftImg8bit" / split / city / f"{city}_{frame}_leftImg8bit.png"


def label_path(tree: Path, split: str, city: str, frame: str) -> Path:
    return tree / "gtFine" / split / city / f"{city}_{frame}_gtFine_labelIds.png"


def write(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)
    return path


def write_scene(tree: Path, split: str, city: str, frame: str) -> None:
    draw = np.random.default_rng(abs(hash((city, frame))))
    colours = draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    write(picture_path(tree, split, city, frame), colours)
    ids = draw.integers(0, 34, SIZE, dtype=np.uint8)
    write(label_path(tree, split, city, frame), ids)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
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


def test_whole_tree(tree: Path) -> None:
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


def test_manifest_comes_back_from_its_file(tree: Path) -> None:
    assert fetch(tree) == SceneManifest.read(tree.parent / "raw.json")


def test_nothing_is_written_into_the_tree(tree: Path) -> None:
    def state() -> list[tuple[str, int, str]]:
        return [
            (str(p), p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
            for p in sorted(tree.rglob("*"))
            if p.is_file()
        ]

    before = state()
    fetch(tree)
    assert state() == before


def test_processes_do_not_change_the_manifest(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture_path(tree, "train", *BAD).write_bytes(b"")
    alone = fetch(tree)
    monkeypatch.setattr(cityscapes, "_SCENES_PER_PROCESS", 2)
    assert fetch_scenes(tree, tree.parent / "raw.json", workers=2) == alone


def test_links_are_followed(tree: Path) -> None:
    real = tree.parent / "elsewhere"
    (tree / "leftImg8bit/train/ulm").rename(real)
    (tree / "leftImg8bit/train/ulm").symlink_to(real)
    assert fetch(tree).left_out == ()


def test_plates_and_unscored_ids_are_labels_too(tree: Path) -> None:
    ids = np.resize(np.array([*range(34), 255], dtype=np.uint8), SIZE)
    write(label_path(tree, "train", *BAD), ids)
    assert fetch(tree).left_out == ()


def test_picture_without_a_label(tree: Path) -> None:
    label_path(tree, "train", *BAD).unlink()
    left_out = only(fetch(tree))
    assert left_out.reason is SceneReason.NO_LABEL
    assert tree / str(left_out.path) == picture_path(tree, "train", *BAD)


def test_label_without_a_picture(tree: Path) -> None:
    picture_path(tree, "train", *BAD).unlink()
    left_out = only(fetch(tree))
    assert left_out.reason is SceneReason.NO_PICTURE
    assert tree / str(left_out.path) == label_path(tree, "train", *BAD)


def test_a_label_in_another_split_is_not_the_picture_s(tree: Path) -> None:
    label = label_path(tree, "train", *BAD)
    (tree / "gtFine/val/aachen").mkdir()
    label.rename(label_path(tree, "val", *BAD))
    with pytest.raises(ProbunetError, match=r"aachen_000001_000019 lies in train and in val"):
        fetch(tree)


SPOILT_PICTURES = {
    "grey": (np.zeros(SIZE, dtype=np.uint8), SceneReason.PICTURE_FORM, "8-bit grey"),
    "RGBA": (np.zeros((*SIZE, 4), dtype=np.uint8), SceneReason.PICTURE_FORM, "8-bit RGBA"),
    "16-bit": (np.zeros(SIZE, dtype=np.uint16), SceneReason.PICTURE_FORM, "16-bit grey"),
    "small": (np.zeros((8, 32, 3), dtype=np.uint8), SceneReason.SIZES_DIFFER, "8 x 32 and 16 x 32"),
}
SPOILT_LABELS = {
    "colour": (np.zeros((*SIZE, 3), dtype=np.uint8), SceneReason.LABEL_FORM, "8-bit RGB"),
    "16-bit": (np.zeros(SIZE, dtype=np.uint16), SceneReason.LABEL_FORM, "16-bit grey"),
    "turned": (
        np.zeros(SIZE[::-1], dtype=np.uint8),
        SceneReason.SIZES_DIFFER,
        "16 x 32 and 32 x 16",
    ),
    "ids": (np.full(SIZE, 34, dtype=np.uint8), SceneReason.UNKNOWN_LABEL, "34"),
    "more ids": (
        np.resize(np.array([7, 34, 254, 255], dtype=np.uint8), SIZE),
        SceneReason.UNKNOWN_LABEL,
        "34, 254",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "reason", "detail"), SPOILT_PICTURES.values(), ids=SPOILT_PICTURES
)
def test_pictures_of_another_kind(tree: Path, values: Any, reason: str, detail: str) -> None:
    write(picture_path(tree, "train", *BAD), values)
    left_out = only(fetch(tree))
    assert (left_out.reason, left_out.detail) == (reason, detail)


@pytest.mark.parametrize(("values", "reason", "detail"), SPOILT_LABELS.values(), ids=SPOILT_LABELS)
def test_labels_of_another_kind(tree: Path, values: Any, reason: str, detail: str) -> None:
    path = write(label_path(tree, "train", *BAD), values)
    left_out = only(fetch(tree))
    assert (left_out.reason, left_out.detail) == (reason, detail)
    assert tree / str(left_out.path) == path


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
def test_spoilt_files(tree: Path, path: Any, keep: int | None, reason: SceneReason) -> None:
    file = path(tree, "train", *BAD)
    file.write_bytes(b"Not found\n" if keep is None else file.read_bytes()[:keep])
    left_out = only(fetch(tree))
    assert left_out.reason is reason
    assert tree / str(left_out.path) == file


def test_the_publisher_s_test_set_has_no_labels_to_read(tree: Path) -> None:
    write_scene(tree, "test", "berlin", "000000_000019")
    picture_path(tree, "test", "berlin", "000000_000019").write_bytes(b"not read")
    write_scene(tree, "test", "wuppertal", "000000_000019")
    manifest = fetch(tree)
    assert [scene.city for scene in manifest.scenes if scene.city > "n"] == ["ulm", "wuppertal"]
    [left_out] = manifest.left_out
    assert (left_out.city, left_out.reason) == ("berlin", SceneReason.UNLABELLED)


def test_what_is_left_out_is_counted_in_the_log(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    picture_path(tree, "train", "aachen", "000000_000019").write_bytes(b"")
    picture_path(tree, "train", *BAD).write_bytes(b"")
    write(label_path(tree, "train", "ulm", "000003_000019"), np.full(SIZE, 99, dtype=np.uint8))
    fetch(tree)
    told = [record.getMessage() for record in caplog.records]
    assert any("1 scenes of 1 cities" in line for line in told)
    first = "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert any(f"left out 2: empty file; first {first}" in line for line in told)
    assert any("left out 1: label ids out of range" in line and "(99)" in line for line in told)


def test_a_scene_in_two_splits_is_refused(tree: Path) -> None:
    write_scene(tree, "val", "ulm", "000003_000019")
    with pytest.raises(ProbunetError, match=r"ulm_000003_000019 lies in train and in val"):
        fetch(tree)


@pytest.mark.parametrize("part", ["leftImg8bit", "gtFine"])
def test_a_tree_without_one_half_is_refused(tree: Path, part: str) -> None:
    (tree / part).rename(tree / "other")
    with pytest.raises(ProbunetError, match=rf"holds no folder {part}; give the folder"):
        fetch(tree)
    assert not (tree.parent / "raw.json").exists()


def test_no_such_tree(tmp_path: Path) -> None:
    with pytest.raises(ProbunetError, match="no such folder"):
        fetch(tmp_path / "nowhere")


def test_a_tree_without_scenes_is_refused(tmp_path: Path) -> None:
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / "tree" / part).mkdir(parents=True)
    with pytest.raises(ProbunetError, match=r"not one scene can be used \(there is none\)"):
        fetch(tmp_path / "tree")


def test_a_tree_of_bad_scenes_only_is_refused_with_their_reasons(tree: Path) -> None:
    for path in tree.rglob("*_leftImg8bit.png"):
        path.write_bytes(b"")
    with pytest.raises(ProbunetError, match=r"not one scene can be used \(empty file: 4\)"):
        fetch(tree)
    assert not (tree.parent / "raw.json").exists()


def test_a_folder_that_may_not_be_read_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def refused(folder: Path) -> Iterator[Path]:  # as by chmod, which does not stop root
        if folder.name == "ulm":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ProbunetError, match=r"ulm.*cannot be read"):
        fetch(tree)


def test_a_file_that_cannot_be_read_is_named(tree: Path) -> None:
    path = picture_path(tree, "train", *BAD)
    path.unlink()
    path.mkdir()
    with pytest.raises(
        ProbunetError, match=r"aachen_000001_000019_leftImg8bit.png: cannot be read"
    ):
        fetch(tree)


def test_two_writers_are_kept_apart(tree: Path) -> None:
    with (
        locked(tree.parent / "raw.json"),
        pytest.raises(ProbunetError, match="another process is writing"),
    ):
        fetch(tree)
