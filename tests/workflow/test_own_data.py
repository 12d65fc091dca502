"""The how-to about your own data: its commands and files are run as they are on the page."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from markupsafe import escape
from PIL import Image

import probunet
from probunet.config import check
from probunet.datasets import open_data
from probunet.datasets.folder.store import open_images
from probunet.folds import Folds
from probunet.store import open_samples
from probunet.study import Config, json_schema
from probunet.truth.labels import stored_maps
from support.label_images import write_eyes
from support.own_images import disc, write_folder, write_picture, write_table
from support.own_sizes import write_sizes
from support.studies import PHANTOM, ROOT, TINY, planned, printed, run_study

PAGE = (ROOT / "docs/how-to/own-data.md").read_text()
# the page's commands on a network of a few weights: later files overlay earlier ones
SNAKEMAKE = 'snakemake() { command snakemake "$@" tiny.yaml; }\n'


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    assert found
    return found


def shell(text: str, folder: Path) -> str:
    """Return what commands print, with the page's variable set."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env=os.environ | {"PATH": path, "PROBUNET": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    logs = "\n".join(file.read_text() for file in (folder / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout + done.stderr


@pytest.mark.slow
def test_texts_and_paths_reach_every_step_as_they_are(tmp_path: Path) -> None:
    text = "$\\beta_{1}$ {x} {{ } {dataset} {input} ' \" ; & `touch x` $(touch x) <results> \u00e9"
    path = "a}b ' \" ; & (touch x) | touch x > x *?"
    write_folder(tmp_path / path)
    config = {
        "datasets": {"knees": {"source": "folder", "path": path, "licence": text}},
        "paths": {"data": f"data {path}", "results": f"results {path}"},
        "report": {"title": text, "examples": 2},
        "models": ["unet"],
    }
    run_study(tmp_path, TINY | config)
    report = (tmp_path / f"results {path}/report.html").read_text()
    assert f"<h1>{escape(text)}</h1>" in report
    assert report.count(escape(text)) >= 2
    assert not list(tmp_path.rglob("x"))


@pytest.mark.slow
def test_the_most_graders_reach_the_report(tmp_path: Path) -> None:
    size, graders, rows = (32, 32), 32, []
    for s in range(4):
        masks = [disc(size, 6 + g / 8).astype("uint8") * 255 for g in range(graders)]
        names = [tmp_path / f"own/masks/{s}_{g}.png" for g in range(graders)]
        row = [write_picture(tmp_path / f"own/images/{s}.png", masks[s] // 2 + s), f"subject {s}"]
        row += [write_picture(name, mask) for name, mask in zip(names, masks, strict=True)]
        rows.append(row)
    header = ["image", "subject", *(f"mask_{g}" for g in range(graders))]
    write_table(tmp_path / "own", rows, header)
    config = {"datasets": {"own": {"source": "folder", "path": "own"}}, "models": ["unet"]}
    run_study(tmp_path, TINY | config)
    scores = pd.read_csv(tmp_path / "results/scores.csv")
    assert scores.loc[scores["model"] == "graders", "ged"].abs().max() == 0
    assert scores.loc[scores["model"] == "unet", "ged"].between(0, 2).all()
    assert "mask_31" in (tmp_path / "results/report.html").read_text()


@pytest.mark.slow
def test_the_page_is_run_from_the_folder_to_the_report(tmp_path: Path) -> None:
    write_folder(tmp_path / "knees")
    before = {file: file.read_bytes() for file in (tmp_path / "knees").rglob("*.*")}
    table = (tmp_path / "knees/images.csv").read_text().splitlines()
    assert blocks("text")[1].splitlines() == table[:4]
    (tmp_path / "knees.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "folds.json").write_text(blocks("json")[0])
    tiny = {key: value for key, value in TINY.items() if key not in ("folds", "report")}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny | {"report": {"examples": 4}}))
    [look, run, folds] = blocks("sh")

    assert "knees: 20 images of 4 subjects" in shell(look, tmp_path)
    shell(SNAKEMAKE + run.replace("--cores 4", "--cores 2"), tmp_path)
    shell(folds, tmp_path)
    told = shell(f"python - <<'END'\n{blocks('python')[0]}END\n", tmp_path)
    assert told.splitlines()[0] == "20 (32, 48) " + str(
        open_images(tmp_path / "data/knees.zarr").attributes.window
    )
    assert told.splitlines()[1] == "subject 0 images/0.nii.gz 1 3"

    scores = pd.read_csv(tmp_path / "results/scores.csv")
    assert set(scores["dataset"]) == {"knees"}
    assert scores.groupby(["model", "n"])["images"].sum().max() == 20
    graders = scores[scores["model"] == "graders"]
    assert graders["ged"].abs().max() == 0
    page = (tmp_path / "results/report.html").read_text()
    assert "mask_anna" in page
    assert "4 slices of volumes that no grader marked" in page
    assert {file: file.read_bytes() for file in before} == before
    crate = (tmp_path / "results/ro-crate-metadata.json").read_text()
    assert "knees.manifest.json" in crate


@pytest.mark.slow
def test_the_page_s_classes_reach_the_report(tmp_path: Path) -> None:
    write_eyes(tmp_path / "eyes", subjects=4)
    config = TINY | yaml.safe_load(blocks("yaml")[2]) | {"models": ["probabilistic_unet", "unet"]}
    log = run_study(tmp_path, config | {"report": {"examples": 4}})
    scores = pd.read_csv(tmp_path / "results/scores.csv")
    graders = scores[scores["model"] == "graders"]
    for name in ("disc", "cup"):
        assert graders[f"ged:{name}"].abs().max() == 0
        assert scores[f"iou:{name}"].between(0, 1).all()
    page = (tmp_path / "results/report.html").read_text()
    assert "Scores of each class at n = 4" in page
    assert "is equal, d = 0, as on LIDC-IDRI" in page
    changed = config | {"datasets": {"eyes": config["datasets"]["eyes"] | {"absent": "left_out"}}}
    again = planned(printed(tmp_path, changed))
    assert again["prepare"] == 1, log
    assert "fetch" not in again


@pytest.mark.slow
def test_images_of_three_sizes_go_through_the_six_verbs(tmp_path: Path) -> None:
    write_sizes(tmp_path / "knees")
    write_sizes(tmp_path / "eyes", classes=3)
    source = {"source": "folder", "size": "own"}
    classes = {"background": 0, "disc": 1, "cup": 2}
    datasets = {"knees": source | {"path": "knees"}}
    datasets["eyes"] = source | {"path": "eyes", "classes": classes, "ignore": 255}
    run_study(tmp_path, TINY | {"datasets": datasets, "report": {"examples": 4}})
    scores = pd.read_csv(tmp_path / "results/scores.csv")
    for name in datasets:
        own = scores[scores["dataset"] == name]
        assert own.loc[own["model"] == "graders", "ged"].abs().max() == 0
        assert own.groupby(["model", "n"])["images"].sum().max() == 12
        images = open_data(tmp_path / f"data/{name}.zarr")
        folder = tmp_path / f"results/{name}/probabilistic_unet/beta-1/fold-0/seed-0"
        drawn = open_samples(folder / "samples.zarr")
        predictor = probunet.load(folder / "weights.pt", device="cpu", threads=1)
        for place, row in enumerate(drawn.rows.tolist()):
            pixels = np.asarray(Image.open(tmp_path / name / str(images.columns.name[row])))
            height, width = pixels.shape
            found = predictor.sample(pixels, 4, seed=0, row=row).samples
            maps = stored_maps(np.asarray(drawn.samples[place]), images.classes, images.size)
            assert np.array_equal(maps[:, :height, :width], found)
    page = (tmp_path / "results/report.html").read_text()
    assert page.count("each image its own: 24 to 90 pixels high, 40 to 66 wide") == 2
    assert page.count("each of which has a latent space of its own") == 2
    # another crop trains again; the store is the same
    again = planned(
        printed(
            tmp_path, TINY | {"datasets": datasets, "training": {**TINY["training"], "crop": 48}}
        )
    )
    assert again["train"] == 4
    assert "prepare" not in again


def test_the_page_s_configurations_and_folds_are_right(tmp_path: Path) -> None:
    configs = [check(Config, yaml.safe_load(text), "study.yaml") for text in blocks("yaml")]
    assert [list(one.datasets.sections) for one in configs] == [["knees"], ["knees"], ["eyes"]]
    config = configs[1]
    assert config.of("knees").training.steps == 60_000
    (tmp_path / "folds.json").write_text(blocks("json")[0])
    assert len(Folds.read(tmp_path / "folds.json").folds) == config.folds


def test_the_page_has_each_key() -> None:
    keys = json.loads(json_schema())["$defs"]["FolderSource"]["properties"]
    rows = set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.M))
    assert {*keys} - {"source"} <= rows


OWN = {
    "knees": {"source": "folder", "path": "knees", "size": [32, 64], "window": [0, 900]},
    "eyes": {"source": "folder", "path": "eyes", "on_error": "skip"},
}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    for name in OWN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "images.csv").write_text("")
    return tmp_path


def test_own_data_sets_are_planned_beside_others(tables: Path) -> None:
    config = {
        "datasets": PHANTOM | OWN,
        "folds": 2,
        "beta": [1],
        "architecture": {"channels": [4, 4, 4]},
        "overrides": {"eyes": {"models": ["unet", "m_heads"], "seeds": [1, 2]}},
        "prepare": {"jobs": 3},
    }
    output = printed(tables, config, "-p")
    jobs = planned(output)
    expected = {"fetch": 3, "prepare": 3, "prepare_part": 9, "folds": 3, "report": 1}
    expected |= {"train": 2 + 2 + 2 * 2 * 2}
    assert {rule: jobs[rule] for rule in expected} == expected
    for words in (
        """fetch --dataset knees --settings '{"datasets": {"knees": {"source": "folder", "path": """
        """"knees", "table": "images.csv"}}}' --folder data/raw/knees --manifest""",
        '"size": [32, 64], "window": [0.0, 900.0]}}}\' --manifest data/raw/knees.manifest.json '
        "--output data/knees.parts/2-of-3.zarr --multiple-of 4 ",
        '"on_error": "skip"',
        "--join data/eyes.parts/0-of-3.zarr --join data/eyes.parts/1-of-3.zarr --join ",
    ):
        assert words in output
