"""Stores that say something else of themselves."""

from pathlib import Path
from typing import Any

import zarr

from probunet.store import seal


def change_attributes(store: Path, /, **changed: Any) -> None:
    """Change attributes of a store, and seal it again."""
    zarr.open_group(store, mode="r+").attrs.update(changed)
    seal(store)
