import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from probunet.datasets import find
from probunet.datasets.lidc.released.report import ShownReleased
from probunet.datasets.lidc.released.store import ReleasedCrops
from probunet.datasets.lidc.report import ShownCrops
from probunet.datasets.lidc.store import open_crops
from probunet.pictures.outline import outline
from probunet.report.build import _environment
from support.crops import crops_of, write_crops

MINUS = "\N{MINUS SIGN}"


@given(st.integers(3, 12), st.integers(3, 12), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_outline_encloses_the_mask_s_pixels(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    inside = np.zeros(mask.shape, bool)
    for part in outline(mask).split("M")[1:]:
        points = [tuple(map(float, pair.split())) for pair in part.rstrip("Z").split("L")]
        assert points[0] != points[-1]
        # SVG's (x, y) from the corner, against (row, column) from the pixel's centre
        corners = np.array(points)[:, ::-1] - 0.5
        inside ^= polygon2mask(mask.shape, corners)  # even-odd, as the page fills it
    np.testing.assert_array_equal(inside, mask)


def test_an_empty_mask_has_no_outline() -> None:
    assert outline(np.zeros((4, 4), bool)) == ""


def test_one_pixel_is_a_diamond_around_its_centre() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1, 3] = True
    points = {tuple(map(float, p.split())) for p in re.split("[MLZ]", outline(mask)) if p}
    assert points == {(3.5, 1), (4, 1.5), (3.5, 2), (3, 1.5)}


def test_crops_of_one_slice_are_told_apart_by_their_lesions(study: Any) -> None:
    crops = open_crops(study.store)
    shown = ShownCrops(crops)
    assert [shown.name_of(row) for row in (0, 1)] == [f"z {MINUS}100.0 mm", f"z {MINUS}97.5 mm"]
    crops.columns.z[1] = -100
    crops.columns.lesion[1] = 2
    assert [shown.name_of(row) for row in (0, 1)] == [
        f"z {MINUS}100.0 mm, lesion 0",
        f"z {MINUS}100.0 mm, lesion 2",
    ]
    crops.columns.patient[1] = "another"
    assert shown.name_of(0) == f"z {MINUS}100.0 mm"


def test_released_crops_are_named_as_in_their_set_after_the_patient() -> None:
    names = {
        "LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0/images/slice-9.png": "nodule-0/slice-9",
        "train/images/LIDC-IDRI-0001/z--105.0_c0.png": "z--105.0_c0",
        "07_2": "07_2",
        "train/12": "train/12",
    }
    columns = SimpleNamespace(patient=["LIDC-IDRI-0001"] * len(names), name=list(names))
    shown = ShownReleased(cast(ReleasedCrops, SimpleNamespace(columns=columns)))
    assert [shown.name_of(row) for row in range(len(names))] == list(names.values())


def test_a_split_by_series_is_told_as_whose_it_is() -> None:
    words: Any = _environment().get_template(find("lidc").template).module
    for parts, told in (({"": 3}, "as MoSE draws them"), ({"train": 2, "test": 1}, "HDF5 file")):
        data = SimpleNamespace(released=True, attributes=SimpleNamespace(parts=parts))
        assert told in words.split(SimpleNamespace(data=data, folds=1, split="series"))


def test_the_page_says_that_masks_of_an_older_version_are_too_small() -> None:
    words: Any = _environment().get_template(find("lidc").template).module
    for version in (1, 2):
        crops = crops_of(["a"], protocol_version=version)
        about = SimpleNamespace(data=crops, size=None, folds=2, split=None)
        described = words.described(about)
        assert ("masks are too small" in described) == (version == 1)


def test_crops_without_a_marked_pixel_are_counted_and_their_rule_is_told(tmp_path: Path) -> None:
    masks = np.zeros((70, 180, 180), np.uint8)
    masks[3:, 90, 90] = 1
    path = write_crops(tmp_path / "lidc.zarr", masks.astype(np.int16), masks, ["a"] * 70)
    words: Any = _environment().get_template(find("lidc").template).module
    for data, told in (
        (open_crops(path), "mask has a pixel there. They are kept"),
        (open_crops(path), "<dd>3: no grader"),
        (crops_of(["a"] * 4), "4: no grader"),
    ):
        page = words.described(SimpleNamespace(data=data, size=None, folds=2, split=None))
        assert told in str(page)
    write_crops(tmp_path / "all.zarr", masks[3:].astype(np.int16), masks[3:], ["a"] * 67)
    assert open_crops(tmp_path / "all.zarr").unmarked() == 0
