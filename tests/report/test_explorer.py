"""The explorer's data: what is chosen, that it is what the stores hold, and that it fits."""

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from probunet import store
from probunet.datasets import open_data
from probunet.datasets.cityscapes.store import Scenes, open_scenes
from probunet.datasets.folder.store import Images
from probunet.datasets.lidc.store import open_crops
from probunet.flips import CLASSES, FLIPS, IGNORE, MODE_PROBABILITIES
from probunet.metrics.bits import pack, unpack
from probunet.metrics.modes import between_modes
from probunet.report.explorer import Explored, Source, explore
from probunet.report.runs import read_run
from probunet.run import Run
from probunet.score.run import score_run
from support.attributes import change_attributes
from support.own_images import write_store
from support.report.streets import write_samples, write_scenes

PAIRS = [("probabilistic_unet", 10.0), ("probabilistic_unet", 1.0)]
PLENTY = 10**8  # bytes
CENTRE = slice(26, 26 + 128)


def source(study: Any, **changes: Any) -> Source:
    given = {
        "name": "lidc",
        "data": open_crops(study.store),
        "runs": sorted((read_run(run) for run in study.runs), key=lambda run: run.run),
        "pairs": PAIRS,
    }
    return Source(**(given | changes))


def explored(study: Any, examples: int = 100, budget: int = PLENTY, **changes: Any) -> Explored:
    [found] = explore([source(study, **changes)], examples=examples, budget=budget)
    return found


def images(found: Explored) -> list[dict[str, Any]]:
    assert found.document is not None
    listed: list[dict[str, Any]] = found.document["images"]
    return listed


def picture(uri: str) -> NDArray[Any]:
    kind, _, data = uri.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_masks_are_the_stores_bit_for_bit(study: Any) -> None:
    crops = open_crops(study.store)
    found = explored(study)
    assert found.document is not None
    assert len(images(found)) == len(crops)
    for item in images(found):
        bits = np.asarray(crops.masks[item["row"]])[CENTRE, CENTRE]
        graders = np.stack([(bits >> g & 1).astype(bool) for g in range(4)])
        np.testing.assert_array_equal(picture(item["truth"]).reshape(4, 128, 128), graders)
        assert item["area"] == pytest.approx(graders.sum() / 4, abs=0.06)
        for run in found.document["runs"]:
            if run["fold"] != item["fold"]:
                assert str(run["index"]) not in item["runs"]
                continue
            result = item["runs"][str(run["index"])]
            folder = Run("lidc", run["model"], float(run["beta"]), run["fold"], run["seed"]).folder
            samples = store.open_samples(study.folder / folder / "samples.zarr")
            [at] = np.flatnonzero(samples.rows == item["row"])
            drawn = unpack(np.asarray(samples.samples[at]), 128, 128)
            stack = picture(result["samples"]).reshape(result["count"], 128, 128)
            np.testing.assert_array_equal(stack, drawn)
            single = unpack(np.asarray(samples.deterministic[at]), 128, 128)
            np.testing.assert_array_equal(picture(result["deterministic"]), single)


def test_pictures_are_within_half_a_step(study: Any) -> None:
    crops = open_crops(study.store)
    found = explored(study, 3)
    assert found.document is not None
    scale = found.document["scale"]
    assert (scale["low"], scale["high"]) == (-1400, 600)
    step = (scale["high"] - scale["low"]) / 255
    for item in images(found):
        grey = picture(item["picture"])
        assert grey.dtype == np.uint8
        hu = np.asarray(crops.image[item["row"]])[CENTRE, CENTRE].clip(-1400, 600)
        assert np.abs(scale["low"] + grey * step - hu).max() <= step / 2 + 1e-9


def test_figures_are_those_of_the_scores(study: Any) -> None:
    found = explored(study)
    assert found.document is not None
    scores = pd.concat([pd.read_parquet(run / "scores.parquet") for run in study.runs])
    scores = scores[scores["n"] == 16].set_index(["predictor", "beta", "row"])
    for item in images(found):
        for run in found.document["runs"]:
            if result := item["runs"].get(str(run["index"])):
                row = scores.loc["model", float(run["beta"]), item["row"]]
                assert result["ged"] == pytest.approx(row["ged"], abs=1e-4)
                assert result["diversity"] == pytest.approx(row["diversity"], abs=1e-4)
                graders = scores.loc["graders", float(run["beta"]), item["row"]]
                assert item["disagreement"] == pytest.approx(graders["diversity"], abs=1e-4)


def test_the_enlarged_part_holds_the_masks_and_no_stray_pixel(study: Any) -> None:
    for item in images(explored(study)):
        marked: NDArray[np.bool_] = picture(item["truth"]).reshape(4, 128, 128).max(axis=0)
        left, top, right, bottom = item["box"]
        assert marked[top:bottom, left:right].sum() == marked.sum()
        assert marked[top].any()
        assert marked[bottom - 1].any()
        assert marked[:, left].any()
        assert marked[:, right - 1].any()
        for result in item["runs"].values():
            often = picture(result["samples"]).reshape(-1, 128, 128).mean(axis=0) >= 0.25
            often |= picture(result["deterministic"])
            assert (result["box"] is None) == (not often.any())
            if result["box"]:
                left, top, right, bottom = result["box"]
                assert often[top:bottom, left:right].sum() == often.sum()


def test_all_runs_of_a_fold_show_the_same_images(study: Any) -> None:
    found = explored(study, 6)
    assert found.document is not None
    assert found.shown == len(images(found)) == 6
    assert [item["fold"] for item in images(found)].count(0) == 3
    for item in images(found):
        runs = {str(run["index"]) for run in found.document["runs"] if run["fold"] == item["fold"]}
        assert set(item["runs"]) == runs
        assert len(runs) == 2


def test_equal_inputs_give_equal_data(study: Any) -> None:
    assert explored(study, 7) == explored(study, 7)


@pytest.mark.parametrize("budget", [0, 3_000, 100_000, 300_000])
def test_the_budget_is_kept_by_fewer_images(study: Any, budget: int) -> None:
    found = explored(study, budget=budget)
    size = (
        sum(len(json.dumps(item, separators=(",", ":"))) + 1 for item in images(found))
        if (found.document)
        else 0
    )
    assert size <= budget
    assert found.cut
    if budget >= 100_000:
        assert size > 0.6 * budget
        folds = [item["fold"] for item in images(found)]
        assert abs(folds.count(0) - folds.count(1)) <= 1
    if budget == 0:
        assert (found.shown, found.document) == (0, None)


def test_what_one_data_set_does_not_need_another_may_take(study: Any) -> None:
    both = [source(study), source(study, name="other")]
    small = explore(both, examples=100, budget=400_000)
    assert abs(small[0].shown - small[1].shown) <= 1
    assert small[0].cut
    assert small[1].cut
    few = [source(study), source(study, name="other", runs=[])]
    lone, none = explore(few, examples=100, budget=400_000)
    assert lone.shown > 1.5 * small[0].shown
    assert (none.shown, none.available, none.document) == (0, 0, None)


def test_none_wanted_none_shown(study: Any) -> None:
    found = explored(study, 0)
    assert (found.shown, found.document, found.cut) == (0, None, False)


def run_notes(found: Explored) -> dict[tuple[str, int], str | None]:
    assert found.document is not None
    return {(run["beta"], run["fold"]): run["note"] for run in found.document["runs"]}


def test_a_run_without_samples_is_told(study: Any) -> None:
    shutil.rmtree(study.runs[0] / "samples.zarr")
    gone = Run.parse(study.runs[0].as_posix())
    found = explored(study)
    notes = run_notes(found)
    told = notes.pop((f"{gone.beta:g}", gone.fold))
    assert told is not None
    assert told.startswith("no samples: samples.zarr")
    assert set(notes.values()) == {None}
    assert found.shown == 24  # the other beta's run chooses the fold's images
    assert {len(item["runs"]) for item in images(found)} == {1, 2}


def test_a_run_without_scores_is_shown_without_figures(study: Any) -> None:
    (study.runs[0] / "scores.parquet").unlink()
    found = explored(study)
    assert found.document is not None
    assert "no scores of single images" in run_notes(found).values()
    [run] = [run for run in found.document["runs"] if run["note"]]
    assert run["usable"]
    assert run["n"] is None
    results = [item["runs"].get(str(run["index"])) for item in images(found)]
    assert sum(result is not None for result in results) == 12
    assert all("ged" not in result for result in results if result)


def test_samples_of_another_store_are_not_shown(study: Any) -> None:
    change_attributes(study.runs[0] / "samples.zarr", store="another")
    notes = run_notes(explored(study))
    assert "its samples are of another store than the one that was given" in notes.values()


def test_no_store_no_images(study: Any) -> None:
    found = explored(study, data=None)
    assert (found.shown, found.available, found.document) == (0, 0, None)


def test_a_model_without_beta_has_none(study: Any) -> None:
    [run] = [run for run in source(study).runs if (run.run.beta, run.run.fold) == (1.0, 0)]
    plain = Run("lidc", "unet", 1.0, 0, 0)
    runs = [type(run)(plain, run.training, run.samples, run.scores, run.missing)]
    found = explored(study, runs=runs)
    assert found.document is not None
    assert found.document["runs"][0]["beta"] is None
    assert found.document["runs"][0]["name"] == "U-Net"


@pytest.fixture
def streets(tmp_path: Path) -> Source:
    write_scenes(tmp_path / "cityscapes.zarr", 9, (32, 64))
    scenes = open_scenes(tmp_path / "cityscapes.zarr")
    run = tmp_path / Run("cityscapes", "unet", 1.0, 0, 0).folder
    run.mkdir(parents=True)
    write_samples(run, Run.parse(run.as_posix()), scenes, np.arange(9), 20, latent=False)
    score_run(run / "samples.zarr", scenes.path, run / "scores.parquet", (1, 16))
    return Source("cityscapes", scenes, [read_run(run)], [("unet", 1.0)])


def test_maps_are_the_stores_class_by_class(streets: Source) -> None:
    scenes, samples = streets.data, streets.runs[0].samples
    assert isinstance(scenes, Scenes)
    assert samples is not None
    [found] = explore([streets], examples=100, budget=PLENTY)
    # all but the scene without any of the ambiguous classes, which has no score
    assert found.shown == found.available == 8
    for item in images(found):
        label = np.asarray(scenes.label[item["row"]])
        shown = np.where(label == IGNORE, len(CLASSES), label)
        np.testing.assert_array_equal(picture(item["truth"]), shown)
        assert picture(item["picture"]).shape == (32, 64, 3)
        result = item["runs"]["0"]
        assert result["count"] == 16
        drawn = np.asarray(samples.samples[item["row"], :16])
        np.testing.assert_array_equal(picture(result["samples"]).reshape(16, 32, 64), drawn)
        present = np.array([[(label == CLASSES.index(name)).any() for name in FLIPS]])
        apart = between_modes(present)[0] @ MODE_PROBABILITIES @ MODE_PROBABILITIES
        assert item["disagreement"] == pytest.approx(apart, abs=1e-4)


def test_each_sample_tells_its_names(streets: Source) -> None:
    scenes, samples = streets.data, streets.runs[0].samples
    assert isinstance(scenes, Scenes)
    assert samples is not None
    [found] = explore([streets], examples=100, budget=PLENTY)
    told = set()
    for item in images(found):
        label = np.asarray(scenes.label[item["row"]])
        drawn = np.asarray(samples.samples[item["row"], :16])
        names = item["runs"]["0"]["names"].split()
        assert len(names) == 16
        for sample, digits in zip(drawn, names, strict=True):
            for name, digit in zip(FLIPS, digits, strict=True):
                there = sample[label == CLASSES.index(name)].tolist()
                first, second = (there.count(CLASSES.index(one)) for one in (name, f"{name} 2"))
                expected = "0" if first == second == 0 else "2" if second > first else "1"
                assert digit == expected
                told.add(digit)
    assert told == {"0", "1", "2"}


def test_every_class_has_a_colour_and_second_names_their_first(streets: Source) -> None:
    [found] = explore([streets], examples=1, budget=PLENTY)
    assert found.document is not None
    labels = found.document["labels"]
    assert [label["name"] for label in labels] == [*CLASSES, "ignored"]
    assert len({label["colour"] for label in labels}) == len(labels)
    for label in labels:
        second = label["name"].removesuffix(" 2")
        expected = None if second == label["name"] else CLASSES.index(second)
        assert label["first"] == expected
    assert found.document["flips"] == {name: str(p) for name, p in FLIPS.items()}


def own_source(folder: Path, given: list[int], channels: int, values: str) -> Source:
    path = write_store(folder / "mine.zarr", given, channels=channels, values=values)
    data = open_data(path)
    run = folder / Run("mine", "unet", 1.0, 0, 0).folder
    run.mkdir(parents=True)
    masks = np.random.default_rng(4).random((len(given), 16, 32, 48)) < 0.3
    attributes = store.SampleAttributes(
        run=Run.parse(run.as_posix()).folder,
        classes=2,
        size=(32, 48),
        samples=16,
        store=data.digest,
        weights_sha256=("cd" * 32,),
        weights_step=(1,),
        versions={},
    )
    store.write_samples(
        run / "samples.zarr",
        attributes,
        {"rows": np.arange(len(given)), "samples": pack(masks), "deterministic": pack(masks[:, 0])},
    )
    score_run(run / "samples.zarr", path, run / "scores.parquet", (1, 16))
    return Source("mine", data, [read_run(run)], [("unet", 1.0)])


def test_images_of_one_s_own_show_those_graders_who_looked(tmp_path: Path) -> None:
    given = [1, 5, 7, 2]
    own = own_source(tmp_path, given, 1, "uint16")
    assert isinstance(own.data, Images)
    [found] = explore([own], examples=100, budget=PLENTY)
    assert found.document is not None
    assert list(found.document["names"]) == ["mask_0", "mask_1", "mask_2"]
    assert len(images(found)) == len(given)
    for item in images(found):
        who = [g + 1 for g in range(3) if given[item["row"]] >> g & 1]
        assert item["given"] == who
        bits = np.asarray(own.data.masks[item["row"]])
        expected = np.stack([(bits >> (g - 1) & 1).astype(bool) for g in who])
        np.testing.assert_array_equal(picture(item["truth"]).reshape(-1, 32, 48), expected)
        assert (item["disagreement"] is None) == (len(who) == 1)


def test_photographs_have_no_window(tmp_path: Path) -> None:
    [found] = explore([own_source(tmp_path, [1, 3], 3, "uint8")], examples=9, budget=PLENTY)
    assert found.document is not None
    assert found.document["scale"] is None
    assert picture(images(found)[0]["picture"]).shape == (32, 48, 3)
