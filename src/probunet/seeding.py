"""Seeds of random draws: each depends only on (seed, purpose, step), not on earlier draws."""

import hashlib

import numpy as np


def seed_of(seed: int, purpose: str, step: int = 0) -> int:
    """Return a seed of 63 bits for this seed, purpose and step."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for this seed, purpose and step."""
    return np.random.default_rng(seed_of(seed, purpose, step))
