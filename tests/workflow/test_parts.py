"""`prepare.jobs`: the jobs that are planned, and the store that they make."""

import shutil
from pathlib import Path

import pytest
import yaml

from .test_dry_run import PHANTOM, STREETS, dry_run, snakemake

FEW = {
    "lidc": {"source": "phantom", "patients": 4},
    "cityscapes": {"source": "phantom", "images": 12, "phantom_size": [64, 128], "size": [64, 128]},
}
RULES = [f"prepare_{name}{part}" for name in FEW for part in ("", "_part")]


def prepared(folder: Path, jobs: int) -> dict[str, bytes]:
    """Make the stores and return all of their files."""
    config = {"datasets": FEW, "folds": 2, "prepare": {"jobs": jobs}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    arguments: list[str | Path] = [
        "--cores", "2", "--set-threads", *(f"{rule}=1" for rule in RULES), "--directory", folder,
        "--configfile", folder / "mine.yaml", "--",
        "data/lidc.zarr", "data/cityscapes.zarr",
    ]  # fmt: skip
    done = snakemake(*arguments)
    logs = "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    again = snakemake("-n", *arguments)
    assert "Nothing to be done" in again.stdout + again.stderr
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.glob("data/*.zarr/**/*")
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def test_jobs_make_parts_and_one_more_joins_them(tmp_path: Path) -> None:
    once = dry_run(tmp_path, {"datasets": PHANTOM | STREETS})
    three = dry_run(tmp_path, {"datasets": PHANTOM | STREETS, "prepare": {"jobs": 3}})
    more = {"prepare_lidc_part": 3, "prepare_cityscapes_part": 3}
    assert three == once | more | {"total": once["total"] + 6}


@pytest.mark.slow
def test_three_jobs_make_the_store_of_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    one = prepared(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one/data/raw", tmp_path / "three/data/raw")
    three = prepared(tmp_path / "three", 3)
    assert {"data/lidc.zarr/zarr.json", "data/cityscapes.zarr/zarr.json"} < set(one)
    assert three == one
    assert len(list((tmp_path / "three/logs/prepare").glob("lidc.*-of-3.log"))) == 3
    assert list((tmp_path / "three").glob("data/*.parts/*.zarr")) == [], "parts are temporary"
