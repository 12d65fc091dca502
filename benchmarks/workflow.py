"""Time of a full dry run (1018 series, 4 folds, 2 betas) and of `prepare --count`."""

import subprocess
import tempfile
from pathlib import Path

from common import parser, seconds, write

ROOT = Path(__file__).parents[1]


def main() -> None:
    path = parser(__doc__).parse_args().json
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "config.yaml")]
    dry_run = ["snakemake", "--dry-run", "--quiet", "--cores", "2", *files]
    count = ["probunet", "prepare", "--dataset", "lidc", "--count"]
    with tempfile.TemporaryDirectory() as folder:

        def run(command: list[str]) -> None:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)

        figures = {
            "dry run of the full configuration, s": round(seconds(lambda: run(dry_run)), 2),
            "prepare --dataset lidc --count, s": round(seconds(lambda: run(count)), 2),
        }
    write(figures, path)


if __name__ == "__main__":
    main()
