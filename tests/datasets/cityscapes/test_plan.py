"""prepare from PNG files to a sealed store of scenes, with real workers in one slow test."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probunet.datasets import open_data
from probunet.datasets.cityscapes.config import CityscapesSource, Fit
from probunet.datasets.cityscapes.labels import TRAIN_ID_OF, TRAIN_IDS
from probunet.datasets.cityscapes.manifest import (
    SceneFile,
    SceneLeftOut,
    SceneManifest,
    SceneReason,
)
from probunet.datasets.cityscapes.plan import plan_scenes
from probunet.datasets.cityscapes.scene import read_scene
from probunet.datasets.cityscapes.store import open_scenes
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.flips import IGNORE
from probunet.prepare import parts
from probunet.prepare.folds import check_origin
from probunet.store import SHARD, verify
from support.scene_trees import SIZE, entry, write_tree, write_turned
from support.streets import scenes_of


def make(manifest: Path, output: Path, on_error: str = "stop", fit: Fit = "stretch"):
    parts.fill_store(None, plan_scenes(manifest, SIZE, fit), output, on_error)
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


def images_of(root: Path, name: str):
    """A scene's picture and train ids, as they are in its files."""
    ids = np.asarray(Image.open(root / f"{name}_b.png"))
    return np.asarray(Image.open(root / f"{name}_a.png")), TRAIN_ID_OF[ids]


FIRST = "ulm_000000_000019"


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_the_aspect_ratio_of_the_store_needs_no_choice(fit, in_this_process, tmp_path, caplog):
    manifest = write_tree(tmp_path / "raw", {"ulm": 2})
    usual = make(manifest, tmp_path / "usual.zarr")
    scenes = make(manifest, tmp_path / "s.zarr", fit=fit)
    assert (scenes.attributes.fit, scenes.attributes.other_ratio) == (fit, 0)
    np.testing.assert_array_equal(scenes.image[:], usual.image[:])
    np.testing.assert_array_equal(scenes.label[:], usual.label[:])
    assert "aspect ratio" not in caplog.text


@pytest.mark.parametrize("scale", [(8, 4), (4, 8)], ids=["tall", "wide"])
def test_scenes_of_another_aspect_ratio_are_stretched(scale, in_this_process, tmp_path, caplog):
    manifest = write_tree(tmp_path / "raw", {"ulm": 3}, scale=scale)
    scenes = make(manifest, tmp_path / "s.zarr")
    assert (scenes.attributes.fit, scenes.attributes.other_ratio) == ("stretch", 3)
    _, ids = images_of(tmp_path / "raw", FIRST)
    np.testing.assert_array_equal(scenes.label[0], ids[:: scale[0], :: scale[1]])
    assert "3 of 3 scenes have another aspect ratio than 8 x 16 and are stretched" in caplog.text
    assert "fit" in caplog.text


def test_padding_is_not_scored(in_this_process, tmp_path, caplog):
    manifest = write_tree(tmp_path / "raw", {"ulm": 1}, scale=(8, 4))
    scenes = make(manifest, tmp_path / "s.zarr", fit="pad")
    assert (scenes.attributes.fit, scenes.attributes.other_ratio) == ("pad", 1)
    _, ids = images_of(tmp_path / "raw", FIRST)  # 64 x 64: 8 x 8 in the middle
    np.testing.assert_array_equal(scenes.label[0, :, 4:12], ids[4::8, 4::8])
    for border in (slice(0, 4), slice(12, 16)):
        assert (scenes.label[0, :, border] == IGNORE).all()
        assert (scenes.image[0, :, border] == 0).all()
    assert scenes.image[0, :, 4:12].min() > 0
    assert "are padded" in caplog.text


def test_cropping_keeps_the_middle(in_this_process, tmp_path, caplog):
    manifest = write_tree(tmp_path / "raw", {"ulm": 1}, scale=(8, 4))
    scenes = make(manifest, tmp_path / "s.zarr", fit="crop")
    assert (scenes.attributes.fit, scenes.attributes.other_ratio) == ("crop", 1)
    _, ids = images_of(tmp_path / "raw", FIRST)  # 64 x 64: rows 16 to 48
    np.testing.assert_array_equal(scenes.label[0], ids[16:48:4, ::4])
    assert "are cropped" in caplog.text


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1), (7, 11)])
def test_a_scene_of_any_shape_fits(shape, fit, tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(1, 34, shape, dtype=np.uint8)
    for kind, values in (("a", np.stack([pixels] * 3, -1)), ("b", pixels)):
        Image.fromarray(values).save(tmp_path / f"{kind}.png")
    files = {"picture": entry(tmp_path / "a.png"), "label": entry(tmp_path / "b.png")}
    scene = SceneFile(city="ulm", frame="0_0", size=shape, **files)
    picture, label = read_scene(tmp_path, scene, SIZE, fit)
    assert (picture.shape, label.shape) == ((*SIZE, 3), SIZE)


def test_a_manifest_without_sizes_says_that_they_are_not_known(in_this_process, tmp_path):
    manifest = write_tree(tmp_path / "raw", {"ulm": 2})
    listed = SceneManifest.read(manifest)
    before = tuple(scene.model_copy(update={"size": None}) for scene in listed.scenes)
    listed.model_copy(update={"scenes": before}).write(manifest)
    scenes = make(manifest, tmp_path / "s.zarr")
    assert (scenes.attributes.fit, scenes.attributes.other_ratio) == ("stretch", None)


def test_orientation_tags_turn_picture_and_label_alike(in_this_process, tmp_path):
    manifest = write_tree(tmp_path / "raw", {"ulm": 1})
    whole = make(manifest, tmp_path / "whole.zarr")
    listed = SceneManifest.read(manifest)
    for kind in ("a", "b"):  # turned by a quarter, and the tag says so
        path = tmp_path / "raw" / f"{FIRST}_{kind}.png"
        write_turned(path, np.rot90(np.asarray(Image.open(path))), 6)
    files = {
        "picture": entry(tmp_path / "raw" / f"{FIRST}_a.png"),
        "label": entry(tmp_path / "raw" / f"{FIRST}_b.png"),
    }
    turned = listed.scenes[0].model_copy(update=files)
    listed.model_copy(update={"scenes": (turned,)}).write(manifest)
    scenes = make(manifest, tmp_path / "s.zarr")
    np.testing.assert_array_equal(scenes.image[:], whole.image[:])
    np.testing.assert_array_equal(scenes.label[:], whole.label[:])


def test_a_store_made_with_another_fit_is_refused_where_it_matters():
    source = CityscapesSource(source="phantom", images=10, size=(8, 16), fit="pad")
    cities = ["ulm"] * 10
    check_origin(scenes_of(cities, size=(8, 16), other_ratio=0), source)
    check_origin(scenes_of(cities, size=(8, 16), fit="pad", other_ratio=3), source)
    for number in (3, None):
        with pytest.raises(ProbunetError, match=r"cityscapes\.fit: pad, but .* with stretch"):
            check_origin(scenes_of(cities, size=(8, 16), other_ratio=number), source)


def test_the_default_fit_repeats_no_step_of_an_older_study():
    default = CityscapesSource(source="phantom")
    assert default.fit == "stretch"
    assert "fit" not in default.for_step("folds")
    padded = CityscapesSource(source="phantom", fit="pad")
    assert "fit" not in padded.for_step("fetch")
    assert padded.for_step("prepare")["fit"] == "pad"
