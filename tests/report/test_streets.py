"""The report of a study on drawn street scenes, beside crops and alone."""

import re
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from probunet.datasets.cityscapes.config import CityscapesSource
from probunet.datasets.cityscapes.store import open_scenes
from probunet.report.build import build_report
from probunet.report.labels import NBSP
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables
from support.attributes import change_attributes
from support.report.page import Page, prose, section
from support.report.streets import write_samples, write_scenes

N = (1, 16)
SCENES = 9
MODELS = ("probabilistic_unet", "unet_ensemble")
CONFIG = {"datasets": {"cityscapes": {"source": "phantom", "split": "official"}}}
LOG = '{"step": 10, "loss": 9.0, "kl": 0.0}\n{"step": 20, "loss": 8.0, "validation_ged": 0.5}\n'


@pytest.fixture(scope="session")
def pristine_streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two models, one an ensemble of two members, as the workflow leaves it."""
    folder = tmp_path_factory.mktemp("streets")
    path = folder / "cityscapes.zarr"
    write_scenes(path, SCENES, (32, 64))
    scenes = open_scenes(path)
    for model in MODELS:
        run = Run("cityscapes", model, 1.0, 0, 0)
        results = folder / "results" / run.folder
        results.mkdir(parents=True)
        own = model == "probabilistic_unet"
        write_samples(results, run, scenes, np.arange(SCENES), max(N), latent=own)
        score_run(results / "samples.zarr", path, results / "scores.parquet", N)
        for log in [results] if own else [results / "member-0", results / "member-1"]:
            log.mkdir(exist_ok=True)
            (log / "training.jsonl").write_text(LOG)
    return folder


@pytest.fixture
def streets(pristine_streets: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(pristine_streets, tmp_path / "streets")


def folders(streets: Path) -> list[Path]:
    return sorted((streets / "results").glob("cityscapes/*/beta-1/fold-0/seed-0"))


def report(streets: Path, also: Any = None, **changes: Any) -> str:
    runs = folders(streets) + ([] if also is None else also.runs)
    stores = [streets / "cityscapes.zarr"] + ([] if also is None else [also.store])
    tables = [streets / name for name in ("scores.csv", "summary.csv", "comparison.csv")]
    write_tables([run / "scores.parquet" for run in runs], *tables, 50)
    given = {"runs": runs, "stores": stores, "config": CONFIG, "title": "Streets", "examples": 3}
    names = dict(zip(("scores", "summary", "comparison"), tables, strict=True))
    build_report(streets / "report.html", **(names | given | changes))
    return (streets / "report.html").read_text(encoding="utf-8")


def test_page_is_well_formed_and_asks_for_nothing_from_elsewhere(streets: Path) -> None:
    text = report(streets)
    page = Page(text)
    assert page.open == []
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not re.search(r"\bnan\b", prose(text), re.IGNORECASE)
    assert all("alt" in image for image in page.all("img"))


def test_what_was_run_is_told(streets: Path) -> None:
    text = report(streets)
    for expected in (
        "scored against 32 modes of known probability.",
        "Synthetic street scenes: drawn, not photographed.",
        "9 of 3 cities",
        "32 \N{MULTIPLICATION SIGN} 64 pixels; pictures bilinear, labels nearest",
        "sidewalk 8/17, person 7/17, car 6/17, vegetation 5/17, road 4/17",
        "validated on darmstadt, monchengladbach and ulm",
        "frankfurt (3), lindau (3), munster (3)",
        "truncated or damaged PNG",
        "drawn &lt;here&gt;",
        '<th scope="row">None of the ten classes</th>',
        '<th scope="row">The 32 modes themselves</th>',
        '<th scope="row">U-Net ensemble</th>',
        "on the same images",
    ):
        assert expected in text
    for foreign in ("patient", "grader", "lesion", "LIDC"):
        assert foreign not in prose(text)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"split": "cities"}, "1 fold over cities"),
        ({"split": "official", "folds_file": "mine.json"}, "own over cities"),
    ],
)
def test_the_split_is_told(streets: Path, own: dict[str, str], told: str) -> None:
    assert told in report(streets, config={"datasets": {"cityscapes": own}})


def test_the_explorer_holds_images_with_a_score(streets: Path) -> None:
    text = report(streets, examples=20)
    # all but the scene without any of the ten classes, which has none
    assert f"{SCENES - 1} of {SCENES - 1} scored test images" in text


def test_frequencies_are_shown_for_each_model(streets: Path) -> None:
    text = report(streets)
    modes = section(text, "calibration")
    for label in (f"Probabilistic U-Net, β{NBSP}={NBSP}1", "U-Net ensemble"):
        # of modes and of switches, and of the diversity
        assert modes.count(f'<th scope="row">{label}</th>') == 3
    scores = pd.read_parquet(folders(streets)[0] / "scores.parquet")
    model = scores[(scores["predictor"] == "model") & (scores["n"] == max(N))]
    complete = int(model["present"].map(all).sum())
    assert 0 < complete < SCENES
    assert f"that hold all five classes: {complete}." in modes


def test_scores_of_an_older_version_have_no_frequencies(streets: Path) -> None:
    for run in folders(streets):
        scores = pd.read_parquet(run / "scores.parquet")
        scores.drop(columns="mode_share").to_parquet(run / "scores.parquet")
    assert "Frequency of the modes" not in report(streets)


def test_latent_space_is_drawn(streets: Path) -> None:
    text = report(streets)
    assert text.count('<figure class="latent"') == 2
    assert "To the right: latent dimension 5; upwards: 2; 1 " in text
    assert text.count('class="mark truth g0"') == 1  # 90 lies outside


def test_each_member_s_log_is_read(streets: Path) -> None:
    assert "Missing:" not in report(streets)
    (folders(streets)[1] / "member-1" / "training.jsonl").unlink()
    assert "no training log: member-1/training.jsonl" in report(streets)


def test_equal_inputs_give_an_equal_file(streets: Path) -> None:
    first = report(streets)
    assert report(streets, runs=folders(streets)[::-1]) == first


def test_no_store_no_description(streets: Path) -> None:
    text = report(streets, stores=[])
    assert "No store was given for this data set" in text
    assert "Frequency of the modes" in text
    assert "no run holds both samples and scores of the store that was given" in text


@pytest.mark.parametrize("source", get_args(CityscapesSource.model_fields["source"].annotation))
def test_where_the_scenes_come_from_is_told_in_words(streets: Path, source: str) -> None:
    [store] = streets.rglob("cityscapes.zarr")
    change_attributes(store, source=source)
    words = {
        "official": "downloaded from the publisher",
        "local": "an existing tree",
        "phantom": "drawn",
    }
    assert f"<dd>source <code>{source}</code>, {words[source]}" in report(streets)


def test_two_data_sets(streets: Path, study: Any) -> None:
    text = report(streets, also=study)
    assert Page(text).open == []
    assert text.index('<h3 id="overview-lidc">') < text.index('<h3 id="overview-cityscapes">')
    assert "scored against four graders and, on other data, against 32 modes" in text
    assert "Synthetic street scenes" in text
    assert "Synthetic phantom data" in text
    for images in ("LIDC-IDRI: 3 of 24", f"Cityscapes: 3 of {SCENES - 1}"):
        assert f"{images} scored test images" in text
    change_attributes(study.store, synthetic=False)
    text = report(streets, also=study)
    assert "Synthetic street scenes" in text
    assert "Synthetic phantom data" not in text
