"""A folder of one's own: what is listed, what is left out and told, and what is refused."""

import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probunet.datasets import raw_file
from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.folder.manifest import ImageManifest, ImageReason
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


def volume(
    folder: Path, name: str, values: np.ndarray, mask: np.ndarray, affine=None, mask_affine=None
):
    return [
        write_volume(folder / f"i/{name}.nii.gz", values, affine),
        name,
        write_volume(folder / f"m/{name}.nii.gz", mask, mask_affine),
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
    if kind in ("near black", "soft"):
        marks = np.where(MASK, 253, 3) if kind == "near black" else GREY % 256
        write_picture(folder / mask, marks.astype(np.uint8))
        return row, mask
    if kind == "a JPEG mask":
        return [*row[:2], write_picture(folder / "m/bad.jpg", MASK * 255)], "m/bad.jpg"
    stack = np.zeros((24, 16, 3), np.int16)
    if kind in ("origin", "voxel size"):
        affine = np.diag([1, 1, 1.5, 1]) if kind == "voxel size" else np.eye(4)
        affine[2, 3] = 7 if kind == "origin" else 0
        row = volume(folder, "bad", stack, stack + 1, mask_affine=affine)
        return row, row[2]
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
        ("origin", ImageReason.PLACE),
        ("voxel size", ImageReason.PLACE),
        ("near black", ImageReason.VALUES),
        ("soft", ImageReason.VALUES),
        ("a JPEG mask", ImageReason.JPEG_MASK),
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
    is_mask = file.startswith("m/")
    assert made.checks[0].left_out == is_mask


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
    readable = raw_file.read_regular

    def refuse(path: Path) -> bytes:
        if path.name == "a.png":
            raise PermissionError(13, os.strerror(13), str(path))
        return readable(path)

    monkeypatch.setattr(raw_file, "read_regular", refuse)
    with pytest.raises(ProbunetError, match=r"i/a\.png: cannot be read \(Permission denied\)"):
        fetch(folder)


def test_a_place_that_differs_by_rounding_is_the_same(tmp_path):
    folder = tmp_path / "pictures"
    stack = np.ones((24, 16, 3), np.int16)
    affine = np.diag([0.7, 0.7, 5, 1])
    row = volume(folder, "a", stack, stack, affine, affine + 1e-4)
    write_table(folder, [row])
    assert fetch(folder).left_out == ()


def test_what_each_grader_s_masks_contain(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "pictures"
    rows = []
    for k, name in enumerate("ab"):
        row = picture(folder, name)
        write_picture(folder / f"m/{name}.png", disc(SIZE, 5).astype(np.uint8) * (255 - k * 254))
        second = disc(SIZE, 5, shift=2).astype(np.uint8) * 255
        rows.append([*row, write_picture(folder / f"n/{name}.png", second)])
    rows.append(picture(folder, "c", mask=np.zeros(SIZE, np.uint8)))
    write_table(folder, rows, ["image", "subject", "mask_anna", "mask_ben", "mask_eva"])
    made = fetch(folder)
    anna, ben, eva = made.checks
    first, second = disc(SIZE, 5), disc(SIZE, 5, shift=2)
    assert (anna.grader, anna.values, anna.images) == ("mask_anna", "values 0, 1, 255", 3)
    assert anna.marked == pytest.approx(2 / 3 * first.mean())
    assert ben.marked == pytest.approx(second.mean())
    iou = (first & second).sum() / (first | second).sum()
    assert (anna.overlap, ben.overlap) == pytest.approx((iou, iou))
    assert (eva.images, eva.overlap, eva.warnings) == (0, None, ())
    assert anna.warnings == ben.warnings == ()
    assert (
        f"{folder}: mask_anna: values 0, 1, 255; marks {anna.marked:.1%} of the pixels of "
        f"3 images; mean IoU with the others {iou:.2f}" in caplog.messages
    )
    assert f"{folder}: mask_eva: no image" in caplog.messages


@pytest.mark.parametrize(
    ("kind", "warnings"),
    [
        ("inverted", ["more than half", "less than by chance"]),
        ("nothing", ["marks no pixel"]),
        ("elsewhere", ["less than by chance"]),
        ("everything", ["more than half"]),
        ("good", []),
    ],
)
def test_unlikely_graders_are_warned_about(tmp_path, caplog, kind, warnings):
    folder = tmp_path / "pictures"
    spoilt = {
        "inverted": 1 - MASK,
        "nothing": 0 * MASK,
        "elsewhere": np.roll(MASK, 12, axis=1),
        "everything": 0 * MASK + 1,
        "good": disc(SIZE, 4).astype(np.uint8),
    }[kind]
    rows = [
        [*picture(folder, name), write_picture(folder / f"n/{name}.png", spoilt)] for name in "ab"
    ]
    write_table(folder, rows, ["image", "subject", "mask_a", "mask_b"])
    made = fetch(folder)
    assert len(made.checks[1].warnings) == len(warnings)
    for warning, words in zip(made.checks[1].warnings, warnings, strict=True):
        assert words in warning
        assert f"{folder}: warning: mask_b {warning}" in caplog.text


def test_a_single_grader_who_marks_the_background_is_warned_about(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "a", mask=255 - MASK * 255)], ["image", "subject", "mask"])
    [check] = fetch(folder).checks
    assert ["more than half" in warning for warning in check.warnings] == [True]


def test_a_threshold_reads_soft_masks_and_those_of_jpeg(tmp_path):
    folder = tmp_path / "pictures"
    soft = (MASK * 200 + GREY % 50).astype(np.uint8)
    rows = [picture(folder, "a", mask=soft), picture(folder, "b")]
    rows[1][2] = write_picture(folder / "m/b.jpg", MASK * 255)
    rows.append(picture(folder, "c", mask=(MASK * 250 + 3)))
    write_table(folder, rows)
    made = fetch_folder(folder, tmp_path / "m.json", "mine", threshold=128)
    assert (made.left_out, made.threshold) == ((), 128)
    assert made.checks[0].marked == pytest.approx(MASK.mean(), rel=0.1)
    assert made.checks[0].warnings == ()


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_swapped_columns_are_told(tmp_path, caplog, kind):
    folder = tmp_path / "pictures"
    rows = [picture(folder, name, GREY.astype(np.uint8), MASK * 255) for name in "abc"]
    swapped = [[mask, name, image] for image, name, mask in rows]
    for row in swapped:
        row[2] = write_picture(folder / f"j/{row[1]}.{kind}", GREY.astype(np.uint8))
    write_table(folder, swapped)
    with pytest.raises(ProbunetError, match=r"no image can .*i?j/a\.\w+: mask .*columns image and"):
        fetch(folder)
    assert "are the columns image and mask swapped?" in caplog.text
    made = fetch_folder(folder, tmp_path / "m.json", "mine", threshold=128)
    assert made.warnings == (
        "3 of 3 images have only two values, as masks have: are the columns image and mask "
        "swapped?",
    )


def axes(*columns: int) -> np.ndarray:
    """Return an affine whose columns point along axes of space, 1 to 3 or -1 to -3."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, axis in enumerate(columns):
        affine[abs(axis) - 1, column] = np.sign(axis)
    return affine


def test_volumes_of_two_planes_do_not_go_together(tmp_path):
    folder = tmp_path / "pictures"
    stack = np.ones((24, 16, 3), np.int16)
    axial, sagittal = axes(1, 2, 3), axes(2, 3, 1)
    rows = [
        volume(folder, "a", stack, stack, axial, axial),
        volume(folder, "s", stack, stack, sagittal, sagittal),
    ]
    write_table(folder, rows)
    with pytest.raises(
        ProbunetError,
        match=r"i/a.nii.gz has axial slices \(axes RAS\), and i/s.nii.gz has sagittal slices "
        r"\(axes ASR\)",
    ):
        fetch(folder)


@pytest.mark.parametrize("shape", [(24, 16, 1), (24, 16)])
def test_single_slices_of_two_planes_do_not_go_together(tmp_path, shape):
    folder = tmp_path / "pictures"
    single = np.ones(shape, np.int16)
    rows = [
        volume(folder, name, single, single, affine, affine)
        for name, affine in (("a", axes(1, 2, 3)), ("s", axes(2, 3, 1)))
    ]
    write_table(folder, rows)
    with pytest.raises(ProbunetError, match=r"i/a.nii.gz has axial .*i/s.nii.gz has sagittal"):
        fetch(folder)


def tilted(degrees: float) -> np.ndarray:
    """Return the affine of a volume that is turned around its first axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])


def test_rounding_does_not_matter_though_it_changes_the_names_of_the_axes(tmp_path):
    folder = tmp_path / "pictures"
    stack = np.ones((24, 16, 3), np.int16)
    write_table(folder, [volume(folder, "a", stack, stack, tilted(45.001), tilted(44.999))])
    assert fetch(folder).left_out == ()


def test_oblique_volumes_of_several_subjects_go_together(tmp_path):
    folder = tmp_path / "pictures"
    stack = np.ones((24, 16, 3), np.int16)
    rows = []
    for degrees in (30, 60):  # one nearer to axial, one to coronal
        affine = tilted(degrees)
        rows.append(volume(folder, str(degrees), stack, stack, affine, affine))
    write_table(folder, rows)
    made = fetch(folder)
    assert (len(made.images), made.warnings) == (2, ())


def test_mirrored_volumes_are_told(tmp_path, caplog):
    folder = tmp_path / "pictures"
    stack = np.ones((24, 16, 3), np.int16)
    rows = [
        volume(folder, name, stack, stack, affine, affine)
        for name, affine in (("a", axes(1, 2, 3)), ("b", axes(-1, 2, 3)))
    ]
    write_table(folder, rows)
    assert "1 of 2 volumes have the axes LAS" in fetch(folder).warnings[0]
    assert "warning: 1 of 2 volumes have the axes LAS" in caplog.text


def test_an_image_that_is_turned_without_its_mask_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "pictures"
    rows = [picture(folder, name, (GREY + ord(name)).astype(np.uint8)) for name in "ab"]
    exif = Image.Exif()
    exif[274] = 3
    for name in ("i/a.png", "m/a.png", "i/b.png"):
        Image.open(folder / name).save(folder / name, exif=exif)
    write_table(folder, rows)
    [warning] = fetch(folder).warnings
    assert warning.startswith("of 1 image, the orientation tag turns the image or a mask, but not")
    assert "2 images or masks of them were turned upright" in caplog.text


def test_a_mask_that_does_not_fit_because_only_its_image_was_turned_says_so(tmp_path):
    folder = tmp_path / "pictures"
    rows = [picture(folder, name, GREY.astype(np.uint8)) for name in "ab"]
    exif = Image.Exif()
    exif[274] = 6
    Image.open(folder / "i/a.png").save(folder / "i/a.png", exif=exif)
    write_table(folder, rows)
    [left_out] = fetch(folder).left_out
    assert left_out.reason is ImageReason.SHAPES_DIFFER
    assert left_out.detail.endswith("; an orientation tag turned the image only")


def test_one_empty_mask_may_be_that_of_many_images(tmp_path):
    folder = tmp_path / "pictures"
    rows = [picture(folder, name) for name in "abc"]
    empty = write_picture(folder / "m/empty.png", 0 * MASK)
    for row in rows[1:]:
        row[2:] = [empty, empty]
    write_table(folder, rows)
    made = fetch(folder)
    assert len(made.images) == 3
    assert [mask and mask.path for mask in made.images[1].masks] == [empty, empty, None]
    write_picture(folder / empty, MASK)
    with pytest.raises(
        ProbunetError,
        match=r"m/empty.png: mask that is named more than once and marks something \(line 3\);",
    ):
        fetch(folder)
    write_table(folder, [[*rows[0], rows[0][2]]])
    with pytest.raises(ProbunetError, match=r"m/a.png: mask that is named more than once.*line 2"):
        fetch(folder)


def test_the_licence_is_that_of_the_section(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "a")])
    assert fetch(folder).licence == "unknown: your own images"
    made = fetch_folder(folder, tmp_path / "m.json", "mine", licence="CC BY 4.0")
    assert made.licence == "CC BY 4.0"


def test_a_manifest_without_checks_is_still_read(tmp_path):
    folder = tmp_path / "pictures"
    write_table(folder, [picture(folder, "a")])
    fetch(folder)
    path = tmp_path / "mine.manifest.json"
    known = json.loads(path.read_text())
    for key in ("checks", "warnings", "threshold"):
        del known[key]
    path.write_text(json.dumps(known))
    assert ImageManifest.read(path).checks == ()


def test_equal_images_and_subjects_that_look_alike_are_told(tmp_path, caplog):
    folder = tmp_path / "pictures"
    rows = [picture(folder, f"i{number}", GREY + number % 3) for number in range(5)]
    for row, subject in zip(rows, ["P1", "P2", "P3", "p 1", "P2"], strict=True):
        row[1] = subject
    write_table(folder, rows)
    same = (
        "2 images equal another one under another name (i/i3.png and i/i0.png); 1 of them belong "
        "to several subjects, which folds may divide"
    )
    alike = (
        "1 subject differs from another one only in case, spaces or form of letters (P1 and p 1), "
        "and counts as a different one, so that folds may divide it; give each subject one name"
    )
    assert fetch(folder).warnings == (same, alike)
    assert f"{folder}: warning: {same}" in caplog.text
    assert f"{folder}: warning: {alike}" in caplog.text


def test_equal_images_in_another_file_format_are_told(tmp_path):
    folder = tmp_path / "pictures"
    first, second = picture(folder, "a"), picture(folder, "b")
    second[0] = write_picture(folder / "i/b.tif", GREY)
    write_table(folder, [first, second])
    [warning] = fetch(folder).warnings
    assert warning.startswith("1 image equals another one under another name (i/b.tif and i/a.png)")


def test_blank_images_are_not_compared(tmp_path):
    folder = tmp_path / "pictures"
    blank, two = np.ones(SIZE, np.uint8), MASK + 1
    rows = [
        picture(folder, name, pixels)
        for name, pixels in zip("abcd", [blank] * 2 + [two] * 2, strict=True)
    ]
    write_table(folder, [*rows, *(picture(folder, f"e{n}", GREY + n) for n in range(3))])
    assert fetch(folder).warnings == ()
