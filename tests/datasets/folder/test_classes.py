"""Masks of several classes: which values and colours are read, refused, stored and described."""

import io
import re
import struct
from zlib import compress, crc32

import nibabel
import numpy as np
import pytest
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from probunet.config import check
from probunet.datasets.folder import classes
from probunet.datasets.folder.classes import Classes, class_table
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.folder.fit import fit_labels
from probunet.datasets.folder.image_files import decode_labels
from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.folder.manifest import ClassTable, ImageManifest
from probunet.datasets.folder.plan import plan_images
from probunet.datasets.folder.store import open_images, open_labelled
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.prepare.folds import check_origin
from probunet.prepare.parts import prepare
from probunet.scores import read_scores
from probunet.study import Config
from support.label_images import CLASSES, HEADER, write_eyes, write_label_run, write_labelled
from support.own_images import (
    disc,
    write_folder,
    write_picture,
    write_store,
    write_table,
    write_volume,
)
from support.settings import tiny_settings

TABLE = ClassTable(names=tuple(CLASSES), values=(0, 1, 2), ignore=255)
COLOURS = ClassTable(names=tuple(CLASSES), values=("#000000", "#ff0000", "#00ff00"))
MAP = np.array([[0, 1, 2], [2, 255, 1]], np.uint8)
IDS = np.where(MAP == 255, IGNORE, MAP)


def encoded(pixels, kind="PNG", palette=None) -> bytes:
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def grey_png(rows, width, bits) -> bytes:
    """Return grey pixels of few bits as PNG; each row is the bytes of its pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, 0, 0, 0, 0)
    lines = compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", lines), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def nifti(values) -> bytes:
    return nibabel.Nifti1Image(values, np.eye(4)).to_bytes()


@pytest.mark.parametrize(
    "content",
    [
        encoded(MAP),
        encoded(MAP, "TIFF"),
        encoded(MAP.astype(np.uint16)),
        encoded(MAP.astype(np.float32), "TIFF"),
        encoded(np.stack([MAP] * 3, axis=-1)),  # grey, saved as RGB
        encoded(MAP, palette=[9, 9, 9, 200, 0, 0, 0, 0, 7] + [1, 2, 3] * 253),  # the indices count
        nifti(MAP.T.astype(np.int16)),
        nifti(MAP.T.astype(np.float64)),
    ],
    ids=["png", "tiff", "16 bits", "float", "grey rgb", "palette", "nifti", "nifti float"],
)
def test_values_are_classes_in_every_format(content):
    decoded = decode_labels(content, Classes(TABLE))
    np.testing.assert_array_equal(decoded.pixels[0, ..., 0], IDS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (grey_png([[0b00_01_10_11]], 4, bits=2), [[0, 1, 2, 3]]),
        (grey_png([[0x01, 0x2F]], 4, bits=4), [[0, 1, 2, 15]]),
        (grey_png([[0b01010000]], 4, bits=1), [[0, 1, 0, 1]]),
        (encoded(np.array([[0, 1, 0, 1]], bool)), [[0, 1, 0, 1]]),
        (encoded(np.array([[0, 1, 0, 1]], bool), "TIFF"), [[0, 1, 0, 1]]),
        (encoded(np.array([[0, 1, 0, 1]], bool), "BMP"), [[0, 1, 0, 1]]),
        (b"P5 4 1 3\n\0\1\2\3", [[0, 1, 2, 3]]),
    ],
    ids=["2 bits", "4 bits", "1 bit", "bool png", "bool tiff", "bool bmp", "pgm"],
)
def test_values_of_few_bits_are_the_numbers_in_the_file(content, expected):
    table = ClassTable(names=tuple(map(str, range(16))), values=tuple(range(16)), ignore=255)
    found = decode_labels(content, Classes(table)).pixels[0, ..., 0]
    np.testing.assert_array_equal(found, expected)


def inverted(pixels) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="miniswhite")
    return buffer.getvalue()


def test_colours_are_classes_of_rgb_files_and_of_palettes():
    ids = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
    rgb = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    files = [encoded(rgb[ids]), encoded(rgb[ids], "BMP")]
    files.append(encoded(2 - ids, palette=rgb[::-1].ravel().tolist()))  # indices do not count
    for content in files:
        found = decode_labels(content, Classes(COLOURS)).pixels[0, ..., 0]
        np.testing.assert_array_equal(found, ids)
    greys = ClassTable(names=("a", "b"), values=("#000000", "#808080"))
    found = decode_labels(encoded(ids[:, :2] * np.uint8(128) % 255), Classes(greys))
    assert set(found.pixels.ravel().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("content", "table", "message"),
    [
        (encoded(MAP), TABLE.model_copy(update={"ignore": None}), "255 in 1 pixel$"),
        (encoded(np.full((4, 5), 7, np.uint8)), TABLE, "7 in 20 pixels"),
        (encoded(np.array([[3, 3, 9, 0]], np.uint8)), TABLE, "3 in 2 pixels, 9 in 1 pixel"),
        (encoded(np.arange(100, dtype=np.uint8)[None]), TABLE, "and 93 more values$"),
        (encoded(np.arange(8, dtype=np.uint8)[None]), TABLE, "and 1 more value$"),
        (nifti(np.full((2, 2), 0.5, np.float32)), TABLE, "0.5 in 4 pixels"),
    ],
)
def test_a_value_that_no_class_has_is_named_with_its_pixels(content, table, message):
    with pytest.raises(BadFileError) as error:
        decode_labels(content, Classes(table))
    assert re.search(message, error.value.detail)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_large_masks_are_read_piece_by_piece(at_once, monkeypatch):
    monkeypatch.setattr(classes, "_PIXELS", at_once)
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 12) % 5
    with pytest.raises(BadFileError) as error:
        decode_labels(encoded(pixels), Classes(TABLE))
    assert error.value.detail == "3 in 12 pixels, 4 in 12 pixels"
    found = decode_labels(encoded(pixels % 3), Classes(TABLE)).pixels[0, ..., 0]
    np.testing.assert_array_equal(found, pixels % 3)


def test_a_colour_that_no_class_has_is_named():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = (0, 0, 255)
    with pytest.raises(BadFileError) as error:
        decode_labels(encoded(pixels), Classes(COLOURS))
    assert error.value.detail == "#0000ff in 1 pixel"


@pytest.mark.parametrize(
    ("content", "table", "message"),
    [
        (encoded(MAP, "JPEG"), TABLE, "compressed as JPEG"),
        (encoded(np.eye(3, dtype=np.uint8)[None]), TABLE, "name the classes by colours"),
        (encoded(MAP.astype(np.uint16) * 200), COLOURS, "no colours of 8 bits"),
        (nifti(np.full((2, 2), np.nan, np.float32)), TABLE, "NaN"),
        (inverted(MAP), TABLE, "0 is white; save it with 0 as black"),
        (inverted(MAP > 1), TABLE, "0 is white; save it with 0 as black"),
        (b"P4 2 1\n\x80", TABLE, "0 is white; save it with 0 as black"),
        (b"no picture", TABLE, "not a readable"),
    ],
    ids=["jpeg", "colours", "16 bits", "nan", "inverted", "inverted bits", "pbm", "text"],
)
def test_what_cannot_be_a_label_map_is_refused(content, table, message):
    with pytest.raises(BadFileError) as error:
        decode_labels(content, Classes(table))
    assert message in f"{error.value.reason} {error.value.detail}"


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_every_pixel_has_the_class_of_its_value(data):
    values = data.draw(st.lists(st.integers(-9, 300), min_size=2, max_size=32, unique=True))
    ignore = data.draw(st.none() | st.integers(301, 303))
    table = ClassTable(names=tuple(map(str, values)), values=tuple(values), ignore=ignore)
    known = [*values, *([] if ignore is None else [ignore])]
    pixels = np.array(data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=40)))
    ids = Classes(table).ids(pixels[None, :, None])[0, :, 0]
    for value, found in zip(pixels.tolist(), ids.tolist(), strict=True):
        assert found == (IGNORE if value == ignore else values.index(value))


def write_one(folder, masks):
    """Write a folder of one image and its masks."""
    image = np.arange(masks[0].size, dtype=np.uint8).reshape(masks[0].shape)
    row = [write_picture(folder / "images/0.png", image), "A"]
    row += [write_picture(folder / f"masks/{g}.png", mask) for g, mask in enumerate(masks)]
    return write_table(folder, [row], HEADER)


def test_a_value_of_no_class_stops_fetch_with_file_and_pixels(tmp_path):
    write_eyes(tmp_path / "eyes", 2)
    mask = np.zeros((32, 32), np.uint8)
    mask[3, :5] = 9
    write_picture(tmp_path / "eyes/masks/001_2.png", mask)
    with pytest.raises(ProbunetError) as error:
        fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=TABLE)
    text = str(error.value)
    assert "masks/001_2.png: 9 in 5 pixels; name them under datasets.eyes.classes" in text
    assert not (tmp_path / "m.json").exists()


def test_what_each_grader_s_label_maps_contain(tmp_path, caplog):
    caplog.set_level("INFO")
    masks = [np.zeros((20, 20), np.uint8) for _ in range(3)]
    masks[0][:10], masks[0][:5] = 1, 2
    masks[1][:10], masks[1][:5] = 2, 1  # the classes are swapped
    masks[2][:10], masks[2][:2] = 1, 255
    write_one(tmp_path / "eyes", masks)
    made = fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=TABLE)
    assert made.classes == TABLE
    assert [check.values for check in made.checks] == [
        "background 50.0%, disc 25.0%, cup 25.0%",
        "background 50.0%, disc 25.0%, cup 25.0%",
        "background 50.0%, disc 40.0%, cup 0.0%, ignored 10.0%",
    ]
    assert made.checks[0].marked == 0.5
    assert "classes swapped" in made.checks[1].warnings[0]
    assert "mask_ben agrees with the other graders less than by chance" in caplog.text


def test_classes_that_never_occur_and_a_missing_background_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    write_one(tmp_path / "eyes", [np.ones((4, 4), np.uint8)])
    table = ClassTable(names=("rim", "disc", "cup"), values=(0, 1, 2))
    made = fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=table)
    assert made.warnings == ("no mask has the classes rim, cup",)
    assert "no class is called background, so all classes are scored" in caplog.text


def test_a_manifest_of_binary_masks_is_as_before(tmp_path):
    write_folder(tmp_path / "mine")
    fetch_folder(tmp_path / "mine", tmp_path / "m.json", "mine")
    assert '"classes"' not in (tmp_path / "m.json").read_text()
    assert ImageManifest.read(tmp_path / "m.json").classes is None


def test_slices_without_a_scored_class_are_not_used(tmp_path):
    folder, values = tmp_path / "eyes", np.zeros((8, 6, 4), np.uint8)  # columns, rows, slices
    image = write_volume(folder / "images/0.nii.gz", np.arange(192.0).reshape(8, 6, 4))
    values[:, :, 1], values[:, :, 2] = 2, 255
    row = [image, "A", write_volume(folder / "masks/0.nii.gz", values)]
    write_table(folder, [row], HEADER)
    made = fetch_folder(folder, tmp_path / "m.json", "eyes", classes=TABLE)
    assert (made.images[0].slices, made.unmarked) == ((1,), 3)


def test_a_mask_of_background_only_may_be_that_of_many_images(tmp_path):
    write_eyes(tmp_path / "eyes", 2)
    lines = (tmp_path / "eyes/images.csv").read_text().splitlines()
    write_picture(tmp_path / "eyes/masks/none.png", np.zeros((32, 32), np.uint8))
    shared = [lines[0], *(",".join([*one.split(",")[:4], "masks/none.png"]) for one in lines[1:])]
    (tmp_path / "eyes/images.csv").write_text("\n".join(shared))
    made = fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=TABLE)
    assert len(made.images) == 4
    write_picture(tmp_path / "eyes/masks/none.png", np.eye(32, dtype=np.uint8))
    with pytest.raises(ProbunetError, match="named more than once"):
        fetch_folder(tmp_path / "eyes", tmp_path / "m2.json", "eyes", classes=TABLE)


def test_the_background_is_the_first_class():
    classes = {"cup": 2, "background": 7, "disc": 1}
    source = FolderSource(source="folder", path="eyes", classes=classes)
    table = class_table(source)
    assert (table.names, table.values) == (("background", "cup", "disc"), (7, 2, 1))


@pytest.mark.parametrize("absent", ["equal", "left_out"])
def test_the_store_has_each_grader_s_label_map(tmp_path, absent):
    modes = write_eyes(tmp_path / "eyes", 3)
    fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=TABLE)
    prepare(plan_images(tmp_path / "m.json", absent=absent), tmp_path / "eyes.zarr")
    images = open_labelled(tmp_path / "eyes.zarr")
    assert (images.class_names, images.classes, images.scored_classes) == (
        ("background", "disc", "cup"),
        3,
        [1, 2],
    )
    assert (images.absent, images.graders) == (absent, tuple(HEADER[2:]))
    assert images.labels.shape == (6, 32, 32, 3)
    for row, name in enumerate(images.columns.name):
        for g in range(3):
            own = np.asarray(images.labels[row])[..., g]
            assert any((own == mode).all() for mode in modes[str(name)])
    group = zarr.open_group(tmp_path / "eyes.zarr", mode="r")
    assert group["labels"].metadata.dimension_names == ("image", "row", "column", "grader")


def test_32_classes_of_32_graders(tmp_path):
    random, folder = np.random.default_rng(0), tmp_path / "many"
    maps = random.integers(0, 32, (3, 32, 16, 16)).astype(np.uint8)  # (images, graders, H, W)
    rows = [
        [
            write_picture(folder / f"images/{k}.png", own[0]),
            f"subject {k}",
            *(write_picture(folder / f"masks/{k}_{g}.png", one) for g, one in enumerate(own)),
        ]
        for k, own in enumerate(maps)
    ]
    write_table(folder, rows, ["image", "subject", *(f"mask_{g}" for g in range(32))])
    names = ("background", *(f"class {k}" for k in range(1, 32)))
    table = ClassTable(names=names, values=tuple(range(32)))
    fetch_folder(folder, tmp_path / "m.json", "many", classes=table)
    prepare(plan_images(tmp_path / "m.json"), tmp_path / "many.zarr")
    images = open_labelled(tmp_path / "many.zarr")
    np.testing.assert_array_equal(np.moveaxis(images.labels[:], -1, 1), maps)
    _, label = images.batches(np.arange(3), tiny_settings(), torch.device("cpu")).draw(0, 0)
    assert 16 < label.unique().numel() <= 33
    scores = read_scores(write_label_run(tmp_path, images) / "scores.parquet")
    assert scores["ged"].notna().all()
    assert scores["iou:class 31"].notna().all()


def test_a_store_of_other_classes_is_refused(tmp_path):
    binary = open_images(write_store(tmp_path / "eyes.zarr", [1]))
    labelled = open_labelled(write_labelled(tmp_path / "other/eyes.zarr", [1]))

    def check_it(store, **keys):
        check_origin(store, FolderSource(source="folder", path="here", **keys))

    check_it(binary)
    check_it(labelled, classes={"disc": 1, "background": 0, "cup": 2}, ignore=255)
    with pytest.raises(ProbunetError, match=r"classes: \{.*cup: 2.*, but .* none \(binary masks\)"):
        check_it(binary, classes=CLASSES)
    with pytest.raises(ProbunetError, match=r"none \(binary masks\), but .*\{background: 0, cup"):
        check_it(labelled)
    with pytest.raises(ProbunetError, match=r"ignore: 9, but .*ignore: 255"):
        check_it(labelled, classes=CLASSES, ignore=9)
    with pytest.raises(ProbunetError, match=r"absent: left_out, but .* equal"):
        check_it(labelled, classes=CLASSES, ignore=255, absent="left_out")


def test_label_maps_of_another_size_are_scaled_and_ignored_beyond():
    maps = np.stack([disc((20, 10), 4) + np.uint8(1), np.full((20, 10), 2, np.uint8)], axis=-1)
    fitted = fit_labels(maps.astype(np.uint8), (10, 10))
    assert fitted.shape == (10, 10, 2)
    assert (fitted[:, [0, 1, 8, 9]] == IGNORE).all()
    assert (fitted[:, 3:7, 1] == 2).all()
    assert set(fitted[:, 3:7, 0].ravel().tolist()) == {1, 2}
    assert fit_labels(maps, (20, 10)) is maps


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"classes": {"a": 0, "b": 1.5}}, "classes.b: 1.5 is no whole number, and no colour"),
        ({"classes": {"a": 0, "b": "red"}}, "classes.b: red is no whole number, and no colour"),
        ({"classes": {"a": 0, "b": None}}, "classes.b: nothing is no whole number"),
        ({"classes": {"a": 0, "b": True}}, "classes.b: True is no whole number"),
        ({"classes": {"a": 0}}, "has 1 classes; name 2 to 32"),
        ({"classes": {str(k): k for k in range(33)}}, "has 33 classes; name 2 to 32"),
        ({"classes": {"a": 1, "b": 1}}, "has 1 twice"),
        ({"classes": {"a": "#FF0000", "b": "#ff0000"}}, "has #ff0000 twice"),
        ({"classes": {"a": 1, "b": "#ff0000"}}, "has values and colours"),
        ({"classes": {"a:b": 1, "b": 2}}, "'a:b' is no name of a class"),
        ({"classes": {"a": 0, "b": 1}, "ignore": 1}, "`ignore` is 1, which is a class"),
        ({"classes": {"a": 0, "b": 1}, "ignore": "#ffffff"}, "as `classes` are"),
        ({"classes": {"a": 0, "b": 1}, "threshold": 3.0}, "`threshold` is for binary masks"),
        ({"ignore": 255}, "`ignore` is for masks of several classes"),
        ({"absent": "equal"}, "`absent` is for masks of several classes"),
        ({"classes": {"a": 0, "b": 1}, "absent": "no"}, "absent: Input should be"),
    ],
)
def test_wrong_classes_are_told(section, message):
    data = {"datasets": {"eyes": {"source": "folder", "path": "eyes", **section}}, "folds": 2}
    with pytest.raises(ProbunetError) as error:
        check(Config, data, "study.yaml")
    assert len(str(error.value).splitlines()) == 1
    assert "study.yaml: datasets.eyes" in str(error.value)
    assert message in str(error.value)


def test_binary_data_sets_have_the_settings_of_earlier_versions():
    data = {"datasets": {"mine": {"source": "folder", "path": "mine"}}, "folds": 2}
    section = check(Config, data, "study.yaml").datasets.sections["mine"].for_step("prepare")
    assert not {"classes", "ignore", "absent"} & set(section)
