from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probunet.datasets.cityscapes.labels import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.datasets.cityscapes.manifest import SceneManifest
from probunet.datasets.cityscapes.phantom import CITIES, _names, fetch_street_phantom
from probunet.datasets.cityscapes.tree import fetch_scenes
from probunet.errors import ProbunetError
from probunet.files import sha256

SIZE = (32, 64)
IMAGES = 12


def fetch(folder: Path, seed: int = 3, workers: int = 1) -> SceneManifest:
    raw = folder / "raw"
    return fetch_street_phantom(
        raw / "cityscapes", raw / "cityscapes.json", IMAGES, SIZE, seed, workers
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    fetch(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(data):
    return SceneManifest.read(data / "raw/cityscapes.json")


def test_another_seed_draws_other_scenes(data, manifest, tmp_path):
    other = fetch(tmp_path, seed=4)
    for one, two in zip(manifest.scenes, other.scenes, strict=True):
        assert (one.city, one.frame) == (two.city, two.frame)
        assert one.picture.sha256 != two.picture.sha256


def test_no_scene_is_another_one_again(manifest):
    assert len({scene.label.sha256 for scene in manifest.scenes}) == IMAGES


def test_a_local_read_tells_the_same(data, manifest, tmp_path):
    local = fetch_scenes(data / "raw/cityscapes", tmp_path / "local.json", workers=1)
    assert local.model_dump(exclude={"source"}) == manifest.model_dump(exclude={"source"})
    assert local.source == "local"


def test_manifest_agrees_with_the_files(data, manifest):
    assert Path(manifest.root) == (data / "raw/cityscapes").resolve()
    listed = [file for scene in manifest.scenes for file in (scene.picture, scene.label)]
    files = {str(path.relative_to(manifest.root)) for path in Path(manifest.root).rglob("*.png")}
    assert {file.path for file in listed} == files
    for file in listed:
        path = Path(manifest.root) / file.path
        assert (path.stat().st_size, sha256(path)) == (file.bytes, file.sha256)


def test_names_are_the_publisher_s(manifest):
    for scene in manifest.scenes:
        split = "val" if scene.city in ("frankfurt", "lindau", "munster") else "train"
        start = f"{split}/{scene.city}/{scene.city}_{scene.frame}"
        assert scene.picture.path == f"leftImg8bit/{start}_leftImg8bit.png"
        assert scene.label.path == f"gtFine/{start}_gtFine_labelIds.png"


def test_synthetic_wherever_it_shows(data, manifest):
    assert (manifest.source, manifest.synthetic) == ("phantom", True)
    assert manifest.licence.startswith("Synthetic")
    assert "ynthetic" in (data / "raw/cityscapes/README.txt").read_text()
    for scene in manifest.scenes:
        for file in (scene.picture, scene.label):
            with Image.open(Path(manifest.root) / file.path) as image:
                assert image.info["Description"].startswith("Synthetic street scene")


def test_size_and_form(manifest):
    for scene in manifest.scenes:
        with Image.open(Path(manifest.root) / scene.picture.path) as picture:
            assert (picture.mode, picture.size) == ("RGB", (64, 32))
        with Image.open(Path(manifest.root) / scene.label.path) as label:
            assert (label.mode, label.size) == ("L", (64, 32))
            assert np.asarray(label).max() < 34


@given(st.integers(min_value=10, max_value=2000))
def test_scenes_are_spread_over_the_official_cities(images):
    names = _names(images)
    assert [number for number, _, _ in names] == list(range(images))
    assert len({(city, frame) for _, city, frame in names}) == images
    of_city = Counter(city for _, city, _ in names)
    assert set(of_city) == set(CITIES)
    counts = [
        [of_city[city] for city in cities if city in of_city]
        for cities in (TRAIN_CITIES, VALIDATION_CITIES, TEST_CITIES)
    ]
    assert [len(several) for several in counts] == [4, 3, 3]
    for several, share in zip(counts, (1 / 2, 1 / 6, 1 / 3), strict=True):
        assert max(several) - min(several) <= 1
        assert abs(sum(several) - share * images) < 2


@pytest.mark.parametrize("images", [-1, 0, 9])
def test_fewer_images_than_cities(tmp_path, images):
    with pytest.raises(ProbunetError, match="choose 10 or more"):
        fetch_street_phantom(tmp_path / "tree", tmp_path / "raw.json", images, SIZE)
    assert not list(tmp_path.iterdir())
