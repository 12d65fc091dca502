"""`kill -9` of Snakemake at random moments: the same command goes on to the same results.

`PROBUNET_KILLS=30 PROBUNET_SEED=1 pytest tests/workflow/test_killed.py` kills more often than the
suite does, and at other moments.
"""

import os
import random
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from support.studies import ROOT, TINY, in_folder, planned, run_study

KILLS = int(os.environ.get("PROBUNET_KILLS", "5"))
CONFIG = TINY | {
    "datasets": {"lidc": {"source": "phantom", "patients": 4}},
    "training": TINY["training"] | {"steps": 60, "validation_every": 20, "checkpoint_every": 10},  # type: ignore[operator]
}
SAME = (".pt", ".csv", ".parquet", ".zarr", "folds.json")  # without times in them
ANEW = "checkpoint/finished/digest"  # is written when a training ends


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("PROBUNET_SEED", "8")))
    begun = time.monotonic()
    run_study(tmp_path / "undisturbed", CONFIG)
    seconds = time.monotonic() - begun
    expected = results(tmp_path / "undisturbed")
    assert len(expected) > 30
    kills = studies = 0
    while kills < KILLS:
        studies += 1
        folder = tmp_path / f"study-{studies}"
        kills += disturb(folder, chance, seconds, KILLS - kills)
        assert results(folder) == expected
        print(f"study {studies}: {kills} kills")  # pytest -s


@pytest.mark.slow
def test_only_a_training_that_is_asked_for_is_trained_anew(copied: Path) -> None:
    """Not one that was still marked as running when Snakemake was killed."""
    run = "results/lidc/unet/beta-1/fold-0/seed-0"
    anew, weights = copied / run / ANEW, copied / run / "weights.pt"
    config = yaml.safe_load((copied / "mine.yaml").read_text())
    before, ended = weights.read_bytes(), anew.stat().st_mtime_ns
    for name in ("weights.pt", "last.pt", "training.jsonl"):
        marker = urlsafe_b64encode(f"{run}/{name}".encode()).decode()
        (copied / ".snakemake/incomplete" / marker).write_text('{"external_jobid": null}')
    weights.unlink()  # as if Snakemake had just started the step again
    said = run_study(copied, config, "--until", "train")
    assert planned(said) == {"train": 1, "total": 1}
    assert weights.read_bytes() == before
    assert anew.stat().st_mtime_ns == ended
    assert not any((copied / ".snakemake/incomplete").iterdir())
    run_study(copied, config, "--until", "train", "--forcerun", f"{run}/weights.pt")
    assert anew.stat().st_mtime_ns > ended


def results(folder: Path) -> dict[str, bytes]:
    """Return the files of a study that must be the same, by their path."""
    files = (path for part in ("data", "results") for path in (folder / part).rglob("*"))
    return {
        name: path.read_bytes()
        for path in files
        if path.is_file() and path.name != ".snakemake_timestamp"
        for name in [path.relative_to(folder).as_posix()]
        if any(part.endswith(SAME) for part in name.split("/")) and "/checkpoint/" not in name
    }


def disturb(folder: Path, chance: random.Random, seconds: float, most: int) -> int:
    """Run a study until it is finished, and kill it up to `most` times; return how often."""
    finished: dict[Path, int] = {}  # when each training ended
    kills = 0
    while True:
        process = start(folder)
        try:
            patience = chance.uniform(0, seconds / 2) if kills < most else 900
            _, said = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            kill(process, chance)
            kills += 1
            for file in (folder / "results").rglob(ANEW):
                finished.setdefault(file, file.stat().st_mtime_ns)
            continue
        logs = "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
        assert process.returncode == 0, said + logs
        for file, ended in finished.items():
            assert file.stat().st_mtime_ns == ended, f"{file}: trained anew"
        return kills


def start(folder: Path) -> "subprocess.Popen[str]":
    """Start Snakemake in a process group of its own, as a shell does."""
    words = ["--set-threads", "train=1", *map(str, in_folder(folder, CONFIG))]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *words],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process: "subprocess.Popen[str]", chance: random.Random) -> None:
    """Kill Snakemake alone, with all of its jobs, or its jobs a little later."""
    how = chance.choice(["alone", "group", "later"])
    if how != "group":
        process.kill()
        time.sleep(chance.choice([0, 0.2, 3]))
    if how != "alone":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
