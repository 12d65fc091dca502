"""Inputs by path, folder and table; places."""

from pathlib import Path

import pytest

from probunet.errors import ProbunetError
from probunet.predict.base import Place
from probunet.predict.inputs import find_inputs, read_places
from support.slices import write_slice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/b/2.png", "c.png", ".hidden/3.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "images"


def names(*paths: Path) -> list[str]:
    return [one.name for one in find_inputs(paths, Path("elsewhere"))]


def test_files_of_a_folder_are_named_by_their_place_in_it(folder: Path) -> None:
    assert names(folder) == ["a/1.png", "a/b/2.png", "c.png"]
    assert names(folder / "c.png", folder / "a/1.png") == ["c.png", "1.png"]


def test_links_in_a_folder_are_followed_once(folder: Path, tmp_path: Path) -> None:
    (folder / "a/loop").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "gone")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/4.png").write_bytes(b"")
    (folder / "d").symlink_to(tmp_path / "elsewhere")
    assert names(folder) == ["a/1.png", "a/b/2.png", "c.png", "d/4.png", "gone.png"]


def test_series_in_a_folder_are_inputs(folder: Path) -> None:
    for name in ("a/b/1.dcm", "a/b/deeper/2.dcm"):
        write_slice(folder / name, 0)
    assert names(folder) == ["a/1.png", "a/b", "c.png"]
    assert names(folder / "a/b") == ["b"]


def test_the_table_of_own_data_is_a_table_of_inputs(folder: Path) -> None:
    table = folder / "images.csv"
    table.write_text("image,subject,mask_a\na/1.png,P1,m.png\n\n./c.png,P2,\n")
    assert names(table) == ["a/1.png", "c.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\nc.png\n", r"images\.csv: has no column image \(columns: picture\)"),
        ("image\n", r"images\.csv: has no line below its header"),
        ("image,row\nc.png,x\n", r"line 2: row is 'x'; write the number"),
        ("image,row\nc.png,-1\n", r"line 2: row is '-1'"),
        ("image,row\nc.png\n", r"line 2: has 1 cells, and the header 2"),
        ("image\n../c.png\n", r"line 2: \.\./c\.png is not inside the table's folder"),
        ("image\nc.png\nc.png\n", r"would be in the folder c\.png, as those of .*c\.png"),
        ('image\n"c.png\n', r"line 3: not a CSV file in UTF-8"),
    ],
)
def test_tables_that_are_wrong(folder: Path, text: str, message: str) -> None:
    (folder / "images.csv").write_text(text)
    with pytest.raises(ProbunetError, match=message):
        names(folder / "images.csv")


def test_paths_that_are_wrong(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "none", "none: no such file or folder"),
        (tmp_path / "empty", "empty: has no files"),
    ):
        with pytest.raises(ProbunetError, match=message):
            names(path)
    other = tmp_path / "other/c.png"
    other.parent.mkdir()
    other.write_bytes(b"")
    with pytest.raises(ProbunetError, match=r"in the folder c\.png, as those of .*images/c\.png"):
        names(folder / "c.png", other)


@pytest.mark.parametrize("order", [1, -1])
def test_results_are_not_inside_those_of_another_input(folder: Path, tmp_path: Path, order) -> None:
    (tmp_path / "a").write_bytes(b"")  # its results are the folder of those of images/a/1.png
    message = (
        r"a/1\.png: its results would be in the folder a, as those of .*/a; choose an --output"
    )
    with pytest.raises(ProbunetError, match=message):
        names(*[folder, tmp_path / "a"][::order])


def test_places(tmp_path: Path) -> None:
    assert read_places("mm:1,-2.5,3") == [Place(1, -2.5, 3, "mm")]
    assert read_places("voxel:10,20,3") == [Place(10, 20, 3, "voxel")]
    table = tmp_path / "places.csv"
    table.write_text("x,y,z,unit,row\n1,2,3,mm,4\n5,6,7,voxel,\n")
    assert read_places(str(table)) == [Place(1, 2, 3, "mm", 4), Place(5, 6, 7, "voxel")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "--at 1,2,3: is no place"),
        ("cm:1,2,3", "--at cm:1,2,3: is no place"),
        ("mm:1,2", "--at mm:1,2: is no place"),
        ("mm:1,2,x", "--at: could not convert string to float: 'x'; write three numbers"),
        ("mm:1,2,nan", "--at: .*write three numbers"),
        ("none.csv", r"none\.csv: no such file"),
    ],
)
def test_places_that_are_wrong(text: str, message: str) -> None:
    with pytest.raises(ProbunetError, match=message):
        read_places(text)
