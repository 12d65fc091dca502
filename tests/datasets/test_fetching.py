"""What fetches of all data sets have in common: one writer, trees untouched, the same bytes."""

from functools import partial
from pathlib import Path

import pytest

from probunet.datasets.cityscapes import phantom as streets
from probunet.datasets.cityscapes import tree
from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.lidc import phantom as chests
from probunet.datasets.lidc.local import fetch_local
from probunet.datasets.lidc.verify import verify_tree
from probunet.errors import ProbunetError
from probunet.files import locked
from support.folders import files_of
from support.own_images import write_folder
from support.scene_trees import write_scene
from support.slices import write_slice

LOCAL = {
    "lidc": partial(fetch_local, workers=1),
    "cityscapes": partial(tree.fetch_scenes, workers=1),
    "mine": partial(fetch_folder, dataset="mine", workers=1),
}
DRAWN = {
    "lidc": partial(chests.fetch_phantom, patients=1, seed=3),
    "cityscapes": partial(streets.fetch_street_phantom, images=12, size=(32, 64), seed=3),
}


@pytest.fixture(params=LOCAL)
def local(request, tmp_path):
    """A tree of a data set, and what lists it."""
    folder = tmp_path / "tree"
    if request.param == "lidc":
        for number in range(12):
            write_slice(folder / f"ct/{number}.dcm", -130 + 2.5 * number)
    elif request.param == "cityscapes":
        write_scene(folder, "train", "ulm", "000000_000019")
    else:
        write_folder(folder, subjects=1)
    return folder, LOCAL[request.param]


@pytest.fixture(params=DRAWN)
def drawn(request):
    """What draws synthetic raw data."""
    return DRAWN[request.param]


def test_nothing_is_written_into_a_tree_that_may_be_read_only(local, tmp_path):
    folder, fetch = local
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}, files_of(folder)
    below = [path for path in (folder, *folder.rglob("*")) if path.is_dir()]
    for path in below[::-1]:
        path.chmod(0o555)
    try:
        fetch(folder, tmp_path / "m.json")
        if fetch is LOCAL["lidc"]:
            verify_tree(folder, workers=1)
    finally:
        for path in below:
            path.chmod(0o755)
    assert (
        {path: path.stat().st_mtime_ns for path in folder.rglob("*")},
        files_of(folder),
    ) == before


@pytest.mark.parametrize("fetch", [*LOCAL.values(), lambda tree, _: verify_tree(tree)])
@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_folder_that_is_none_is_named(tmp_path, fetch, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbunetError, match=rf"{name}: (no such folder|not a folder)"):
        fetch(tmp_path / name, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_only_one_process_lists_a_tree(local, tmp_path):
    folder, fetch = local
    with locked(tmp_path / "m.json"), pytest.raises(ProbunetError, match="another process"):
        fetch(folder, tmp_path / "m.json")


def test_only_one_process_draws(drawn, tmp_path):
    with locked(tmp_path / "m.json"), pytest.raises(ProbunetError, match="another process"):
        drawn(tmp_path / "raw", tmp_path / "m.json")


def test_drawn_data_are_the_same_bytes_and_can_be_healed_and_moved(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(streets, "_PIXELS_PER_PROCESS", 6 * 32 * 64)
    for name, workers in (("one", 1), ("two", 2)):
        made = drawn(tmp_path / name / "raw", tmp_path / name / "m.json", workers=workers)
        assert (made.source, made.synthetic) == ("phantom", True)
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one == two

    first, second = sorted(Path(made.root).rglob("*.[dp][cn][mg]"))[:2]
    first.write_bytes(first.read_bytes()[:100])
    second.unlink()
    drawn(tmp_path / "two/raw", tmp_path / "two/m.json", workers=1)
    assert files_of(tmp_path / "two") == one

    (tmp_path / "two").rename(tmp_path / "three")
    moved = type(made).read(tmp_path / "three/m.json")
    assert moved.root == str(tmp_path / "three/raw")
    drawn(tmp_path / "four/raw", tmp_path / "four/m.json", workers=1, seed=4)
    assert files_of(tmp_path / "four") != one
