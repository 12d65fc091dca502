"""The benchmarks of models run where there is nothing but torch and NumPy."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ABSENT = ["zarr", "pydantic", "pydicom", "dask", "scipy", "pandas", "snakemake", "yaml", "typer"]


@pytest.mark.parametrize("name", ["model", "flips"])
def test_a_model_s_benchmark_needs_torch_and_numpy_only(name):
    block = "; ".join(f"sys.modules[{module!r}] = None" for module in ABSENT)
    code = f"import sys; {block}; sys.path.insert(0, {str(BENCHMARKS)!r}); import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
