import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probunet.cityscapes import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError
from probunet.fetch import street_phantom
from probunet.fetch.cityscapes import fetch_scenes
from probunet.fetch.street_phantom import CITIES, _names, fetch_street_phantom
from probunet.files import locked, sha256
from probunet.scene_manifest import SceneManifest

SIZE = (32, 64)
IMAGES = 12


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fetch(folder: Path, seed: int = 3, workers: int = 1) -> SceneManifest:
    raw = folder / "raw"
    return fetch_street_phantom(
        raw / "cityscapes", raw / "cityscapes.json", IMAGES, SIZE, seed, workers
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    fetch(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(data: Path) -> SceneManifest:
    return SceneManifest.read(data / "raw/cityscapes.json")


def test_same_seed_same_bytes_for_any_number_of_workers(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(street_phantom, "_PIXELS_PER_PROCESS", 6 * 32 * 64)
    fetch(tmp_path, workers=2)
    assert digest(tmp_path) == digest(data)


def test_another_seed_draws_other_scenes(
    data: Path, manifest: SceneManifest, tmp_path: Path
) -> None:
    other = fetch(tmp_path, seed=4)
    for one, two in zip(manifest.scenes, other.scenes, strict=True):
        assert (one.city, one.frame) == (two.city, two.frame)
        assert one.picture.sha256 != two.picture.sha256


def test_no_scene_is_another_one_again(manifest: SceneManifest) -> None:
    assert len({scene.label.sha256 for scene in manifest.scenes}) == IMAGES


def test_a_second_call_heals_what_was_damaged(data: Path, manifest: SceneManifest) -> None:
    before = digest(data)
    first, second = manifest.scenes[:2]
    damaged = Path(manifest.root) / first.picture.path
    damaged.write_bytes(damaged.read_bytes()[:100])
    (Path(manifest.root) / second.label.path).unlink()
    fetch(data)
    assert digest(data) == before


def test_a_local_read_tells_the_same(data: Path, manifest: SceneManifest, tmp_path: Path) -> None:
    local = fetch_scenes(data / "raw/cityscapes", tmp_path / "local.json", workers=1)
    assert local.model_dump(exclude={"source"}) == manifest.model_dump(exclude={"source"})
    assert local.source == "local"


def test_manifest_agrees_with_the_files(data: Path, manifest: SceneManifest) -> None:
    assert Path(manifest.root) == (data / "raw/cityscapes").resolve()
    listed = [file for scene in manifest.scenes for file in (scene.picture, scene.label)]
    files = {str(path.relative_to(manifest.root)) for path in Path(manifest.root).rglob("*.png")}
    assert {file.path for file in listed} == files
    for file in listed:
        path = Path(manifest.root) / file.path
        assert (path.stat().st_size, sha256(path)) == (file.bytes, file.sha256)


def test_data_can_be_moved(tmp_path: Path) -> None:
    fetch(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    manifest = SceneManifest.read(tmp_path / "there/raw/cityscapes.json")
    assert (Path(manifest.root) / manifest.scenes[0].picture.path).is_file()


def test_names_are_the_publisher_s(manifest: SceneManifest) -> None:
    for scene in manifest.scenes:
        split = "val" if scene.city in ("frankfurt", "lindau", "munster") else "train"
        start = f"{split}/{scene.city}/{scene.city}_{scene.frame}"
        assert scene.picture.path == f"leftImg8bit/{start}_leftImg8bit.png"
        assert scene.label.path == f"gtFine/{start}_gtFine_labelIds.png"


def test_synthetic_wherever_it_shows(data: Path, manifest: SceneManifest) -> None:
    assert (manifest.source, manifest.synthetic) == ("phantom", True)
    assert manifest.licence.startswith("Synthetic")
    assert "ynthetic" in (data / "raw/cityscapes/README.txt").read_text()
    for scene in manifest.scenes:
        for file in (scene.picture, scene.label):
            with Image.open(Path(manifest.root) / file.path) as image:
                assert image.info["Description"].startswith("Synthetic street scene")


def test_size_and_form(manifest: SceneManifest) -> None:
    for scene in manifest.scenes:
        with Image.open(Path(manifest.root) / scene.picture.path) as picture:
            assert (picture.mode, picture.size) == ("RGB", (64, 32))
        with Image.open(Path(manifest.root) / scene.label.path) as label:
            assert (label.mode, label.size) == ("L", (64, 32))
            assert np.asarray(label).max() < 34


@given(st.integers(min_value=10, max_value=2000))
def test_scenes_are_spread_over_the_official_cities(images: int) -> None:
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
def test_fewer_images_than_cities(tmp_path: Path, images: int) -> None:
    with pytest.raises(ProbunetError, match="choose 10 or more"):
        fetch_street_phantom(tmp_path / "tree", tmp_path / "raw.json", images, SIZE)
    assert not list(tmp_path.iterdir())


def test_two_writers_are_kept_apart(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "raw/cityscapes.json"),
        pytest.raises(ProbunetError, match="another process is writing"),
    ):
        fetch(tmp_path)
