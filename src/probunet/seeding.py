"""Every random draw comes from (seed, purpose, step), so that nothing depends on history."""

import hashlib

import numpy as np


def seed_of(seed: int, purpose: str, step: int = 0) -> int:
    """Return 63 bits that depend on all three and on nothing else."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return NumPy's generator for this seed, purpose and step."""
    return np.random.default_rng(seed_of(seed, purpose, step))
