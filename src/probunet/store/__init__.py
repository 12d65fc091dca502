"""Zarr stores of images and samples: create, seal, open, verify."""

from probunet.store.layout import Layout
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
from probunet.store.sealed import (
    MAKE_AGAIN,
    SHARD,
    Attributes,
    create_images,
    kind_of,
    protocol_of,
    seal,
    verify,
    versions,
    write_shard,
)

__all__ = [
    "MAKE_AGAIN",
    "SHARD",
    "Attributes",
    "Latent",
    "Layout",
    "Part",
    "PartAttributes",
    "SampleAttributes",
    "Samples",
    "create_images",
    "create_part",
    "kind_of",
    "open_part",
    "open_samples",
    "protocol_of",
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
