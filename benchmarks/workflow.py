"""Seconds of a full dry run (1018 series, 4 folds, 2 betas) and of `prepare lidc --index-only`."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def seconds(*command: str, cwd: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return round(time.perf_counter() - start, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    output = parser.parse_args().json

    with tempfile.TemporaryDirectory() as folder:
        full = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "config.yaml")]
        result = {
            "dry run of the full configuration, s": seconds(
                "snakemake", "--dry-run", "--quiet", "--cores", "2", *full, cwd=folder
            ),
            "prepare lidc --index-only, s": seconds(
                "probunet", "prepare", "lidc", "--index-only", cwd=folder
            ),
        }
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
