"""A folder of one's own: what is listed, what is left out and told, and what is refused."""

import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.folder.manifest import ImageReason
from probunet.errors import ProbunetError
from support.own_images import disc, write_folder, write_picture, write_table, write_volume

SIZE = (16, 24)
GREY = np.arange(16 * 24, dtype=np.uint16).reshape(SIZE)
MASK = disc(SIZE, 5).astype(np.uint8)


def fetch(folder: Path, dataset: str = "mine"):
    return fetch_folder(folder, folder.parent / "mine.manifest.json", dataset)


def picture(folder: Path, name: str, pixels: np.ndarray = GREY, mask: np.ndarray = MASK):
    """Write an image and a mask; return their cells with the subject between them."""
    return [
        write_picture(folder / f"i/{name}.png", pixels),
        name,
        write_picture(folder / f"m/{name}.png", mask),
    ]


def volume(folder: Path, name: str, values: np.ndarray, mask: np.ndarray, affine=None):
    return [
        write_volume(folder / f"i/{name}.nii.gz", values, affine),
        name,
        write_volume(folder / f"m/{name}.nii.gz", mask),
    ]


def test_what_is_listed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "pictures"
    write_folder(folder, subjects=2)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made = fetch(folder)
    assert (made.dataset, made.source, made.synthetic) == ("mine", "folder", False)
    assert made.root == str(folder)
    assert made.graders == ("mask_anna", "mask_ben", "mask_eva")
    assert made.left_out == ()
    assert made.unmarked == 2
    listed = {image.image.path: image for image in made.images}
    assert len(listed) == 6
    single, whole = listed["images/00.png"], listed["images/1.nii.gz"]
    assert (single.subject, single.slices, single.channels) == ("subject 0", None, 1)
    assert [mask and mask.path for mask in single.masks] == ["masks/00_0.png", None, None]
    assert (whole.size, whole.slices, whole.dtype) == ((32, 48), (1, 2, 3), "uint16")
    for file in (made.table, whole.image, *filter(None, whole.masks)):
        content = before[folder / file.path]
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert f"{folder}: 10 images of 2 subjects" in caplog.text


def spoilt(folder: Path, kind: str) -> tuple[list[str], str]:
    """Write an image that cannot be used; return its line, and the file to name."""
    row = picture(folder, "bad")
    image, mask = row[0], row[2]
    if kind == "no mask":
        return row[:2], image
    if kind.startswith("missing"):
        gone = image if kind == "missing image" else mask
        (folder / gone).unlink()
        return row, gone
    if kind == "a folder":
        (folder / mask).unlink()
        (folder / mask).mkdir()
        return row, mask
    if kind == "truncated":
        (folder / image).write_bytes((folder / image).read_bytes()[:60])
        return row, image
    if kind == "empty":
        (folder / mask).write_bytes(b"")
        return row, mask
    if kind == "transparent":
        write_picture(folder / mask, np.zeros((*SIZE, 4), np.uint8))
        return row, mask
    if kind == "another shape":
        write_picture(folder / mask, MASK.T)
        return row, mask
    if kind == "NaN":
        pixels = GREY.astype(np.float32)
        pixels[0, 0] = np.nan
        return [write_picture(folder / "i/bad.tif", pixels), *row[1:]], "i/bad.tif"
    stack = np.zeros((24, 16, 3), np.int16)
    if kind == "unmarked":
        row = volume(folder, "bad", stack, stack)
        return row, row[0]
    affine = np.diag([-1, 1, 1, 1])
    row = volume(folder, "bad", stack, stack + 1, affine)
    return row, row[2]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no mask", ImageReason.NO_MASK),
        ("missing image", ImageReason.MISSING),
        ("missing mask", ImageReason.MISSING),
        ("a folder", ImageReason.MISSING),
        ("truncated", ImageReason.UNREADABLE),
        ("empty", ImageReason.UNREADABLE),
        ("transparent", ImageReason.FORM),
        ("another shape", ImageReason.SHAPES_DIFFER),
        ("NaN", ImageReason.NOT_FINITE),
        ("unmarked", ImageReason.UNMARKED),
        ("orientation", ImageReason.ORIENTATION),
    ],
)
def test_what_cannot_be_used_is_left_out_counted_and_named(tmp_path, caplog, kind, reason):
    folder = tmp_path / "pictures"
    row, file = spoilt(folder, kind)
    write_table(folder, [picture(folder, "good"), row])
    made = fetch(folder)
    [left_out] = made.left_out
    assert (left_out.subject, left_out.reason, left_out.place) == ("bad", reason, file)
    assert [image.subject for image in made.images] == ["good"]
    assert f"left out: {file}: {reason}" in caplog.text


def test_a_slice_that_is_no_number_is_left_out_alone(tmp_path):
    folder = tmp_path / "pictures"
    values = np.zeros((24, 16, 4), np.float32)
    values[3, 3, 0] = values[3, 3, 2] = np.inf
    mask = np.ones((24, 16, 4), np.uint8)
    mask[..., 0] = 0  # nobody will look at this one
    write_table(folder, [volume(folder, "v", values, mask)])
    made = fetch(folder)
    assert made.images[0].slices == (1, 3)
    assert [item.place for item in made.left_out] == ["i/v.nii.gz, slice 2"]
    assert made.unmarked == 1


def test_an_image_on_which_all_graders_marked_nothing_is_one(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "empty", mask=np.zeros(SIZE, np.uint8))])
    assert len(fetch(folder).images) == 1


def test_many_left_out_images_are_summed_up(tmp_path, caplog):
    folder = tmp_path / "pictures"
    rows = [[f"i/{k}.png", "bad", f"m/{k}.png"] for k in range(15)]
    write_table(folder, [*rows, picture(folder, "good")])
    made = fetch(folder)
    assert len(made.left_out) == 15
    told = [line for line in caplog.messages if "left out" in line]
    assert len(told) == 11
    assert told[-1] == f"{folder}: left out: and 5 more: no such file"


def test_the_window_of_8_bits_is_the_type_s(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "a", GREY.astype(np.uint8))])
    assert fetch(folder).window == (0, 255)


def test_another_window_is_that_of_percentiles_of_all_images(tmp_path):
    folder, random = tmp_path / "pictures", np.random.default_rng(0)
    images = [random.normal(1000 * k, 50 * (k + 1), (96, 80)).clip(0) for k in range(1, 4)]
    mask = disc((96, 80), 5).astype(np.uint8)
    rows = [
        picture(folder, str(k), image.astype(np.uint16), mask) for k, image in enumerate(images)
    ]
    write_table(folder, rows)
    made = fetch(folder)
    expected = np.percentile(np.stack(images), (0.5, 99.5))
    np.testing.assert_allclose(made.window, expected, rtol=0.02)
    assert "percentile" in made.window_from


def test_a_constant_image_still_has_a_window(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "a", np.full(SIZE, 7, np.uint16))])
    assert fetch(folder).window == (7, 8)


def test_grey_and_colour_do_not_go_together(tmp_path):
    folder = tmp_path / "pictures"
    colour = np.zeros((*SIZE, 3), np.uint8)
    write_table(folder, [picture(folder, "a"), picture(folder, "b", colour)])
    with pytest.raises(ProbunetError, match=r"i/a.png has 1 channel, and i/b.png has 3 channels"):
        fetch(folder)


def test_nothing_usable_is_an_error_that_counts(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_table(folder, [["a.png", "P", "b.png"], ["c.png", "P"]])
    with pytest.raises(ProbunetError, match=r"no image .*no mask is named: 1; no such file: 1"):
        fetch(folder)
    assert not (tmp_path / "mine.manifest.json").exists()


def test_a_file_that_may_not_be_read_stops_all(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    row = picture(folder, "a")
    write_table(folder, [row])
    readable = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.png":
            raise PermissionError(13, os.strerror(13), str(path))
        return readable(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ProbunetError, match=r"i/a\.png: cannot be read \(Permission denied\)"):
        fetch(folder)
