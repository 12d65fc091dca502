"""The Zarr contract between the verbs: crops, scenes and samples.

Every store describes itself in its attributes, and is sealed: see `sealed`.
"""

from pathlib import Path

from probunet.store.crops import (
    PROTOCOL,
    SIZE,
    Columns,
    CropAttributes,
    Crops,
    create_crops,
    open_crops,
)
from probunet.store.samples import (
    Latent,
    SampleAttributes,
    Samples,
    open_samples,
    write_sample_parts,
    write_samples,
)
from probunet.store.scenes import (
    SceneAttributes,
    SceneColumns,
    Scenes,
    create_scenes,
    open_scenes,
)
from probunet.store.sealed import SHARD, kind_of, seal, verify, versions, write_shard

__all__ = [
    "PROTOCOL",
    "SHARD",
    "SIZE",
    "Columns",
    "CropAttributes",
    "Crops",
    "Latent",
    "SampleAttributes",
    "Samples",
    "SceneAttributes",
    "SceneColumns",
    "Scenes",
    "create_crops",
    "create_scenes",
    "open_crops",
    "open_data",
    "open_samples",
    "open_scenes",
    "seal",
    "verify",
    "versions",
    "write_sample_parts",
    "write_samples",
    "write_shard",
]


def open_data(path: Path) -> Crops | Scenes:
    """Return the store of a data set at `path`, whichever it is.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, or not of a kind that this version reads.
    """
    return open_scenes(path) if kind_of(path) == "scenes" else open_crops(path)
