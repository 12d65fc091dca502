"""A machine without much that Linux has: the workflow runs there, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.studies import PHANTOM, ROOT, TINY, in_folder

# as on macOS, and on a file system without locks that cannot flush folders; for each process
LACKS = """
import errno, fcntl, os, stat
del os.sched_getaffinity
flush = os.fsync
def flock(*arguments):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
def fsync(handle):
    number = handle if isinstance(handle, int) else handle.fileno()
    if stat.S_ISDIR(os.fstat(number).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    flush(number)
fcntl.flock, os.fsync = flock, fsync
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Without an activated environment, and with Python's start changed."""
    if not Path(sys.executable).with_name("probunet").exists():
        pytest.skip("probunet is not installed beside this Python")
    (tmp_path / "start").mkdir()
    (tmp_path / "start/sitecustomize.py").write_text(LACKS)
    path = os.pathsep.join([str(tmp_path / "start"), os.environ.get("PYTHONPATH", "")])
    scratch = {"SCRATCH": str(tmp_path / "scratch")}
    return os.environ | {"PATH": "/usr/bin:/bin", "PYTHONPATH": path} | scratch


@pytest.mark.slow
@pytest.mark.parametrize("until", ["prepare", "all"])
def test_a_study_runs(tmp_path: Path, environment: dict[str, str], until: str) -> None:
    """`data` is a link to scratch, which holds a link; results lie below a variable."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "scratch").symlink_to(tmp_path / "disk")
    study = tmp_path / "study"
    study.mkdir()
    (study / "data").symlink_to("../scratch")
    config = TINY | {"datasets": PHANTOM, "paths": {"results": "$SCRATCH/results"}}
    words = ["--set-threads", "train=1", "--until", until, *map(str, in_folder(study, config))]
    program = Path(sys.executable).with_name("snakemake")
    done = subprocess.run(
        [program, "--snakefile", ROOT / "Snakefile", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    logs = "\n".join(path.read_text() for path in (study / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    assert (tmp_path / "disk/lidc.zarr").is_dir()
    assert (tmp_path / "disk/results/report.html").exists() == (until == "all")
    assert "this file system has no locks" in done.stderr
    fetched = (study / "logs/fetch/lidc.log").read_text()
    assert fetched.count("this file system has no locks") == 1
    assert fetched.count("cannot flush files or folders to disk") == 1
