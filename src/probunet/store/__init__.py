"""The Zarr contract between the verbs: crops, scenes and samples, and parts of the first two.

Every store describes itself in its attributes, and is sealed: see `sealed`.
"""

from pathlib import Path

from probunet.store.crops import (
    PROTOCOL,
    SIZE,
    Columns,
    CropAttributes,
    Crops,
    create_crop_images,
    create_crops,
    open_crops,
)
from probunet.store.parts import (
    Part,
    PartAttributes,
    create_part,
    open_part,
    read_rows,
    seal_part,
    take_images,
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
    create_scene_images,
    create_scenes,
    open_scenes,
)
from probunet.store.sealed import (
    MAKE_AGAIN,
    SHARD,
    Attributes,
    kind_of,
    seal,
    verify,
    versions,
    write_shard,
)

__all__ = [
    "MAKE_AGAIN",
    "PROTOCOL",
    "SHARD",
    "SIZE",
    "Attributes",
    "Columns",
    "CropAttributes",
    "Crops",
    "Latent",
    "Part",
    "PartAttributes",
    "SampleAttributes",
    "Samples",
    "SceneAttributes",
    "SceneColumns",
    "Scenes",
    "create_crop_images",
    "create_crops",
    "create_part",
    "create_scene_images",
    "create_scenes",
    "open_crops",
    "open_data",
    "open_part",
    "open_samples",
    "open_scenes",
    "read_rows",
    "seal",
    "seal_part",
    "take_images",
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
