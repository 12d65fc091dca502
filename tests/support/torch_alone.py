"""Run code of the benchmarks where there is nothing but torch and NumPy."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ABSENT = (
    *("zarr", "pydantic", "pydicom", "dask", "scipy", "pandas", "snakemake", "yaml", "typer"),
    "tqdm",
)


def run_with_torch_alone(code: str) -> None:
    """Run code in a new process that can import the benchmarks; fail if it fails."""
    block = "; ".join(f"sys.modules[{module!r}] = None" for module in ABSENT)
    code = f"import sys; {block}; sys.path.insert(0, {str(BENCHMARKS)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
