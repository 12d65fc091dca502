"""Logs of jobs, as `probunet` writes them, and records of images."""

import json
import uuid
from pathlib import Path
from typing import Any

from probunet.image_record import ImageRecord

RUNS = [
    f"lidc/probabilistic_unet/beta-{beta}/fold-{fold}/seed-0" for beta in (1, 10) for fold in (0, 1)
]


def tries(log: Path, *jobs: dict[str, Any]) -> Path:
    """Write a log with these tries, each with what differs from a good one on this machine.

    `exit_code=None` is a try that was killed: it has no last line.
    """
    lines = []
    for number, job in enumerate(jobs):
        first = {
            "event": "start",
            "id": uuid.uuid4().hex,
            "command": log.relative_to(log.parents[-2]).as_posix(),
            "version": "0.1.0",
            "commit": "c0ffee",
            "host": "node1",
            "slurm": {},
            "container": None,
            "started": f"2026-11-22T10:{number:02}:00+00:00",
        }
        last = {
            "event": "end",
            "exit_code": 0,
            "ended": f"2026-11-22T10:{number:02}:30+00:00",
            "seconds": 30.5,
            "max_rss_mb": 512.0,
            "children_max_rss_mb": 12.0,
            "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        }
        first |= {name: value for name, value in job.items() if name in first}
        last |= {name: value for name, value in job.items() if name not in first}
        lines += [f"job {json.dumps(first)}", "step 1 of 2: loss 3"]
        if last["exit_code"] is not None:
            lines.append(f"job {json.dumps(last | {'id': first['id']})}")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\n".join(lines) + "\n")
    return log


def all_logs(logs: Path, runs: list[str], **job: Any) -> None:
    """Write a log with one try for each step of a study of LIDC-IDRI."""
    steps = {
        "fetch/lidc": "fetch",
        "prepare/lidc": "prepare",
        "prepare/lidc.folds": "folds",
        "score/table": "score table",
    }
    for run in runs:
        steps |= {f"train/{run}": "train", f"sample/{run}": "sample", f"score/{run}": "score run"}
    for name, command in steps.items():
        tries(logs / f"{name}.log", {"command": command, **job})
    # of the job that writes the report there is no last line yet
    tries(logs / "report/report.log", {"command": "report", "exit_code": None})


def record(kind: str, **changes: Any) -> ImageRecord:
    made = {
        "kind": kind,
        "image": f"{kind}.sif",
        "sha256": "5f" * 32,
        "definition_sha256": "de" * 32,
        "lock_sha256": "10" * 32,
        "source_sha256": "50" * 32,
        "arguments": {},
        "commit": "c0ffee",
        "apptainer": "1.4.5",
        "built": "2026-11-22T09:00:00+00:00",
    }
    return ImageRecord.model_validate(made | changes)
