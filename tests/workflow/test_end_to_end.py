"""Whole studies, from DICOM to the report, with a network of a few weights."""

import csv
import re
from pathlib import Path

import pytest
import yaml

from probunet.config import WITHOUT_KL
from probunet.store import open_crops

from .test_dry_run import ROOT, snakemake

SAMPLE = ROOT / "../shared/lidc-sample"
TINY = {
    "folds": 2,
    "beta": [1],
    "architecture": {"channels": [4, 8], "convolutions": 1, "latent_dim": 2},
    "training": {
        "steps": 4,
        "batch": 2,
        "crop": 32,
        "learning_rates": [1.0e-3],
        "validation_every": 2,
        "validation_images": 4,
        "validation_samples": 2,
        "log_every": 1,
    },
    "evaluation": {"samples": 4, "n": [1, 4], "crop": 64, "bootstrap": 50},
    "report": {"examples": 2},
}


def study(folder: Path, datasets: object, **keys: object) -> Path:
    """Run a whole study in `folder` and return its results."""
    folder.mkdir(exist_ok=True)
    config = TINY | {"datasets": datasets} | keys
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        "--cores", "2", "--set-threads", "train=1", "--directory", folder,
        "--configfile", folder / "mine.yaml",
    )  # fmt: skip
    logs = "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    return folder / "results"


def rows(table: Path) -> list[dict[str, str]]:
    with table.open() as file:
        return list(csv.DictReader(file))


def source_tree() -> set[Path]:
    parts = ["Snakefile", "config.yaml", "workflow", "src", "envs", "containers", "slurm"]
    files = {path for part in parts for path in [ROOT / part, *(ROOT / part).rglob("*")]}
    return {path for path in files if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_phantom_study_elsewhere_twice(tmp_path: Path) -> None:
    before = source_tree()
    phantom = {"lidc": {"source": "phantom", "patients": 4}}
    results = study(tmp_path / "one", phantom, beta=[0.5, 10])
    table = rows(results / "scores.csv")
    runs = {(row["beta"], row["fold"]) for row in table if row["model"] == "probabilistic_unet"}
    assert runs == {(beta, fold) for beta in ("0.5", "10") for fold in "01"}
    assert {row["model"] for row in table} >= {"deterministic", "empty", "graders"}
    assert [row["ged"] for row in table if row["model"] == "graders"] == ["0.000000"] * 4
    page = (results / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert "<script src" not in page
    assert source_tree() == before, "something was written into the source tree"

    # a second study shares the raw data and the store, and comes to the same scores
    shared = {"paths": {"data": "../one/data"}}
    store = tmp_path / "one/data/lidc.zarr/zarr.json"
    made = store.stat().st_mtime_ns
    again = study(tmp_path / "two", phantom, beta=[0.5, 10], **shared)
    assert (again / "scores.csv").read_bytes() == (results / "scores.csv").read_bytes()
    assert (again / "summary.csv").read_bytes() == (results / "summary.csv").read_bytes()
    assert store.stat().st_mtime_ns == made
    assert not (tmp_path / "two/data").exists()


@pytest.mark.slow
def test_several_models_in_one_study(tmp_path: Path) -> None:
    phantom = {"lidc": {"source": "phantom", "patients": 4}}
    models = ["unet", "stochastic_segmentation_network", "hierarchical_probabilistic_unet"]
    results = study(tmp_path, phantom, beta=[1, 10], models=models)
    table = rows(results / "scores.csv")
    for model in models:
        own = {(row["beta"], row["fold"]) for row in table if row["model"] == model}
        betas = ["1"] if model in WITHOUT_KL else ["1", "10"]
        assert own == {(beta, fold) for beta in betas for fold in "01"}
    single = {(row["fold"], row["n"]): row["ged"] for row in table if row["model"] == "unet"}
    assert single["0", "1"] == single["0", "4"]
    deterministic = [row["model"] for row in table if row["model"].startswith("deterministic")]
    assert len(set(deterministic)) == len(models)
    page = (results / "report.html").read_text()
    assert "Hierarchical Probabilistic U-Net" in page


STREETS = {"source": "phantom", "images": 24, "phantom_size": [32, 64], "size": [16, 32]}


@pytest.mark.slow
def test_both_data_sets_in_one_study_each_with_its_own_models(tmp_path: Path) -> None:
    both = {"lidc": {"source": "phantom", "patients": 4}, "cityscapes": STREETS}
    own = {"models": ["unet_ensemble", "image2image_vae"], "unet_ensemble": {"members": 2}}
    results = study(tmp_path, both, overrides={"cityscapes": own})
    table = rows(results / "scores.csv")
    found = {(row["dataset"], row["model"], row["fold"]) for row in table}
    assert {key for key in found if key[1] == "probabilistic_unet"} == {
        ("lidc", "probabilistic_unet", "0"),
        ("lidc", "probabilistic_unet", "1"),
    }
    for model in ("unet_ensemble", "image2image_vae", "empty", "graders"):
        assert ("cityscapes", model, "0") in found
        assert ("cityscapes", model, "1") not in found, "the published split is one fold"
    modes = [float(row["ged"]) for row in table if row["model"] == "graders"]
    assert modes == [0.0] * len(modes)
    members = results / "cityscapes/unet_ensemble/beta-1/fold-0/seed-0"
    weights = [path.read_bytes() for path in sorted(members.glob("member-*/weights.pt"))]
    assert len(weights) == 2
    assert weights[0] != weights[1]
    assert not (members / "weights.pt").exists()
    page = (results / "report.html").read_text()
    assert "U-Net ensemble" in page
    assert "drawn, not photographed" in page
    assert "invented pixels around real outlines" in page


@pytest.mark.slow
def test_scenes_over_cities_twice_then_from_the_tree_with_bad_files(tmp_path: Path) -> None:
    streets = {"cityscapes": STREETS | {"split": "cities"}}
    keys = {"models": ["probabilistic_unet"], "paths": {"data": "../data"}}
    one, two = (study(tmp_path / name, streets, **keys) for name in ("one", "two"))
    table = rows(one / "scores.csv")
    assert {row["fold"] for row in table if row["model"] == "probabilistic_unet"} == {"0", "1"}
    assert (one / "scores.csv").read_bytes() == (two / "scores.csv").read_bytes()
    # all but what it cost, and when
    costs = r"(?s)<h3>What it cost</h3>.*?</table>"
    pages = [(folder / "report.html").read_text() for folder in (one, two)]
    assert re.sub(costs, "", pages[0]) == re.sub(costs, "", pages[1])

    # the drawn scenes as a tree of the user's own, in which a file is cut off and one is missing
    tree = tmp_path / "data/raw/cityscapes"
    pictures = sorted(tree.glob("leftImg8bit/train/aachen/*.png"))
    pictures[0].write_bytes(pictures[0].read_bytes()[:-40])
    pictures[1].unlink()
    local = {"cityscapes": {"source": "local", "path": str(tree), "size": [16, 32]}}
    results = study(tmp_path / "three", local, models=["unet"])
    page = (results / "report.html").read_text()
    assert "truncated or damaged PNG" in page
    assert "label without a picture" in page
    assert "synthetic" in page.lower()


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the real CT slices of lidc-sample are not here")
def test_real_slices_of_two_patients(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in SAMPLE.rglob("*")}
    results = study(tmp_path, {"lidc": {"source": "local", "path": str(SAMPLE.resolve())}})
    crops = open_crops(tmp_path / "data/lidc.zarr")
    assert len(crops) == 16
    by_patient = {
        patient: crops.columns.annotations[crops.columns.patient == patient].tolist()
        for patient in ("LIDC-IDRI-0001", "LIDC-IDRI-0002")
    }
    assert by_patient["LIDC-IDRI-0001"] == [3, 4, 4, 4, 4, 4, 4, 4, 1]
    assert by_patient["LIDC-IDRI-0002"] == [2] * 7
    assert crops.attributes.left_out == {"no slice at the outline's z": 21}
    assert not crops.attributes.synthetic
    table = rows(results / "scores.csv")
    assert {row["fold"]: row["images"] for row in table} in (
        {"0": "9", "1": "7"},
        {"0": "7", "1": "9"},
    )
    page = (results / "report.html").read_text()
    assert "outline" in page
    assert "no slice at the outline&#39;s z" in page
    assert "873 of LIDC-IDRI" in page
    assert {path: path.stat().st_mtime_ns for path in SAMPLE.rglob("*")} == before


@pytest.mark.slow
def test_a_failed_step_shows_its_cause_and_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(TINY | {"datasets": {"lidc": {"source": "local", "path": "empty"}}})
    )
    done = snakemake(
        "--cores", "2", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml",
        "--show-failed-logs",
    )  # fmt: skip
    assert done.returncode == 1
    assert "no DICOM file in it" in done.stderr + done.stdout
    assert not (tmp_path / "data/raw/lidc.manifest.json").exists()
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())
