"""Mutated files: every reader refuses them in a line, in little memory and soon.

A minute by default, with the same seed in each run of the gate. By hand an hour, with another one:
`FUZZ_SECONDS=3600 FUZZ_SEED=$RANDOM pytest -m slow tests/fuzz`.
"""

import os

import pytest

from support.fuzz.readers import READERS
from support.fuzz.running import fuzz

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
SEED = os.environ.get("FUZZ_SEED", "0")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_in_a_line(name, tmp_path):
    count, faults = fuzz(name, tmp_path, SECONDS / len(READERS), SEED)
    print(f"{name}: {count} files, FUZZ_SEED={SEED}")
    assert not faults, f"FUZZ_SEED={SEED}, files in {tmp_path}\n" + "\n".join(faults)
    assert count > 5
