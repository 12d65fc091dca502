"""prepare from files of one's own to a sealed store of images; parts and workers leave no trace."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from probunet.config import Fetch
from probunet.datasets import find, open_data
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.folder.fit import OWN_SIZES, fit_image, fit_masks
from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.folder.manifest import ClassTable
from probunet.datasets.folder.plan import plan_images
from probunet.datasets.folder.store import Images, open_images
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.flips import IGNORE
from probunet.metrics.bits import unpack_graders
from probunet.prepare import parts
from probunet.prepare.folds import check_folds, check_origin, draw_folds
from probunet.store import verify
from support.folders import files_of
from support.own_images import disc, write_folder, write_picture, write_table
from support.own_sizes import write_sizes

SIZE = (32, 48)


@pytest.fixture
def manifest(tmp_path):
    write_folder(tmp_path / "pictures")
    fetch_folder(tmp_path / "pictures", tmp_path / "mine.manifest.json", "mine")
    return tmp_path / "mine.manifest.json"


def make(manifest: Path, output: Path, on_error: str = "stop", **form) -> Images:
    parts.fill_store(None, plan_images(manifest, **form), output, on_error)
    verify(output)
    return open_images(output)


def written(folder: Path, name: str, place: int) -> np.ndarray:
    """Return what was written as an image or mask, (H, W)."""
    if name.endswith(".png"):
        return np.asarray(Image.open(folder / name))
    return np.asarray(nibabel.load(folder / name).dataobj)[..., place].T


def test_what_is_stored(in_this_process, manifest, tmp_path):
    images = make(manifest, tmp_path / "mine.zarr")
    folder = tmp_path / "pictures"
    assert isinstance(open_data(tmp_path / "mine.zarr"), Images)
    assert len(images) == 4 * (2 + 3)
    about = images.attributes
    assert (about.dataset, about.source, about.synthetic) == ("mine", "folder", False)
    assert (about.size, about.channels, about.values) == (SIZE, 1, "uint16")
    assert about.graders == ("mask_anna", "mask_ben", "mask_eva")
    assert about.annotations == {"1": 4, "2": 4, "3": 12}
    assert (about.left_out, about.unmarked, about.resampled) == ({}, 4, 0)
    assert about.manifest_sha256 == sha256(manifest)
    columns = images.columns
    assert columns.subject.tolist() == sorted(columns.subject.tolist())
    assert columns.slice[:5].tolist() == [1, 2, 3, -1, -1]
    assert images.given[:5].tolist() == [0b111, 0b111, 0b111, 0b001, 0b011]
    for row in range(len(images)):
        name, place = str(columns.name[row]), int(columns.slice[row])
        np.testing.assert_array_equal(images.image[row, ..., 0], written(folder, name, place))
        stem = name.removeprefix("images/").split(".")[0]
        for g in range(3):
            mask = folder / f"masks/{stem}_{g}{name.removeprefix(f'images/{stem}')}"
            marks = np.asarray(images.masks[row]) >> g & 1
            if mask.exists():
                expected = written(folder, f"masks/{mask.name}", place) != 0
                np.testing.assert_array_equal(marks, expected)
            else:
                assert not marks.any()


def test_colour_at_another_size(in_this_process, tmp_path):
    folder, random = tmp_path / "pictures", np.random.default_rng(0)
    pixels = random.integers(0, 256, (30, 20, 3), np.uint8)
    mask = disc((30, 20), 6).astype(np.uint8) * 255
    rows = []
    for k in range(2):
        cut = slice(30 - 14 * k)
        name = write_picture(folder / f"i/{k}.png", pixels[cut, :16] if k else pixels)
        own = mask[cut, :16] if k else mask
        rows.append([name, f"P{k}", write_picture(folder / f"m/{k}.png", own)])
    write_table(folder, rows)
    fetch_folder(folder, tmp_path / "m.json", "mine")
    images = make(tmp_path / "m.json", tmp_path / "c.zarr", size=(16, 16), window=(10.0, 200.0))
    assert images.attributes.resampled == 1
    assert images.attributes.window == (10, 200)
    assert images.attributes.window_from == "set in the configuration"
    np.testing.assert_array_equal(images.image[0], fit_image(pixels, (16, 16), 10))
    np.testing.assert_array_equal(images.masks[0], fit_masks(mask // 255, (16, 16)))
    np.testing.assert_array_equal(images.image[1], pixels[:16, :16])


def test_sizes_that_differ_need_one_that_is_set(tmp_path):
    folder = tmp_path / "pictures"
    rows = [
        [
            write_picture(folder / f"i/{k}.png", np.zeros((16, 16 + k), np.uint8)),
            "P",
            write_picture(folder / f"m/{k}.png", np.ones((16, 16 + k), np.uint8)),
        ]
        for k in range(2)
    ]
    write_table(folder, rows)
    fetch_folder(folder, tmp_path / "m.json", "mine")
    with pytest.raises(
        ProbunetError,
        match=r"i/0.png has 16 x 16 pixels, and i/1.png 16 x 17 pixels; set datasets.mine.size in",
    ):
        plan_images(tmp_path / "m.json")


@pytest.mark.parametrize("classes", [2, 3])
def test_images_keep_their_own_sizes(in_this_process, tmp_path, classes):
    folder = tmp_path / "own"
    write_sizes(folder, 2, classes)
    table = ClassTable(names=("background", "disc", "cup"), values=(0, 1, 2))
    fetch_folder(folder, tmp_path / "m.json", "mine", classes=table if classes > 2 else None)
    plan = plan_images(tmp_path / "m.json", size="own", multiple=64)  # of the network, not of them
    parts.fill_store(None, plan, tmp_path / "mine.zarr")
    images = open_data(tmp_path / "mine.zarr")
    assert images.size == images.image.shape[1:3] == (90, 66)
    assert images.extents.tolist() == 2 * [[24, 40], [48, 48], [90, 66]]
    assert (images.attributes.resampled, images.attributes.resampling) == (0, OWN_SIZES)
    truth = np.asarray(images.labels if classes > 2 else images.masks)
    for row, (height, width) in enumerate(images.extents.tolist()):
        name = images.columns.name[row]
        stored = np.asarray(images.image[row])[..., 0]
        assert np.array_equal(stored[:height, :width], written(folder, name, 0))
        outside = np.ones(images.size, bool)
        outside[:height, :width] = False
        assert not stored[outside].any()
        assert (truth[row][outside] == (IGNORE if classes > 2 else 0)).all()
        first = written(folder, name.replace("images", "masks").replace(".", "_0."), 0)
        own = truth[row, :height, :width]
        assert np.array_equal(
            own[..., 0] if classes > 2 else own & 1, first if classes > 2 else first > 0
        )

    def check(**keys):
        source = FolderSource(source="folder", path="here", **keys)
        check_origin(images, source.model_copy(update={"classes": None}), "a test")

    if classes == 2:
        check(size="own")
        with pytest.raises(ProbunetError, match=r"size: left out, but .* was made with own"):
            check()
        with pytest.raises(ProbunetError, match=r"size: \[90, 66\], but .* was made with own"):
            check(size=(90, 66))


def test_parts_of_own_sizes_make_the_same_store(in_this_process, tmp_path):
    write_sizes(tmp_path / "own")
    fetch_folder(tmp_path / "own", tmp_path / "m.json", "mine")
    plan = plan_images(tmp_path / "m.json", size="own")
    parts.fill_store(None, plan, tmp_path / "mine.zarr")
    written = [tmp_path / f"{k}.zarr" for k in range(3)]
    for k, path in enumerate(written):
        parts.prepare_part(plan, path, k, 3)
    parts.join(plan, written, tmp_path / "joined.zarr")
    assert files_of(tmp_path / "joined.zarr") == files_of(tmp_path / "mine.zarr")


def test_a_size_that_the_network_cannot_halve_is_an_error_that_names_others(manifest):
    with pytest.raises(
        ProbunetError,
        match=r"32 x 48 pixels, and the network needs multiples of 64; set datasets.mine.size "
        r"in the configuration to \[64, 64\], or use fewer",
    ):
        plan_images(manifest, multiple=64)
    with pytest.raises(ProbunetError, match=r"to \[96, 32\] or \[128, 64\], or use"):
        plan_images(manifest, size=(100, 40), multiple=32)
    assert plan_images(manifest, multiple=16).form.size == SIZE


@pytest.mark.parametrize("name", ["images/10.png", "masks/10_0.png"])
def test_a_file_that_has_changed_is_left_out_and_named(
    in_this_process, manifest, tmp_path, caplog, name
):
    file = tmp_path / "pictures" / name
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    images = make(manifest, tmp_path / "mine.zarr")
    assert images.attributes.left_out == {"file changed since it was fetched": 1}
    assert "images/10.png" not in images.columns.name
    assert len(images) == 19
    whole = make_whole(images, manifest)
    np.testing.assert_array_equal(images.image[:], whole)
    assert "images left out; file changed since it was fetched: 1 image" in caplog.text


def make_whole(images: Images, manifest: Path) -> np.ndarray:
    """Return what the images were written as, in the store's order."""
    folder = manifest.parent / "pictures"
    columns = zip(images.columns.name.tolist(), images.columns.slice.tolist(), strict=True)
    return np.stack([written(folder, name, place) for name, place in columns])[..., None]


def test_a_subject_without_an_image_stops_or_is_skipped(in_this_process, manifest, tmp_path):
    for file in (tmp_path / "pictures/images").glob("2*"):
        file.unlink()
    with pytest.raises(ProbunetError, match=r"subject 2: images/2.nii.gz: file changed .*is gone"):
        make(manifest, tmp_path / "mine.zarr")
    images = make(manifest, tmp_path / "skipped.zarr", on_error="skip")
    assert images.attributes.left_out_subjects == ("subject 2",)
    assert "subject 2" not in images.subjects


def test_parts_make_the_same_store(in_this_process, manifest, tmp_path):
    (tmp_path / "pictures/images/10.png").unlink()
    expected = make(manifest, tmp_path / "whole.zarr")
    plan = plan_images(manifest)
    for part in range(3):
        parts.prepare_part(plan, tmp_path / f"{part}.zarr", part, 3)
    made = [tmp_path / f"{part}.zarr" for part in range(3)]
    parts.join(plan, made, tmp_path / "joined.zarr")
    assert files_of(tmp_path / "joined.zarr") == files_of(tmp_path / "whole.zarr")
    assert open_images(tmp_path / "joined.zarr").digest == expected.digest


def test_folds_keep_subjects_together(in_this_process, manifest, tmp_path):
    images = make(manifest, tmp_path / "mine.zarr")
    folds = draw_folds(images, 2, seed=0)
    assert folds.dataset == "mine"
    tested = [subject for fold in folds.folds for subject in fold.test]
    assert sorted(tested) == [f"subject {k}" for k in range(4)]
    check_folds(folds, images, 2)
    with pytest.raises(ProbunetError, match="folds: 5 is more than the 4 subjects"):
        draw_folds(images, 5, seed=0)


def test_a_store_of_another_form_is_refused(in_this_process, manifest, tmp_path):
    images = make(manifest, tmp_path / "mine.zarr", window=(0.0, 900.0))

    def check(**keys):
        check_origin(images, FolderSource(source="folder", path="here", **keys))

    check(size=SIZE, window=(0.0, 900.0))
    check()
    with pytest.raises(ProbunetError, match=r"datasets.mine.size: \[64, 64\], but .* \[32, 48\]"):
        check(size=(64, 64))
    with pytest.raises(ProbunetError, match=r"datasets.mine.window: \[0.0, 1.0\], but"):
        check(window=(0.0, 1.0))


def test_the_section_s_threshold_and_licence_reach_the_store(in_this_process, tmp_path):
    folder, random = tmp_path / "pictures", np.random.default_rng(0)
    pixels = random.integers(0, 256, (16, 16), np.uint8)
    soft = random.integers(0, 256, (16, 16), np.uint8)
    rows = [
        [write_picture(folder / "i/a.png", pixels), "P", write_picture(folder / "m/a.png", soft)]
    ]
    write_table(folder, rows, ["image", "subject", "mask"])
    source = FolderSource(
        source="folder", path=str(folder), threshold=100, licence="CC0", size=(32, 32)
    )
    data_set, manifest = find("mine"), tmp_path / "m.json"
    data_set.fetch(source, folder, manifest, Fetch())
    plan = data_set.plan(manifest, source, 1)
    parts.fill_store(None, plan, tmp_path / "mine.zarr", "stop")
    images = open_images(tmp_path / "mine.zarr")
    expected = fit_masks((soft >= 100).astype(np.uint8), (32, 32))
    np.testing.assert_array_equal(images.masks[0], expected)
    about = images.attributes
    assert (about.licence, about.threshold) == ("CC0", 100)
    assert about.checks[0].images == 1
    assert "more than half" in about.checks[0].warnings[0]
    assert source.for_step("fetch")["threshold"] == 100


@pytest.mark.parametrize(
    ("graders", "dtype"),
    [(1, "uint8"), (8, "uint8"), (9, "uint16"), (10, "uint16"), (17, "uint32"), (32, "uint32")],
)
def test_many_graders_have_a_bit_each(in_this_process, tmp_path, graders, dtype):
    folder, size = tmp_path / "pictures", (32, 48)
    row = [write_picture(folder / "i/a.png", np.zeros(size, np.uint8)), "P"]
    masks = [disc(size, 3 + g / 4).astype(np.uint8) for g in range(graders)]
    for g in range(graders):
        row.append("" if g == 1 else write_picture(folder / f"m/{g}.png", masks[g]))
    write_table(folder, [row], ["image", "subject", *(f"mask{g}" for g in range(graders))])
    fetch_folder(folder, tmp_path / "m.json", "mine")
    images = make(tmp_path / "m.json", tmp_path / "mine.zarr")
    assert (images.masks.dtype, images.given.dtype) == (np.dtype(dtype), np.dtype(dtype))
    assert int(images.given[0]) == sum(1 << g for g in range(graders) if g != 1)
    stored = unpack_graders(np.asarray(images.masks[:]), range(graders))[0]
    for g in range(graders):
        np.testing.assert_array_equal(stored[g], masks[g] * (g != 1))
