"""Samples that another code drew: every form of file, the same scores, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from probunet import limits
from probunet.cli import app
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.metrics.bits import pack, unpack
from probunet.run import Run
from probunet.score.elsewhere import import_samples, read_maps
from probunet.score.run import score_run
from probunet.store import open_samples, write_samples
from probunet.truth.base import Data
from support.folds import write_folds
from support.label_images import write_labelled
from support.own_sizes import open_own
from support.samples import sample_attributes
from support.settings import tiny_settings
from support.streets import write_streets

SETTINGS = tiny_settings()  # n is 1 and 4, of the central 32 pixels
RUN = Run("discs", "theirs", 1.0, 0, 0)
N, SIZE = 4, (32, 32)
Maps = dict[int, NDArray[np.uint8]]


@pytest.fixture
def rows(store: Path) -> list[int]:
    found: list[int] = open_data(store).rows_of(["d"]).tolist()
    return found


@pytest.fixture
def maps(rows: list[int]) -> Maps:
    random = np.random.default_rng(0)
    return {row: random.integers(0, 2, (N, *SIZE), np.uint8) for row in rows}


# ------------------------------------------------------------------ forms of files


def as_npy(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    np.save(folder / f"{row}.npy", maps)


def as_npz(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    np.savez_compressed(folder / f"{row}.npz", maps.astype(bool))


def as_named_npz(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    np.savez(folder / f"{row}.npz", samples=maps.astype(np.int64), image=np.zeros((2, 2)))


def as_nifti(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    image = nibabel.Nifti1Image(maps.T.astype(np.float32), np.eye(4))
    nibabel.save(image, folder / f"{row}.nii.gz")


def as_zarr(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    zarr.open(folder / f"{row}.zarr", mode="w", shape=maps.shape, dtype="u1")[:] = maps


def as_group(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    zarr.open_group(folder / f"{row}.zarr", mode="w").create_array("samples", data=maps)


def as_tiff(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    first, *others = [Image.fromarray(one * 255) for one in maps]
    first.save(folder / f"{row}.tif", save_all=True, append_images=others)


def as_pictures(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    inside = folder / str(row)
    inside.mkdir()
    for k, one in enumerate(maps):  # 8, 9, 10, 11: by number, not by letter
        Image.fromarray(one * 255).save(inside / f"sample-{k + 8}.png")


def as_palette(folder: Path, row: int, maps: NDArray[np.uint8]) -> None:
    inside = folder / str(row)
    inside.mkdir()
    for k, one in enumerate(maps):
        picture = Image.fromarray(one)
        picture.putpalette([10, 20, 30, 200, 100, 50])
        picture.save(inside / f"{k}.png")


FORMS = [
    as_npy,
    as_npz,
    as_named_npz,
    as_nifti,
    as_zarr,
    as_group,
    as_tiff,
    as_pictures,
    as_palette,
]
Form = Callable[[Path, int, NDArray[np.uint8]], None]


def written(folder: Path, maps: Maps, form: Form = as_npy) -> Path:
    folder.mkdir()
    for row, own in maps.items():
        form(folder, row, own)
    return folder


def imported(source: Path, store: Path, folds: Path, place: Path, run: Run = RUN) -> Path:
    output = place / "results" / run.folder / "samples.zarr"
    output.parent.mkdir(parents=True, exist_ok=True)
    import_samples(source, store, folds, run, SETTINGS, output)
    return output


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_it_was_written(
    tmp_path: Path, store: Path, folds: Path, maps: Maps, form: Form
) -> None:
    source = written(tmp_path / "theirs", maps, form)
    drawn = open_samples(imported(source, store, folds, tmp_path))
    assert drawn.rows.tolist() == list(maps)
    np.testing.assert_array_equal(unpack(drawn.samples[:], *SIZE), np.stack([*maps.values()]) > 0)
    assert drawn.attributes.samples == N
    assert drawn.attributes.weights_sha256 == ()


def test_a_table_names_files_of_any_name(
    tmp_path: Path, store: Path, folds: Path, maps: Maps
) -> None:
    source = written(tmp_path / "theirs", {row: own for row, own in maps.items()})
    table = tmp_path / "samples.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "row", "file"])
        for row in maps:
            (source / f"{row}.npy").rename(source / f"P{row} of mine.npy")
            writer.writerow(["P", row, f"theirs/P{row} of mine.npy"])
    drawn = open_samples(imported(table, store, folds, tmp_path))
    np.testing.assert_array_equal(unpack(drawn.samples[:], *SIZE), np.stack([*maps.values()]) > 0)


def test_the_single_guess_is_each_pixel_s_most_frequent_class(
    tmp_path: Path, store: Path, folds: Path, maps: Maps
) -> None:
    drawn = open_samples(imported(written(tmp_path / "theirs", maps), store, folds, tmp_path))
    for guess, own in zip(drawn.deterministic[:], maps.values(), strict=True):
        # in a tie the lower one, background
        np.testing.assert_array_equal(unpack(guess, *SIZE), own.sum(axis=0) > N / 2)


def test_further_samples_are_left_out(
    tmp_path: Path, store: Path, folds: Path, maps: Maps, caplog: pytest.LogCaptureFixture
) -> None:
    more = {row: np.concatenate([own, 1 - own]) for row, own in maps.items()}
    with caplog.at_level("INFO"):
        drawn = open_samples(imported(written(tmp_path / "theirs", more), store, folds, tmp_path))
    np.testing.assert_array_equal(unpack(drawn.samples[:], *SIZE), np.stack([*maps.values()]) > 0)
    assert f"the first {N} samples of each of {len(maps)} images" in caplog.text


def test_images_of_their_own_sizes(tmp_path: Path) -> None:
    images, run = open_own(tmp_path / "mine.zarr"), Run("mine", "theirs", 1.0, 0, 0)
    folds = write_folds(tmp_path / "folds.json", "mine", "P0", "P1", "P2 P3")
    random, rows = np.random.default_rng(0), images.rows_of(["P2", "P3"]).tolist()
    maps = {row: random.integers(0, 2, (N, *images.extents[row]), np.uint8) for row in rows}
    source = written(tmp_path / "theirs", maps)
    drawn = open_samples(imported(source, images.path, folds, tmp_path, run))
    for found, own in zip(drawn.samples[:], maps.values(), strict=True):
        whole = np.zeros((N, *images.size), bool)
        whole[:, : own.shape[1], : own.shape[2]] = own
        np.testing.assert_array_equal(unpack(found, *images.size), whole)
    as_npy(source, rows[0], np.zeros((N, *images.size), np.uint8))
    height, width = images.extents[rows[0]]
    with pytest.raises(ProbunetError, match=f"{N} x {height} x {width} is needed"):
        imported(source, images.path, folds, tmp_path, run)


# ------------------------------------------------------------------ our own samples, read back


def own_samples(data: Data, rows: list[int]) -> Maps:
    """Samples (4, H, W) of each row, of all classes."""
    height, width = data.scored_size(SETTINGS)
    random = np.random.default_rng(1)
    return {
        row: random.integers(0, data.classes, (N, height // 4, width // 4), np.uint8)
        .repeat(4, axis=1)
        .repeat(4, axis=2)
        for row in rows
    }


@pytest.mark.parametrize("kind", ["masks", "labels", "modes"])
def test_own_samples_exported_and_read_back_have_equal_scores(
    tmp_path: Path, store: Path, folds: Path, kind: str
) -> None:
    name, test = "discs", "d"
    if kind == "labels":
        name, test = "eyes", "P1 P2 P3"
        names = ("background", "disc", "cup")
        store = write_labelled(tmp_path / "eyes.zarr", [1, 6, 7, 4] * 2, (16, 24), names)
        folds = write_folds(tmp_path / "folds.json", "eyes", "P0", "", test)
    if kind == "modes":
        name, test = "streets", "munster"
        store = write_streets(tmp_path / "streets.zarr")
        folds = write_folds(tmp_path / "folds.json", "streets", "aachen bochum", "ulm", test)
    data = open_data(store)
    maps = own_samples(data, data.rows_of(test.split()).tolist())
    stacked = np.stack([*maps.values()])
    stored = pack(stacked > 0) if data.classes == 2 else stacked
    own = tmp_path / "results" / Run(name, "unet", 1.0, 0, 0).folder / "samples.zarr"
    own.parent.mkdir(parents=True)
    about = sample_attributes(
        Run(name, "unet", 1.0, 0, 0),
        classes=data.classes,
        size=data.scored_size(SETTINGS),
        samples=N,
        store=data.digest,
    )
    arrays = {"rows": np.array([*maps]), "samples": stored, "deterministic": stored[:, 0]}
    write_samples(own, about, arrays)
    run = Run(name, "theirs", 1.0, 0, 0)
    theirs = imported(written(tmp_path / "theirs", maps), store, folds, tmp_path, run)
    tables = []
    for samples in (own, theirs):
        score_run(samples, store, samples.with_name("scores.parquet"), (1, N))
        scores = pd.read_parquet(samples.with_name("scores.parquet"))
        tables.append(scores.query("predictor == 'model'").drop(columns="model"))
    assert tables[0]["ged"].notna().any()
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)


# ------------------------------------------------------------------ what is refused


def refused(
    maps: Maps, store: Path, folds: Path, place: Path, message: str, form: Form = as_npy
) -> None:
    source = written(place / "theirs", maps, form)
    with pytest.raises(ProbunetError, match=message):
        imported(source, store, folds, place)
    left = {path.name for path in (place / "results" / RUN.folder).iterdir()}
    assert left <= {".samples.zarr.lock"}


def test_another_size(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    last = [*maps][-1]
    maps[last] = np.zeros((N, 32, 31), np.uint8)
    refused(maps, store, folds, tmp_path, rf"{last}\.npy: is 4 x 32 x 31, and 4 x 32 x 32 is")


def test_samples_along_the_last_axis(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    turned = {row: np.moveaxis(own, 0, -1) for row, own in maps.items()}
    refused(turned, store, folds, tmp_path, r"is 32 x 32 x 4, .*: samples, height and width")


def test_too_few(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    few = {row: own[:3] for row, own in maps.items()}
    refused(few, store, folds, tmp_path, r"has 3 samples, fewer than the 4 of evaluation.n; draw")


def test_too_few_pictures(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    few = {row: own[:3] for row, own in maps.items()}
    refused(few, store, folds, tmp_path, r"has 3 pictures, fewer than the 4", as_pictures)


def test_an_image_that_is_no_test_image(
    tmp_path: Path, store: Path, folds: Path, maps: Maps
) -> None:
    train = int(open_data(store).rows_of(["a"])[0])
    maps[train] = next(iter(maps.values()))
    refused(maps, store, folds, tmp_path, rf"theirs: has samples of {train}, which are no rows of")


def test_a_missing_image(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    last = [*maps][-1]
    del maps[last]
    refused(
        maps, store, folds, tmp_path, rf"has no samples of 1 of the \d+ test .*rows {last}; add"
    )


def test_values_that_are_no_classes(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    next(iter(maps.values()))[2, 3, 4] = 2
    refused(
        maps, store, folds, tmp_path, r"npy: holds 2, which are no classes; save class ids, 0 to 1"
    )


@pytest.mark.parametrize("value", [0.25, np.nan, np.inf])
def test_probabilities(tmp_path: Path, store: Path, folds: Path, maps: Maps, value: float) -> None:
    soft = {row: own * np.float32(0.5) for row, own in maps.items()}
    next(iter(soft.values()))[0, 0, 0] = value
    refused(soft, store, folds, tmp_path, r"holds fractions, as probabilities are; save class ids")


def test_two_files_of_one_image(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    source = written(tmp_path / "theirs", maps)
    as_npz(source, *next(iter(maps.items())))
    with pytest.raises(ProbunetError, match=r"\.npy is of the same row; remove one\.$"):
        imported(source, store, folds, tmp_path)


def test_other_files_are_counted(
    tmp_path: Path, store: Path, folds: Path, maps: Maps, caplog: pytest.LogCaptureFixture
) -> None:
    source = written(tmp_path / "theirs", maps)
    (source / "README.md").write_text("mine")
    imported(source, store, folds, tmp_path)
    assert "1 files are left out, whose names are no rows: README.md" in caplog.text


@pytest.mark.parametrize("ending", ["npy", "npz", "nii.gz", "png", "zarr"])
def test_a_damaged_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"3.{ending}"
    path.write_bytes(b"PK\x03\x04 no samples at all")
    with pytest.raises(ProbunetError, match=rf"3\.{ending}: cannot be read as samples"):
        read_maps(path, N, SIZE, 2)


def test_an_archive_under_the_name_of_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "1.npz", np.zeros((N, *SIZE), np.uint8))
    (tmp_path / "1.npz").rename(tmp_path / "1.npy")
    with pytest.raises(ProbunetError, match=r"1\.npy: cannot be read as samples"):
        read_maps(tmp_path / "1.npy", N, SIZE, 2)


@pytest.mark.parametrize("inner", [None, "others", "samples/deeper"])
def test_a_group_without_an_array_of_samples(tmp_path: Path, inner: str | None) -> None:
    group = zarr.open_group(tmp_path / "1.zarr", mode="w")
    if inner is not None:
        group.create_array(inner, data=np.zeros((N, *SIZE), np.uint8))
    with pytest.raises(ProbunetError, match=r"1\.zarr: holds no array `samples`"):
        read_maps(tmp_path / "1.zarr", N, SIZE, 2)


def test_a_damaged_chunk(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "1.zarr", np.random.default_rng(0).integers(0, 2, (N, *SIZE)))
    [chunk] = [path for path in (tmp_path / "1.zarr/c").rglob("*") if path.is_file()]
    chunk.write_bytes(chunk.read_bytes()[:-5])
    with pytest.raises(ProbunetError, match=r"1\.zarr: cannot be read as samples"):
        read_maps(tmp_path / "1.zarr", N, SIZE, 2)


def test_an_archive_that_unpacks_to_far_more_than_it_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALWAYS", "PACKED"):
        monkeypatch.setattr(limits, name, 1)
    np.savez_compressed(tmp_path / "3.npz", np.zeros((N, 1024, 1024), np.uint8))
    with pytest.raises(ProbunetError, match=r"values in .* bytes; save it with less compression"):
        read_maps(tmp_path / "3.npz", N, SIZE, 2)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "3.npy", np.array([print]), allow_pickle=True)
    with pytest.raises(ProbunetError, match=r"3\.npy: cannot be read as samples"):
        read_maps(tmp_path / "3.npy", N, SIZE, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,file\n3,a.npy\n", "line 2: needs the columns `row`"),
        ("row,file\nP3,a.npy\n", "line 2: needs the columns `row`"),
        ("row,file\n3,a.npy\n3,b.npy\n", "line 3: row 3 occurs twice"),
        ('row,file\n3,"a', "not a CSV table in UTF-8"),
        ("", "has no samples of"),
    ],
)
def test_a_table_that_cannot_be_used(
    tmp_path: Path, store: Path, folds: Path, text: str, message: str
) -> None:
    table = tmp_path / "samples.csv"
    table.write_text(text)
    with pytest.raises(ProbunetError, match=message):
        imported(table, store, folds, tmp_path)


@pytest.mark.parametrize("name", ["unet", "deterministic", "empty", "graders", "model"])
def test_a_name_that_the_program_uses(
    tmp_path: Path, store: Path, folds: Path, maps: Maps, name: str
) -> None:
    run = Run("discs", name, 1.0, 0, 0)
    with pytest.raises(ProbunetError, match=f"{name} has a meaning in this program; name the"):
        imported(written(tmp_path / "theirs", maps), store, folds, tmp_path, run)


def test_the_command_scores_them(tmp_path: Path, store: Path, folds: Path, maps: Maps) -> None:
    source = written(tmp_path / "theirs", maps)
    place = tmp_path / "results" / RUN.folder
    place.mkdir(parents=True)
    settings = json.dumps({"evaluation": {"crop": 32, "samples": 4, "n": [1, 4]}})
    words = ["score", "run", "--dataset", "discs", "--settings", settings, "--store", str(store)]
    words += ["--samples", str(place / "samples.zarr"), "--output", str(place / "scores.parquet")]
    given = [*words, "--samples-from", str(source)]
    alone = CliRunner().invoke(app, given)
    assert "--samples-from and --folds belong together" in str(alone.exception)
    done = CliRunner().invoke(app, [*given, "--folds", str(folds)])
    assert done.exit_code == 0, done.exception
    scores = pd.read_parquet(place / "scores.parquet")
    assert set(scores["model"]) == {"theirs"}
    assert set(scores.query("predictor == 'model'")["row"]) == set(maps)
