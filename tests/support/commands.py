"""The command `probunet` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROBUNET = [sys.executable, "-c", "from probunet.cli import main; main()"]


def probunet(*words: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, and return what it printed and how it ended."""
    command = [*PROBUNET, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def settings_of(dataset: str, **section: Any) -> str:
    """Return `--settings` that have a data set's section alone."""
    return json.dumps({"datasets": {dataset: section}})


def preparing(dataset: str, manifest: Path, output: Path, **section: Any) -> list[str]:
    """Return the words of a `probunet prepare` of a data set."""
    words = ["prepare", "--dataset", dataset, "--settings", settings_of(dataset, **section)]
    return [*words, "--manifest", str(manifest), "--output", str(output)]
