"""The store of Cityscapes: street scenes with one label map each; flips are not stored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.config import Settings, Size, Source
from probunet.datasets.cityscapes.config import CityscapesSource, Fit
from probunet.datasets.cityscapes.split import published_split
from probunet.folds import Folds
from probunet.pictures.view import Shown
from probunet.prepared import Prepared
from probunet.store import Layout, create_images
from probunet.truth.base import DataAttributes, Words
from probunet.truth.modes import Flipped

PROTOCOL = "kohl2018-cityscapes"  # Kohl et al. 2018, section 3.2 and appendix H.2
CHUNK = 1  # scenes per inner chunk


class SceneAttributes(DataAttributes):
    """Attributes of a store of scenes."""

    protocol: str
    size: tuple[int, int]  # height and width, pixels
    resampling: str  # how images and labels were resized
    labels: str  # source of the table of labels
    flips: dict[str, str]  # probability of each class's second name
    fit: Fit = "stretch"  # what was done with scenes of another aspect ratio than `size`
    other_ratio: int | None = None  # how many there are; None if they were not counted


@dataclass(frozen=True)
class SceneColumns:
    """One value per scene."""

    city: NDArray[np.str_]
    frame: NDArray[np.str_]  # the publisher's sequence and frame, "000021_000019"


LAYOUT = Layout(
    "scenes", SceneAttributes, SceneColumns, arrays=("image", "label"), protocol=PROTOCOL
)


@dataclass(frozen=True)
class Scenes(Flipped):
    """An open store of scenes."""

    words = Words("city", "cities", "scene", "scenes")

    path: Path
    attributes: SceneAttributes
    digest: str
    columns: SceneColumns
    image: zarr.Array[Any]  # (n, H, W, 3) uint8, red, green, blue
    label: zarr.Array[Any]  # (n, H, W) uint8, train ids 0 to 18; 255: not scored

    @property
    def subjects(self) -> NDArray[np.str_]:
        """The city of each scene, (n,)."""
        return self.columns.city

    @property
    def protocol(self) -> str:
        """How scenes were made."""
        return self.attributes.protocol

    @property
    def units(self) -> NDArray[np.str_]:
        """The scene itself, (n,): there are too few cities to resample."""
        both = zip(self.columns.city, self.columns.frame, strict=True)
        return np.array([f"{city}_{frame}" for city, frame in both])

    def prepared(self, settings: Settings) -> Prepared:
        """Return that scenes of another size are brought to the store's, with black as padding."""
        return replace(super().prepared(settings), resize=self.attributes.fit)

    def published_split(self) -> Folds:
        """Return the publisher's split as one fold."""
        return published_split(self)

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        assert isinstance(source, CityscapesSource)
        scenes = len(self) + sum(self.attributes.left_out.values())
        yield "images", scenes, source.images if source.source == "phantom" else None
        yield "size", self.attributes.size, source.size
        matters = self.attributes.other_ratio != 0
        yield "fit", self.attributes.fit, source.fit if matters else None

    def shown(self) -> Shown:
        """Return how the report shows scenes."""
        from probunet.datasets.cityscapes.report import ShownScenes

        return ShownScenes(self)


def create_scenes(path: Path, columns: SceneColumns, attributes: SceneAttributes) -> None:
    """Create an unsealed store of scenes whose images are still empty."""
    create_arrays = partial(create_scene_images, size=attributes.size)
    LAYOUT.create(path, columns, attributes, create_arrays)


def create_scene_images(group: zarr.Group, count: int, size: Size) -> None:
    """Create the empty images and labels of `count` scenes."""
    create_images(group, "image", (count, *size, 3), np.uint8, CHUNK)
    create_images(group, "label", (count, *size), np.uint8, CHUNK)


def open_scenes(path: Path) -> Scenes:
    """Return the store of scenes at `path`; raises as `Layout.open` does."""
    return Scenes(**LAYOUT.open(path))
