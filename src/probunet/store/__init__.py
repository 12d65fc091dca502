"""The Zarr contract between the verbs: crops, scenes, images and samples, and parts of data sets.

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
from probunet.store.images import (
    ImageAttributes,
    ImageColumns,
    Images,
    create_image_arrays,
    create_images,
    open_images,
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

Data = Crops | Scenes | Images
Graded = Crops | Images  # with masks of several graders

__all__ = [
    "MAKE_AGAIN",
    "PROTOCOL",
    "SHARD",
    "SIZE",
    "Attributes",
    "Columns",
    "CropAttributes",
    "Crops",
    "Data",
    "Graded",
    "ImageAttributes",
    "ImageColumns",
    "Images",
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
    "create_image_arrays",
    "create_images",
    "create_part",
    "create_scene_images",
    "create_scenes",
    "open_crops",
    "open_data",
    "open_images",
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


def open_data(path: Path) -> Data:
    """Return the store of a data set at `path`, whichever it is.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, or not of a kind that this version reads.
    """
    kind = kind_of(path)
    if kind == "images":
        return open_images(path)
    return open_scenes(path) if kind == "scenes" else open_crops(path)
