"""A whole study on the cluster: each step in its container, a GPU for each training, no other."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from probunet.files import sha256
from probunet.image_record import ImageRecord
from probunet.job import read_jobs

from .conftest import CACHE
from .slurm import Slurm
from .study import Study

pytestmark = pytest.mark.cluster

# command: container image
IMAGES = {"fetch": "data", "prepare": "data", "folds": "data", "train": "torch", "sample": "torch"}
IMAGES |= {"score": "data", "report": "data"}
TRAININGS = 2 * 2 + 2 + 2  # LIDC: folds and betas; Cityscapes: betas, and an ensemble's members


def jobs(study: Study) -> dict[Path, list[dict[str, object]]]:
    """Return the tries that stand in each log of a study."""
    logs = (study.folder / "logs").rglob("*.log")
    return {log: [vars(job) for job in read_jobs(log)] for log in logs if "image" not in log.parts}


def test_images_are_what_their_records_say(images: Path) -> None:
    for kind in ("data", "torch"):
        record = ImageRecord.model_validate_json((images / f"{kind}.json").read_text())
        assert sha256(images / f"{kind}.sif") == record.sha256
        assert record.arguments["bootstrap"] == "localimage"
        assert record.commit


def test_every_step_ran_once_in_its_image_and_in_slurm(undisturbed: Study, images: Path) -> None:
    found = jobs(undisturbed)
    verbs = {log.relative_to(undisturbed.folder / "logs").parts[0] for log in found}
    assert verbs == set(IMAGES) - {"folds"}  # which is logged with prepare
    for log, tries in found.items():
        assert len(tries) == 1, log
        job = tries[0]
        kind = IMAGES[str(job["command"]).split()[0]]
        assert Path(str(job["container"])).name == f"{kind}.sif", log
        assert job["slurm"]["SLURM_JOB_ID"], log  # type: ignore[index]
        record = json.loads((images / f"{kind}.json").read_text())
        assert job["commit"] == record["commit"], log


def test_each_training_has_one_gpu_and_nothing_else_has(undisturbed: Study, cluster: Slurm) -> None:
    found = jobs(undisturbed)
    of_command = {
        str(tries[0]["slurm"]["SLURM_JOB_ID"]): tries[0]["command"]  # type: ignore[index]
        for tries in found.values()
    }
    rows = {row["JobID"]: row for row in cluster.sacct("--allocations")}
    with_gpu = {job for job, row in rows.items() if "gres/gpu=1" in row["AllocTRES"].split(",")}
    ours = with_gpu & of_command.keys()
    assert len(ours) == TRAININGS
    assert {of_command[job] for job in ours} == {"train"}
    assert not [job for job, name in of_command.items() if name == "train" and job not in ours]


def test_small_steps_share_jobs(undisturbed: Study) -> None:
    found = jobs(undisturbed)
    ids = {tries[0]["slurm"]["SLURM_JOB_ID"] for tries in found.values()}  # type: ignore[index]
    evaluations = 2 * 2 + 2 + 1  # sample and score of each run
    assert len(found) > len(ids) == TRAININGS + evaluations + 2 + 1  # fetch and prepare; report


def test_scores_equal_those_of_a_local_run(undisturbed: Study, local: Study) -> None:
    assert local.table("scores.csv") == undisturbed.table("scores.csv")
    assert local.table("summary.csv") == undisturbed.table("summary.csv")


def test_nothing_is_left_to_do(undisturbed: Study) -> None:
    again = undisturbed.slurm("--dry-run")
    assert "Nothing to be done" in again.stdout, again.stdout


def test_another_image_is_built_and_repeats_no_step(undisturbed: Study, tmp_path: Path) -> None:
    """It is built into a copy of the cache, which keeps only the last image of each kind."""
    shutil.copytree(CACHE / "images", tmp_path / "cache", copy_function=os.link)
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"container_build": {"cache": str(tmp_path / "cache")}}))
    undisturbed.configs = (*undisturbed.configs, other)
    before = json.loads((undisturbed.folder / "containers/data.json").read_text())
    with (undisturbed.folder / "containers/data.def").open("a") as definition:
        definition.write("# another\n")
    report = undisturbed.folder / "results/report.html"
    report.unlink()
    again = undisturbed.slurm(seconds=600)
    assert again.returncode == 0, again.stdout
    after = json.loads((undisturbed.folder / "containers/data.json").read_text())
    assert after["definition_sha256"] != before["definition_sha256"]
    assert report.exists()
    for log, tries in jobs(undisturbed).items():
        assert len(tries) == (2 if log.name == "report.log" else 1), log
    made = json.dumps((undisturbed.folder / "results/ro-crate-metadata.json").read_text())
    assert after["sha256"] in made
