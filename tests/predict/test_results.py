"""Files of results: formats, space, numbers; runs that are resumed, and inputs that are refused."""

import errno
import json
import os
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from probunet.cli import app
from probunet.datasets.folder.image_files import decode_image
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.models.weights import load_plain, save_whole
from probunet.predict.base import DISCLAIMER, Place
from probunet.predict.predictor import load
from probunet.predict.results import predict
from probunet.predict.series import crops_at, read_series
from probunet.prepared import Prepared
from support.predicting import assert_same_places, write_weights, write_whole_series
from support.slices import write_slice

RANDOM = np.random.default_rng(1)
SIZE = (32, 48)
CROPS = Prepared((32, 32), "keep", "int16", -1024.0, 0.5)
AFFINE = np.array([[-0.7, 0.1, 0, 90], [0.1, 0.7, 0, -80], [0, 0, 2.5, 33], [0, 0, 0, 1.0]])


def grey(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.pt")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of a PNG, a JPEG, a TIFF, a TIFF stack and a NIfTI volume."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(grey(*SIZE)).save(folder / "a.png")
    Image.fromarray(grey(60, 50)).save(folder / "deep/b.jpg")
    tifffile.imwrite(folder / "c.tif", grey(*SIZE))
    tifffile.imwrite(folder / "d.tif", grey(4, *SIZE), photometric="minisblack")
    write_nifti(folder / "e.nii.gz", grey(48, 32, 3))
    return folder


def write_nifti(path: Path, values: np.ndarray, kind: type = nibabel.Nifti1Image) -> Path:
    image = kind(values, AFFINE)
    image.set_sform(AFFINE, code=2)
    nibabel.save(image, path)
    return path


def run(output: Path, weights: Path, *paths: Path, **options: object) -> list[dict]:
    predict(paths, [weights], output, n=options.pop("n", 4), device="cpu", threads=1, **options)
    return lines(output)


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    """Return a file of maps as (slices, H, W); a palette's indices."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))[None]
    return decode_image(path.read_bytes()).pixels[..., 0]


# ------------------------------------------------------------------ what is written


def test_results_have_the_format_of_the_input(tmp_path: Path, weights: Path, images: Path) -> None:
    run(tmp_path / "out", weights, images)
    found = {
        path.parent.relative_to(tmp_path / "out").as_posix(): path.name
        for path in sorted((tmp_path / "out").rglob("sample-000.*"))
    }
    assert found == {
        "a.png": "sample-000.png",
        "deep/b.jpg": "sample-000.png",
        "c.tif": "sample-000.tif",
        "d.tif": "sample-000.tif",
        "e.nii.gz": "sample-000.nii.gz",
    }
    names = sorted(path.name for path in (tmp_path / "out/a.png").iterdir())
    assert names == [
        "deterministic.png",
        "entropy.tif",
        "mean-foreground.tif",
        "montage.png",
        "mutual-information.tif",
        "result.json",
        *(f"sample-00{i}.png" for i in range(4)),
    ]


def test_results_are_what_python_returns(tmp_path: Path, weights: Path, images: Path) -> None:
    written = run(tmp_path / "out", weights, images, seed=3)
    predictor = load(weights, device="cpu", threads=1)
    assert [one["image"] for one in written] == [
        "a.png",
        "c.tif",
        "d.tif",
        "deep/b.jpg",
        "e.nii.gz",
    ]
    for line in written:
        folder, source = tmp_path / "out" / line["image"], images / line["image"]
        decoded = decode_image(source.read_bytes())
        image = decoded.pixels if decoded.volume else decoded.pixels[0, ..., 0]
        drawn = predictor.sample(image, 4, seed=3)
        for i in range(4):
            [path] = folder.glob(f"sample-00{i}.*")
            assert np.array_equal(np.squeeze(pixels(path)), np.squeeze(drawn.samples[i]))
        for name in ("deterministic", "entropy", "mutual-information", "mean-foreground"):
            [path] = folder.glob(f"{name}.*")
            kept = drawn.mean[1] if name[0] == "m" and "-f" in name else None
            own = kept if kept is not None else getattr(drawn, name.replace("-", "_"))
            assert np.array_equal(np.squeeze(pixels(path)), np.squeeze(own)), name


def test_a_line_has_the_areas_of_each_sample_and_class(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.pt", classes=("background", "disc", "cup"))
    Image.fromarray(grey(*SIZE)).save(tmp_path / "a.png")
    [line] = run(tmp_path / "out", weights, tmp_path / "a.png", n=20, seed=9)
    maps = np.stack([pixels(tmp_path / f"out/a.png/sample-{i:03}.png")[0] for i in range(20)])
    assert line["classes"] == ["background", "disc", "cup"]
    assert set(line["area"]) == {"disc", "cup"}
    for k, name in ((1, "disc"), (2, "cup")):
        areas = (maps == k).sum(axis=(1, 2))
        own = line["area"][name]
        assert own["samples"] == areas.tolist()
        assert own["mean"] == pytest.approx(areas.mean())
        assert own["interval"] == pytest.approx(np.percentile(areas, [2.5, 97.5]).tolist())
        assert own["absent"] == (areas == 0).mean()
    assert line["empty"] == (maps == 0).all(axis=(1, 2)).mean()
    assert (line["seed"], line["samples"], line["shape"]) == (9, 20, [32, 48])
    assert line["weights_sha256"] == [sha256(weights)]
    assert line["use"] == DISCLAIMER


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("shape", [(48, 32, 3), (48, 32), (48, 32, 3, 1), (40, 30, 2)])
def test_nifti_keeps_its_space(tmp_path: Path, weights: Path, shape, kind) -> None:
    source = write_nifti(tmp_path / "v.nii", grey(*shape), kind)
    [line] = run(tmp_path / "out", weights, source)
    before = nibabel.load(source)
    for path in (tmp_path / "out/v.nii").glob("*.nii.gz"):
        after = nibabel.load(path)
        assert after.shape == shape
        assert np.array_equal(after.affine, before.affine)
        assert after.header.get_zooms()[:2] == before.header.get_zooms()[:2]
        assert (int(after.header["sform_code"]), type(after)) == (2, kind)
        assert bytes(after.header["descrip"].item()).decode().startswith(DISCLAIMER)
        np.asarray(after.dataobj)
    assert line["mm3_per_voxel"] == pytest.approx(abs(np.linalg.det(AFFINE[:3, :3])))


def test_samples_with_weights_count_by_them(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.pt", "mose", ("background", "disc", "cup"))
    Image.fromarray(grey(*SIZE)).save(tmp_path / "a.png")
    (line,) = run(tmp_path / "out", weights, tmp_path / "a.png", n=6)
    drawn = load(weights, device="cpu").sample(np.asarray(Image.open(tmp_path / "a.png")), 6)
    np.testing.assert_allclose(line["weights"], drawn.weights / 6, rtol=1e-6)
    assert sum(line["weights"]) == pytest.approx(1)
    for k, name in ((1, "disc"), (2, "cup")):
        area = line["area"][name]
        counts = (drawn.samples == k).sum(axis=(1, 2))
        assert area["samples"] == counts.tolist()
        assert area["mean"] == pytest.approx(counts @ drawn.weights / 6)
        assert area["absent"] == pytest.approx((counts == 0) @ drawn.weights / 6)
        assert set(area["interval"]) <= {*counts.tolist()}
    empty = (drawn.samples == 0).all(axis=(1, 2))
    assert line["empty"] == pytest.approx(empty @ drawn.weights / 6)


def test_a_number_that_parts_a_round_of_samples_is_told(tmp_path: Path, caplog) -> None:
    weights = write_weights(tmp_path / "w.pt", "mose")
    Image.fromarray(grey(*SIZE)).save(tmp_path / "a.png")
    for n in (1, 4, 5):
        assert "complement each other" not in caplog.text
        run(tmp_path / f"out{n}", weights, tmp_path / "a.png", n=n)
    assert "--samples: 5: samples of mose complement each other in rounds of 2" in caplog.text


def test_a_volume_s_weights_are_the_mean_over_its_slices(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.pt", "mose")
    volume = grey(48, 32, 3)
    write_nifti(tmp_path / "a.nii.gz", volume)
    (line,) = run(tmp_path / "out", weights, tmp_path / "a.nii.gz", n=4)
    drawn = load(weights, device="cpu").sample(volume.T, 4)
    assert drawn.weights.shape == (4, 3)
    np.testing.assert_allclose(line["weights"], drawn.weights.mean(axis=1) / 4, rtol=1e-5)


def test_big_endian_nifti_is_read(tmp_path: Path, weights: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(grey(48, 32, 2).astype(">i2"), AFFINE, header)
    nibabel.save(image, tmp_path / "v.nii")
    run(tmp_path / "out", weights, tmp_path / "v.nii")
    after = nibabel.load(tmp_path / "out/v.nii/mean-foreground.nii.gz")
    assert np.array_equal(after.affine, nibabel.load(tmp_path / "v.nii").affine)
    assert 0 <= after.get_fdata().min() <= after.get_fdata().max() <= 1


def test_every_output_says_what_it_is_for(tmp_path: Path, weights: Path, images: Path) -> None:
    run(tmp_path / "out", weights, images)
    for path in filter(Path.is_file, (tmp_path / "out").rglob("*")):
        if path.suffix == ".png":
            assert Image.open(path).text["Comment"] == DISCLAIMER
        elif path.suffix == ".tif":
            with tifffile.TiffFile(path) as tiff:
                assert tiff.pages[0].description == DISCLAIMER
        elif path.suffix in (".json", ".jsonl"):
            assert DISCLAIMER in path.read_text()


def test_colours_and_many_classes(tmp_path: Path) -> None:
    names = tuple(f"class {k}" for k in range(24))
    form = Prepared((32, 48), "pad", "uint8", 0.0)
    weights = write_weights(tmp_path / "w.pt", "unet", names, 3, window=None, prepared=form)
    Image.fromarray(grey(50, 50, 3)).save(tmp_path / "a.png")
    [line] = run(tmp_path / "out", weights, tmp_path / "a.png")
    assert len(line["area"]) == 24
    assert pixels(tmp_path / "out/a.png/sample-000.png").shape == (1, 50, 50)
    assert (tmp_path / "out/a.png/mean-class 23.tif").exists()


# ------------------------------------------------------------------ again


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_two_runs_are_equal_to_the_byte(tmp_path: Path, weights: Path, images: Path) -> None:
    for name in "ab":
        run(tmp_path / name, weights, images)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_finished_inputs_are_skipped(
    tmp_path: Path, weights: Path, images: Path, monkeypatch, caplog
) -> None:
    caplog.set_level("INFO", "probunet")
    run(tmp_path / "out", weights, images / "a.png")
    before = (tmp_path / "out/a.png/result.json").stat().st_mtime_ns
    written = run(tmp_path / "out", weights, images / "a.png", images / "c.tif")
    assert [one["image"] for one in written] == ["a.png", "c.tif"]
    assert (tmp_path / "out/a.png/result.json").stat().st_mtime_ns == before
    assert "1 predicted, 1 already there, 0 left out" in caplog.text


def test_an_input_that_has_changed_is_predicted_again(
    tmp_path: Path, weights: Path, images: Path, caplog
) -> None:
    run(tmp_path / "out", weights, images / "a.png")
    before = content(tmp_path / "out")
    Image.fromarray(grey(*SIZE)).save(images / "a.png")
    run(tmp_path / "out", weights, images / "a.png")
    assert "a.png: of an input that has changed since; predicted again" in caplog.text
    after = content(tmp_path / "out")
    assert before.keys() == after.keys()
    assert before["a.png/entropy.tif"] != after["a.png/entropy.tif"]


def test_other_results_are_neither_replaced_nor_nested(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    run(tmp_path / "out", weights, images)
    before = content(tmp_path / "out")
    (tmp_path / "other/a.png").mkdir(parents=True)
    Image.fromarray(grey(*SIZE)).save(tmp_path / "other/a.png/1.png")
    Image.fromarray(grey(*SIZE)).save(tmp_path / "deep", "PNG")
    for source, name in ((tmp_path / "deep", "deep"), (tmp_path / "other", r"a\.png/1\.png")):
        with pytest.raises(
            ProbunetError, match=rf"out/{name}: results of other inputs are in this folder or aro"
        ):
            run(tmp_path / "out", weights, source)
    assert content(tmp_path / "out") == before


def test_what_a_killed_run_left_is_no_result(tmp_path: Path, weights: Path, images: Path) -> None:
    run(tmp_path / "out", weights, images / "a.png")
    (tmp_path / "out/a.png").rename(tmp_path / "out/.c.tif.partial")
    assert [one["image"] for one in run(tmp_path / "out", weights, images / "d.tif")] == ["d.tif"]
    assert len(run(tmp_path / "out", weights, images / "c.tif")) == 2
    assert not (tmp_path / "out/.c.tif.partial").exists()


@pytest.mark.parametrize("change", [{"n": 5}, {"seed": 1}, {"tiles": True}, "weights"])
def test_an_output_of_another_run_is_refused(
    tmp_path: Path, weights: Path, images: Path, change
) -> None:
    run(tmp_path / "out", weights, images / "a.png")
    before = content(tmp_path / "out")
    if change == "weights":
        weights, change = write_weights(tmp_path / "other.pt", seed=1), {}
    with pytest.raises(ProbunetError, match=r"out: holds results of another run \(.*; choose ano"):
        run(tmp_path / "out", weights, images / "a.png", **change)
    assert content(tmp_path / "out") == before


def test_a_row_gives_an_image_the_noise_of_a_study(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    table = images / "rows.csv"
    table.write_text("image,row\na.png,17\nc.tif,\n")
    written = run(tmp_path / "out", weights, table)
    assert {one["image"]: one["row"] for one in written} == {"a.png": 17, "c.tif": 0}
    image = np.asarray(Image.open(images / "a.png"))
    drawn = load(weights, device="cpu", threads=1).sample(image, 4, 0, row=17)
    assert np.array_equal(pixels(tmp_path / "out/a.png/sample-002.png")[0], drawn.samples[2])


def test_an_ensemble_names_all_its_weights(tmp_path: Path, images: Path) -> None:
    paths = [write_weights(tmp_path / f"{k}.pt", "unet", seed=k) for k in range(2)]
    predict([images / "a.png"], paths, tmp_path / "out", n=4, device="cpu")
    assert lines(tmp_path / "out")[0]["weights_sha256"] == [sha256(path) for path in paths]


# ------------------------------------------------------------------ what is refused


def test_inputs_of_a_folder_that_cannot_be_read_are_counted(
    tmp_path: Path, weights: Path, images: Path, caplog
) -> None:
    caplog.set_level("INFO", "probunet")
    (images / "notes.txt").write_text("not an image")
    (images / ".hidden").write_text("not seen")
    assert len(run(tmp_path / "out", weights, images)) == 5
    assert "left out: " in caplog.text
    assert "5 predicted, 0 already there, 1 left out" in caplog.text


def test_a_named_input_that_cannot_be_read_is_an_error_after_the_others(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    (images / "bad.png").write_bytes((images / "a.png").read_bytes()[:100])
    with pytest.raises(
        ProbunetError, match=r"1 of 2 inputs cannot be used: .*bad\.png: not a read"
    ):
        run(tmp_path / "out", weights, images / "bad.png", images / "a.png")
    assert [one["image"] for one in lines(tmp_path / "out")] == ["a.png"]
    assert not list((tmp_path / "out").glob("*bad*"))


def test_a_volume_of_nan_leaves_nothing(tmp_path: Path, weights: Path) -> None:
    values = np.zeros((48, 32, 4), np.float32)
    values[:, :, 2] = np.nan
    write_nifti(tmp_path / "v.nii", values)
    with pytest.raises(
        ProbunetError, match=r"v\.nii: slice 2 has 1,536 NaN or infinite values; rep"
    ):
        run(tmp_path / "out", weights, tmp_path / "v.nii")
    assert not (tmp_path / "out/v.nii").exists()


def test_a_full_disk_leaves_only_whole_results(
    tmp_path: Path, weights: Path, images: Path, monkeypatch
) -> None:
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run(tmp_path / "out", weights, images / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr("probunet.predict.results.draw_montage", full)
        with pytest.raises(
            ProbunetError, match=r"c\.tif: the disk or quota is full; nothing was l"
        ):
            run(tmp_path / "out", weights, images / "a.png", images / "c.tif")
    left = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert left == {"a.png"}
    assert len(run(tmp_path / "out", weights, images / "a.png", images / "c.tif")) == 2


def test_more_inputs_than_disk(tmp_path: Path, weights: Path, small_disk, caplog) -> None:
    """The first input says that there is too little; then each is finished or absent."""
    output = small_disk("size=2m") / "out"
    (tmp_path / "many").mkdir()
    for k in range(60):
        Image.fromarray(grey(*SIZE)).save(tmp_path / f"many/{k:02}.png")
    message = r"out/\d\d\.png: the disk or quota is full; nothing was left behind\. Free some"
    with pytest.raises(ProbunetError, match=message):
        run(output, weights, tmp_path / "many")
    told = r"out: the results of the other 59 inputs need about \d+ MiB, and \d+ MiB are fr"
    assert len(re.findall(told, caplog.text)) == 1
    finished = [path for path in output.iterdir() if path.is_dir()]
    assert 1 <= len(finished) < 60
    assert all(len(list(path.iterdir())) == 10 for path in finished)


def test_without_permission_nothing_is_written(
    tmp_path: Path, weights: Path, images: Path, small_disk
) -> None:
    output = small_disk("ro") / "out"  # stops root, too
    with pytest.raises(ProbunetError, match=r"out/settings\.json: cannot be written \(Read-only"):
        run(output, weights, images / "a.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_of_others_is_not_written(tmp_path: Path, weights: Path, images: Path) -> None:
    for mode in (0o555, 0o000):
        (tmp_path / "theirs").mkdir(exist_ok=True)
        (tmp_path / "theirs").chmod(mode)
        with pytest.raises(
            ProbunetError, match=r"theirs/out.*: cannot be (written|read) \(Permiss"
        ):
            run(tmp_path / "theirs/out", weights, images / "a.png")
        (tmp_path / "theirs").chmod(0o755)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_packed_files_on_a_full_disk_are_an_error_of_the_disk(
    tmp_path: Path, weights: Path, images: Path, monkeypatch
) -> None:
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *how, **o: opened(
            Path("/dev/full") if path.name.startswith("sample") else path, *how, **o
        ),
    )
    with pytest.raises(ProbunetError, match=r"e\.nii\.gz: the disk or quota is full"):
        run(tmp_path / "out", weights, images / "e.nii.gz")
    assert not (tmp_path / "out/e.nii.gz").exists()


def test_outputs_that_are_something_else_are_refused(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/other").write_text("")
    for name, text in (("bad", "{"), ("foreign", '{"editor": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.json").write_text(text)
    for name, message in (
        ("file", "is a file; name a"),
        ("full", "holds other files than"),
        ("bad", r"settings\.json: is damaged or not of predict; choose another --output"),
        ("foreign", r"settings\.json: is damaged or not of predict; choose another --output"),
    ):
        with pytest.raises(ProbunetError, match=rf"{name}[/:] ?{message}"):
            run(tmp_path / name, weights, images / "a.png")
    with pytest.raises(ProbunetError, match="is inside the input folder"):
        run(images / "out", weights, images)
    with pytest.raises(
        ProbunetError, match=r"file/out/settings\.json: cannot be written|is a file"
    ):
        run(tmp_path / "file/out", weights, images / "a.png")


def test_options_that_do_not_fit_the_weights_are_refused(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    ct = write_weights(tmp_path / "ct.pt", prepared=CROPS)
    old = write_weights(tmp_path / "old.pt", prepared=None)
    one = images / "a.png"
    for chosen, options, message in (
        (weights, {"at": "voxel:1,2,3"}, "--at: .* was not trained on crops of CT slices"),
        (old, {"tiles": True}, "--tiles: .* does not say the size of its training images"),
        (ct, {"at": "voxel:1,2,3", "tiles": True}, "--at and --tiles cannot be used together"),
        (ct, {"at": "1,2,3"}, "--at 1,2,3: is no place; write mm:x,y,z or voxel:x,y,z"),
    ):
        with pytest.raises(ProbunetError, match=message):
            run(tmp_path / "out", chosen, one, **options)
    with pytest.raises(ProbunetError, match="--at: is for one image, and 2 are named"):
        run(tmp_path / "out", ct, one, images / "c.tif", at="voxel:1,2,3")


def test_dicom_seg_is_for_series(tmp_path: Path, weights: Path, images: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("probunet.predict.seg.find_spec", lambda name: None)
        with pytest.raises(ProbunetError, match="--dicom-seg: needs the package highdicom"):
            run(tmp_path / "out", weights, images / "a.png", seg=True)
    monkeypatch.setattr("probunet.predict.results.check_installed", lambda: None)
    with pytest.raises(ProbunetError, match=r"a\.png: is no DICOM series, so --dicom-seg is not p"):
        run(tmp_path / "out", weights, images / "a.png", seg=True)


def test_weights_that_are_not_usable_are_refused(
    tmp_path: Path, weights: Path, images: Path
) -> None:
    (tmp_path / "cut.pt").write_bytes(weights.read_bytes()[:1000])
    save_whole(tmp_path / "next.pt", load_plain(weights) | {"schema": 2})
    torch.save(load_plain(weights) | {"run": Path("x")}, tmp_path / "code.pt")
    colour = write_weights(tmp_path / "colour.pt", in_channels=3).name
    Image.fromarray(grey(*SIZE, 3)).save(tmp_path / "rgb.png")
    for name, image, message in (
        ("cut.pt", "images/a.png", "refused: it is corrupt or contains code"),
        ("code.pt", "images/a.png", "refused: it is corrupt or contains code"),
        ("next.pt", "images/a.png", r"not weights of this version \(schema 1; schema is miss"),
        ("none.pt", "images/a.png", "no such file; name another file"),
        (colour, "images/a.png", r"a\.png: is grey, and .*colour\.pt was trained on images in col"),
        (weights, "rgb.png", r"rgb\.png: is in colour, and .* was trained on grey images; convert"),
    ):
        with pytest.raises(ProbunetError, match=message) as found:
            run(tmp_path / "out" / Path(name).stem, tmp_path / name, tmp_path / image)
        assert "\n" not in str(found.value)
        assert not list((tmp_path / "out").glob("*/*/"))


# ------------------------------------------------------------------ CT series


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A folder of one CT series of three slices."""
    for k in range(3):
        pixels = RANDOM.integers(0, 1500, (96, 96)).astype("<i2")
        write_slice(tmp_path / f"scan/{k}.dcm", 2.5 * k, pixels=pixels)
    return tmp_path / "scan"


@pytest.fixture(scope="module")
def of_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crops") / "weights.pt"
    return write_weights(path, prepared=CROPS, window=(-1000.0, 400.0))


def test_samples_around_a_place_are_laid_back_into_the_series(
    tmp_path: Path, of_crops: Path, scan: Path
) -> None:
    places = tmp_path / "places.csv"
    places.write_text("x,y,z,unit,row\n40,50,1,voxel,7\n")
    [line] = run(tmp_path / "out", of_crops, scan, at=str(places))
    assert (line["image"], line["shape"]) == ("scan", [3, 96, 96])
    picture = read_series(scan, "scan")
    [view] = crops_at(picture, [Place(40, 50, 1, "voxel")], (32, 32), 0.5).of(1)
    drawn = load(of_crops, device="cpu", threads=1).sample(view.image[..., 0], 4, row=7)
    for i in range(4):
        expected = np.zeros((3, 96, 96), np.uint8)
        expected[(1, *view.part)] = view.back(drawn.samples[i][None])[0]
        image = nibabel.load(tmp_path / f"out/scan/sample-00{i}.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj).T, expected)
        np.testing.assert_allclose(image.affine, picture.affine, atol=1e-4)
    mean = nibabel.load(tmp_path / "out/scan/mean-foreground.nii.gz").get_fdata().T
    assert mean[0].max() == mean[2].max() == 0 < mean[1].max()


def test_series_need_places_inside_them(tmp_path: Path, of_crops: Path, scan: Path) -> None:
    for options, message in (
        ({}, r"scan: is a CT series, and .* was trained on crops of 0\.5 mm .* name the places"),
        ({"at": "voxel:40,50,3"}, r"scan: the place 40,50,3 \(voxel\) is outside of the volume"),
    ):
        with pytest.raises(ProbunetError, match=message):
            run(tmp_path / "out", of_crops, scan, **options)
    assert not (tmp_path / "out/scan").exists()


def test_series_that_are_not_one_volume_leave_nothing(
    tmp_path: Path, of_crops: Path, scan: Path
) -> None:
    def other(k: int, **fields: object) -> None:
        pixels = np.zeros((96, 96), "<i2")
        write_slice(scan / f"{k}.dcm", 2.5 * k, pixels=pixels, **fields)

    for k, fields, message in (
        (3, {"series": "1.2.3"}, r"scan: has 2 series: .*; move each into a folder of its own"),
        (5, {}, r"2\.dcm and 5\.dcm are 7\.5 mm apart, .*: slices are missing or twice there"),
        (3, {"Modality": "MR"}, r"3\.dcm: has the modality MR, and only CT has Hounsfield units"),
    ):
        other(k, **fields)
        with pytest.raises(ProbunetError, match=message) as found:
            run(tmp_path / "out", of_crops, scan, at="voxel:40,50,1")
        assert "\n" not in str(found.value)
        assert not (tmp_path / "out/scan").exists()
        (scan / f"{k}.dcm").unlink()


def test_other_places_need_another_output(tmp_path: Path, of_crops: Path, scan: Path) -> None:
    with pytest.raises(ProbunetError, match="is outside of the volume"):
        run(tmp_path / "out", of_crops, scan, at="voxel:40,50,11")
    run(tmp_path / "out", of_crops, scan, at="voxel:40,50,1")  # corrected: there is no result yet
    with pytest.raises(ProbunetError, match=r"out: holds results of another run \(places: "):
        run(tmp_path / "out", of_crops, scan, at="voxel:40,50,2")


def test_dicom_seg_of_the_command_is_where_the_samples_are(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder = write_whole_series(tmp_path / "scan", (96, 96))
    [view] = crops_at(read_series(folder, "scan"), [Place(40, 50, 1, "voxel")], (32, 32), 0.5).of(1)
    for k in range(20):  # until a sample has foreground
        weights = write_weights(tmp_path / "w.pt", prepared=CROPS, window=(-1000.0, 400.0), seed=k)
        if load(weights, device="cpu", threads=1).sample(view.image, 2).samples[1].sum() > 50:
            break
    arguments = ["--weights", weights, "--output", tmp_path / "out", "--at", "voxel:40,50,1"]
    options = ["--dicom-seg", "--samples", 2, "--device", "cpu", "--threads", 1]
    done = CliRunner().invoke(app, list(map(str, ["predict", *arguments, *options, folder])))
    assert done.exit_code == 0, done.exception
    assert len(list((tmp_path / "out/scan").glob("*.dcm"))) == 3
    image = nibabel.load(tmp_path / "out/scan/sample-001.nii.gz")
    drawn = nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj)))
    seg = highdicom.seg.segread(tmp_path / "out/scan/sample-001.dcm")
    volume = seg.get_volume(segment_numbers=[1])
    found = volume.map_indices_to_reference(np.argwhere(volume.array[..., 0]))
    assert len(found) > 10
    assert_same_places(found, drawn * [-1, -1, 1])


def test_a_slice_alone_is_told_to_be_named_by_its_folder(
    tmp_path: Path, of_crops: Path, scan: Path
) -> None:
    with pytest.raises(ProbunetError, match=r"0\.dcm: not a readable picture .*; name its folder"):
        run(tmp_path / "out", of_crops, scan / "0.dcm")
