"""Whole studies, from DICOM to the report, with a network of a few weights."""

import csv
import shutil
from pathlib import Path

import pytest

from probunet.config import WITHOUT_KL
from probunet.datasets.lidc.store import open_crops
from support.studies import ROOT, TINY, in_folder, snakemake, study

SAMPLE = ROOT / "../shared/lidc-sample"


def rows(table: Path) -> list[dict[str, str]]:
    with table.open() as file:
        return list(csv.DictReader(file))


def source_tree() -> set[Path]:
    parts = [
        "Snakefile",
        "config.yaml",
        "workflow",
        "src",
        "envs",
        "containers",
        "slurm",
        "profiles",
    ]
    files = {path for part in parts for path in [ROOT / part, *(ROOT / part).rglob("*")]}
    return {path for path in files if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_every_run_of_both_data_sets_is_in_the_table(whole: Path) -> None:
    table = rows(whole / "results/scores.csv")
    found = {(row["dataset"], row["model"], row["beta"], row["fold"]) for row in table}
    models = {
        "lidc": ["probabilistic_unet", "unet", "hierarchical_probabilistic_unet"],
        "cityscapes": ["unet_ensemble", "image2image_vae"],
    }
    for dataset, names in models.items():
        folds = {"lidc": "01", "cityscapes": "0"}[dataset]  # the published split is one fold
        for model in names:
            betas = ["1"] if model in WITHOUT_KL else ["1", "10"]
            own = {key[2:] for key in found if key[:2] == (dataset, model)}
            assert own == {(beta, fold) for beta in betas for fold in folds}
        degenerate = {model for name, model, *_ in found if name == dataset} - {*names}
        assert degenerate >= {"empty", "graders"}
        deterministic = {model for model in degenerate if model.startswith("deterministic")}
        assert dataset != "lidc" or len(deterministic) == len(names)
    assert {float(row["ged"]) for row in table if row["model"] == "graders"} == {0.0}
    single = {(row["fold"], row["n"]): row["ged"] for row in table if row["model"] == "unet"}
    assert single["0", "1"] == single["0", "4"]


@pytest.mark.slow
def test_the_page_shows_both_data_sets_and_says_that_they_are_synthetic(whole: Path) -> None:
    page = (whole / "results/report.html").read_text()
    for said in (
        "Hierarchical Probabilistic U-Net",
        "U-Net ensemble",
        "drawn, not photographed",
        "invented pixels around real outlines",
    ):
        assert said in page
    assert "<script src" not in page


@pytest.mark.slow
def test_members_of_an_ensemble_are_trained_apart(whole: Path) -> None:
    members = whole / "results/cityscapes/unet_ensemble/beta-1/fold-0/seed-0"
    weights = [path.read_bytes() for path in sorted(members.glob("member-*/weights.pt"))]
    assert len(weights) == 2
    assert weights[0] != weights[1]
    assert not (members / "weights.pt").exists()


@pytest.mark.slow
def test_a_second_study_shares_the_data_and_has_the_same_scores(
    whole: Path, tmp_path: Path
) -> None:
    before = source_tree()
    store = whole / "data/lidc.zarr/zarr.json"
    made = store.stat().st_mtime_ns
    phantom = {"lidc": {"source": "phantom", "patients": 4}}
    results = study(tmp_path, phantom, beta=[1], paths={"data": str(whole / "data")})
    assert store.stat().st_mtime_ns == made
    assert not (tmp_path / "data").exists()
    begin = "lidc,probabilistic_unet,1,"
    once, again = (
        [line for line in (one / "scores.csv").read_text().splitlines() if line.startswith(begin)]
        for one in (whole / "results", results)
    )
    assert len(once) == 2 * 2  # folds, n
    assert again == once
    assert source_tree() == before, "something was written into the source tree"


@pytest.mark.slow
def test_scenes_over_cities_from_a_tree_with_bad_files(whole: Path, tmp_path: Path) -> None:
    """The drawn scenes as a tree of the user's own; a file is cut off and one is missing."""
    tree = shutil.copytree(whole / "data/raw/cityscapes", tmp_path / "tree")
    pictures = sorted(tree.glob("leftImg8bit/train/aachen/*.png"))
    pictures[0].write_bytes(pictures[0].read_bytes()[:-40])
    pictures[1].unlink()
    local = {"source": "local", "path": str(tree), "size": [16, 32], "split": "cities"}
    results = study(tmp_path / "study", {"cityscapes": local}, models=["unet"])
    table = rows(results / "scores.csv")
    assert {row["fold"] for row in table if row["model"] == "unet"} == {"0", "1"}
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
    config = TINY | {"datasets": {"lidc": {"source": "local", "path": "empty"}}}
    done = snakemake("--show-failed-logs", *in_folder(tmp_path, config))
    assert done.returncode == 1
    assert "no DICOM file in it" in done.stderr + done.stdout
    assert not (tmp_path / "data/raw/lidc.manifest.json").exists()
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())
