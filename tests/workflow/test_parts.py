"""`prepare.jobs`: the jobs that are planned, and the store that they make."""

import shutil
from pathlib import Path

import pytest

from support.studies import PHANTOM, STREETS, dry_run, run_study, snakemake

FEW = {
    "lidc": {"source": "phantom", "patients": 4},
    "cityscapes": {"source": "phantom", "images": 12, "phantom_size": [64, 128], "size": [64, 128]},
}


def prepared(folder: Path, jobs: int) -> dict[str, bytes]:
    """Make the stores and return all of their files."""
    config = {"datasets": FEW, "folds": 2, "prepare": {"jobs": jobs}}
    stores = ["--", "data/lidc.zarr", "data/cityscapes.zarr"]
    run_study(folder, config, "--set-threads", "prepare=1", "prepare_part=1", *stores)
    again = snakemake(
        "-n", "--directory", folder, "--configfile", folder / "mine.yaml", *stores
    )  # fmt: skip
    assert "Nothing to be done" in again.stdout + again.stderr
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.glob("data/*.zarr/**/*")
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def test_jobs_make_parts_and_one_more_joins_them(tmp_path: Path) -> None:
    once = dry_run(tmp_path, {"datasets": PHANTOM | STREETS})
    three = dry_run(tmp_path, {"datasets": PHANTOM | STREETS, "prepare": {"jobs": 3}})
    assert three == once | {"prepare_part": 6, "total": once["total"] + 6}


@pytest.mark.slow
def test_three_jobs_make_the_store_of_one(tmp_path: Path) -> None:
    one = prepared(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one/data/raw", tmp_path / "three/data/raw")
    three = prepared(tmp_path / "three", 3)
    assert {"data/lidc.zarr/zarr.json", "data/cityscapes.zarr/zarr.json"} < set(one)
    assert three == one
    assert len(list((tmp_path / "three/logs/prepare").glob("lidc.*-of-3.log"))) == 3
    assert list((tmp_path / "three").glob("data/*.parts/*.zarr")) == [], "parts are temporary"
