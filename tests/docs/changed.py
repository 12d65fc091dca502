"""A copy of the package with the files and changes of a page."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.pages import ROOT, blocks


def changed(name: str, folder: Path) -> Path:
    """Copy the package to `folder`, write and change files as on the page; return `folder`."""
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/probunet", folder / "src/probunet", ignore=without)
    text = (ROOT / name).read_text()
    files = re.findall(r"^Write `(\S+)`:\n\n```python\n(.*?)^```$", text, re.M | re.S)
    assert files
    for path, content in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    for number, diff in enumerate(blocks(name, "diff")):
        for path in re.findall(r"^--- a/(tests/\S+)$", diff, re.M):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)
        (folder / f"{number}.diff").write_text(diff)
        apply = ["git", "apply", f"{number}.diff"]
        # outside of this repository: inside, git would skip files that are not in it
        outside = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
        subprocess.run(apply, cwd=folder, env=outside, check=True, timeout=60)
    return folder


def python(folder: Path, *arguments: str | Path) -> str:
    """Run Python with the changed package; return what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def probunet(folder: Path, *arguments: str | Path) -> str:
    """Run a command of the changed package."""
    return python(folder, "-c", "from probunet.cli import main; main()", *arguments)
