"""prepare from PNG files to a sealed store of scenes, with real workers in one slow test."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probunet.datasets import open_data
from probunet.datasets.cityscapes.labels import TRAIN_IDS
from probunet.datasets.cityscapes.manifest import SceneLeftOut, SceneManifest, SceneReason
from probunet.datasets.cityscapes.plan import plan_scenes
from probunet.datasets.cityscapes.scene import read_scene
from probunet.datasets.cityscapes.store import open_scenes
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.flips import IGNORE
from probunet.prepare import parts
from probunet.store import SHARD, verify
from support.scene_trees import SIZE, entry, write_tree


def make(manifest: Path, output: Path, on_error: str = "stop"):
    parts.fill_store(None, plan_scenes(manifest, SIZE), output, on_error)
    verify(output)
    return open_scenes(output)


def test_what_is_stored(in_this_process, tmp_path):
    manifest = write_tree(tmp_path / "raw", {"ulm": 2, "aachen": SHARD})
    scenes = make(manifest, tmp_path / "s.zarr")
    assert scenes.columns.city.tolist() == ["aachen"] * SHARD + ["ulm"] * 2
    assert scenes.columns.frame[:2].tolist() == ["000000_000019", "000001_000019"]
    assert scenes.attributes.flips == {
        "sidewalk": "8/17",
        "person": "7/17",
        "car": "6/17",
        "vegetation": "5/17",
        "road": "4/17",
    }
    assert scenes.attributes.left_out == {}
    assert set(scenes.attributes.versions) == {"probunet", "numpy", "zarr", "pillow"}
    assert scenes.attributes.manifest_sha256 == sha256(manifest)
    assert isinstance(open_data(tmp_path / "s.zarr"), type(scenes))
    for row, name in ((0, "aachen_000000_000019"), (SHARD + 1, "ulm_000001_000019")):
        # labels are constant on 4 x 4 pixels: nearest is exact
        ids = np.asarray(Image.open(tmp_path / "raw" / f"{name}_b.png"))[::4, ::4]
        expected = [[TRAIN_IDS.get(int(i), IGNORE) for i in line] for line in ids]
        np.testing.assert_array_equal(scenes.label[row], expected)
        # far from the edges, a triangle of twice 4 pixels' width around each centre
        colours = np.asarray(Image.open(tmp_path / "raw" / f"{name}_a.png")).astype(float)
        kernel = 1 - np.abs(np.arange(-3.5, 4)) / 4
        kernel /= kernel.sum()
        for y, x in ((3, 7), (5, 2)):
            seen = colours[4 * y - 2 : 4 * y + 6, 4 * x - 2 : 4 * x + 6]
            mean = np.einsum("i,j,ijc->c", kernel, kernel, seen)
            np.testing.assert_allclose(scenes.image[row, y, x], mean, atol=1.01)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def touch_up(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut, touch_up, Path.unlink])
@pytest.mark.parametrize("kind", ["a", "b"])
def test_a_changed_scene_is_left_out_and_counted(spoil, kind, in_this_process, tmp_path, caplog):
    manifest = write_tree(tmp_path / "raw", {"aachen": 3, "ulm": 1})
    whole = make(manifest, tmp_path / "whole.zarr")
    spoil(tmp_path / "raw" / f"aachen_000001_000019_{kind}.png")
    scenes = make(manifest, tmp_path / "s.zarr")
    assert scenes.attributes.left_out == {str(SceneReason.CHANGED): 1}
    assert scenes.columns.frame.tolist() == ["000000_000019", "000002_000019", "000000_000019"]
    for name in ("image", "label"):
        stays = getattr(whole, name)[:][[0, 2, 3]]
        np.testing.assert_array_equal(getattr(scenes, name)[:], stays)
    assert "left out; file changed since it was fetched: 1 scene" in caplog.text


def test_a_picture_that_does_not_decode_is_left_out(in_this_process, tmp_path):
    manifest = write_tree(tmp_path / "raw", {"aachen": 2})
    listed = SceneManifest.read(manifest)
    path = tmp_path / "raw" / listed.scenes[0].picture.path
    path.write_bytes(path.read_bytes()[:999])
    listed_so = listed.scenes[0].model_copy(update={"picture": entry(path)})
    listed.model_copy(update={"scenes": (listed_so, listed.scenes[1])}).write(manifest)
    scenes = make(manifest, tmp_path / "s.zarr")
    assert scenes.attributes.left_out == {str(SceneReason.TRUNCATED): 1}


def test_a_city_without_a_usable_scene_stops_or_is_skipped(in_this_process, tmp_path, caplog):
    lost = SceneLeftOut(
        city="jena", frame="1_2", reason=SceneReason.TRUNCATED, path="j.png", detail="ends early"
    )
    withheld = SceneLeftOut(city="berlin", frame="1_2", reason=SceneReason.UNLABELLED)
    manifest = write_tree(tmp_path / "raw", {"aachen": 1, "ulm": 1}, [lost, withheld])
    with pytest.raises(ProbunetError) as stopped:
        make(manifest, tmp_path / "stopped.zarr")
    for words in ("of these cities, 1 in all", "jena: j.png: truncated or damaged PNG (ends"):
        assert words in str(stopped.value)
    assert "on_error: skip" in str(stopped.value)
    assert "berlin" not in str(stopped.value)
    scenes = make(manifest, tmp_path / "skipped.zarr", on_error="skip")
    assert scenes.attributes.left_out == {
        str(SceneReason.UNLABELLED): 1,
        str(SceneReason.TRUNCATED): 1,
    }
    assert "cities without a usable scene: jena" in caplog.text


def test_no_scene_at_all_is_an_error(in_this_process, tmp_path):
    withheld = SceneLeftOut(city="bonn", frame="1_2", reason=SceneReason.UNLABELLED)
    manifest = write_tree(tmp_path / "raw", {}, [withheld])
    with pytest.raises(ProbunetError, match=r"no scene of it can be used; city of the .*: 1 scene"):
        make(manifest, tmp_path / "s.zarr", on_error="skip")


def test_a_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(ProbunetError, match="no such manifest; run `probunet fetch` first"):
        plan_scenes(tmp_path / "absent.json", SIZE)


def test_a_scene_may_grow(in_this_process, tmp_path):
    listed = SceneManifest.read(write_tree(tmp_path / "raw", {"ulm": 1}))
    picture, label = read_scene(tmp_path / "raw", listed.scenes[0], (64, 128))
    assert picture.shape == (64, 128, 3)
    assert label.shape == (64, 128)
