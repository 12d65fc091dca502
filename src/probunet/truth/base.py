"""The interface between the verbs and an open data set, for every kind of ground truth."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from probunet.config import DataPlace, Settings, Size, Source
from probunet.errors import ProbunetError, few
from probunet.folds import Fold, Folds
from probunet.prepared import Prepared
from probunet.store import Attributes, Samples

if TYPE_CHECKING:  # the steps without torch import this module
    import pandas as pd
    import torch
    import zarr
    from torch import Tensor

    from probunet.metrics.ged import EnergyDistance
    from probunet.metrics.sample_weights import Weights
    from probunet.pictures.view import Shown
    from probunet.truth.inputs import InTiles


class Words(NamedTuple):
    """A data set's words for its subjects and images."""

    subject: str = "subject"
    subjects: str = "subjects"
    image: str = "image"
    images: str = "images"


class DataAttributes(Attributes):
    """Attributes that the stores of all data sets have."""

    dataset: str
    source: str
    synthetic: bool
    left_out: dict[str, int]  # number of images by reason
    manifest_sha256: str
    licence: str
    versions: dict[str, str]


class Data(ABC):
    """An open store of a data set."""

    words: ClassVar[Words] = Words()
    scored_if: ClassVar[str] = "has graders"  # what an image does that has scores

    path: Path
    attributes: DataAttributes
    digest: str  # of the whole store
    columns: Any  # a dataclass of columns, one value per image
    image: "zarr.Array[Any]"  # (n, H, W) or (n, H, W, C)

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    @abstractmethod
    def subjects(self) -> NDArray[np.str_]:
        """The subject of each image, (n,); folds do not divide a subject."""

    @property
    def protocol(self) -> str:
        """How the images were made, empty if there is no choice; scores of two do not compare."""
        return ""

    @property
    def fold_names(self) -> set[str]:
        """What folds can name: the subjects."""
        return set(self.subjects.tolist())

    @property
    def units(self) -> NDArray[np.str_]:
        """The bootstrap's resampling unit of each image, (n,): its subject."""
        return self.subjects

    def columns_of(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return row, columns and resampling unit (as `subject`) of images by name."""
        columns = {k: column for k, column in vars(self.columns).items() if column is not None}
        chosen = {name: column[rows] for name, column in columns.items()}
        return {"row": rows, **chosen, "subject": self.units[rows]}

    def rows_of(self, subjects: list[str]) -> NDArray[np.int64]:
        """Return the rows of these subjects' images, in ascending order."""
        return np.flatnonzero(np.isin(self.subjects, subjects))

    def read_folds(self, path: Path) -> Folds:
        """Return the folds in a file.

        Raises
        ------
        ProbunetError
            If the file does not contain folds, or those of another data set.
        """
        folds, name = Folds.read(path), self.attributes.dataset
        if folds.dataset != name:
            raise ProbunetError(
                f"{path}: its folds are of the data set {folds.dataset}, but {self.path} contains "
                f"{name}; use the folds of {name}."
            )
        return folds

    def check_subjects(self, fold: Fold, path: Path) -> None:
        """Raise ProbunetError if a fold, of the file `path`, has subjects without any image."""
        unknown = {*fold.train, *fold.validation, *fold.test} - self.fold_names
        if unknown:
            raise ProbunetError(
                f"{path}: names {self.words.subjects} without any {self.words.image} in "
                f"{self.path}: {few(sorted(unknown))}; use the folds of this store."
            )

    def shared_images(self, other: "Data") -> NDArray[np.int64]:
        """Return the rows of this and another store (pairs, 2) that show the same.

        Raises
        ------
        ProbunetError
            If images of this data set cannot be recognised in another store.
        """
        raise ProbunetError(
            f"{self.path}: its images cannot be recognised in another store; leave out --shared."
        )

    @property
    def size(self) -> Size:
        """Height and width of the stored images, pixels."""
        return int(self.image.shape[1]), int(self.image.shape[2])

    @property
    def extents(self) -> NDArray[np.int64] | None:
        """Height and width of each image (n, 2), at the upper left corner of its array.

        Pixels beyond it are no part of the image. None: each image is as large as its array.
        """
        return None

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes of a segmentation."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return ("background", "foreground")

    @abstractmethod
    def window(self, settings: Settings) -> tuple[float, float] | None:
        """Return the values that are scaled to 0 and 1; None for 8-bit colours."""

    def crop(self, settings: Settings) -> int | None:
        """Return the side of the random training crops; None for whole images."""
        return None

    def scored_size(self, settings: Settings) -> Size:
        """Return height and width of the sampled and scored centre."""
        return self.size

    def prepared(self, settings: Settings) -> Prepared:
        """Return how an image of one's own becomes one that a network of this data set sees."""
        low, _ = self.window(settings) or (0.0, 255.0)
        size, values = self.scored_size(settings), str(self.image.dtype)
        return Prepared(size, "keep", values, padding=float(low))

    def published_split(self) -> Folds:
        """Return the publisher's split as one fold.

        Raises
        ------
        ProbunetError
            If there is no published split, or the store lacks its subjects.
        """
        raise ProbunetError(
            f"{self.path}: this data set has no published split; use drawn folds, or set "
            "`folds_file` to your own."
        )

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield "source", self.attributes.source, source.source

    def in_tiles(self, settings: Settings) -> "InTiles | None":
        """Return the tiles in which a network sees images of their own sizes; else None."""
        if self.extents is None:
            return None
        from probunet.truth.inputs import InTiles

        prepared = self.prepared(settings)
        return InTiles(self.extents, self.size, prepared.size, prepared.beyond)

    @abstractmethod
    def arrays(self, rows: NDArray[np.int64], *part: slice) -> tuple[NDArray[Any], ...]:
        """Return images (n, H, W, C) and their masks or labels (n, ...), which batches are of.

        `part` are rows and columns, all if left out. Images of their own sizes are read one by one.
        """

    def extent(self, rows: NDArray[np.int64]) -> tuple[slice, ...]:
        """Return rows and columns that one image has of its array; () if it has all of them."""
        if self.extents is None:
            return ()
        (row,) = rows
        height, width = self.extents[row].tolist()
        return slice(height), slice(width)

    def bytes_of(self, rows: NDArray[np.int64]) -> int:
        """Return the memory that the arrays of these images take."""
        first = sum(array.nbytes for array in self.arrays(rows[:1]))
        if self.extents is None:
            return len(rows) * first
        pixels = self.extents[rows].prod(axis=1)
        return first * int(pixels.sum()) // int(pixels[0])

    @abstractmethod
    def batches(
        self,
        rows: NDArray[np.int64],
        settings: Settings,
        device: "torch.device",
        place: DataPlace = "device",
        all_graders: bool = False,
    ) -> "Batches":
        """Return these images for training, at a place; no batch depends on it.

        With `all_graders`, each image comes with the masks of all of its graders.
        """

    def scorable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows whose GED is defined."""
        return rows

    @abstractmethod
    def subset(
        self, rows: NDArray[np.int64], settings: Settings, device: "torch.device"
    ) -> "Subset":
        """Return these images for validation."""

    @abstractmethod
    def sampled(self, settings: Settings, seed: int) -> "Sampled":
        """Return the images for sampling with the run's seed."""

    @abstractmethod
    def score(self, drawn: Samples, seed: int, n: list[int]) -> "Iterator[pd.DataFrame]":
        """Yield the scores of a run's test images, some images at a time; `seed` is the run's."""

    @abstractmethod
    def shown(self) -> "Shown":
        """Return how the report shows the images."""


class Batches(Protocol):
    """Images from which batches are drawn on the training device."""

    @property
    def in_channels(self) -> int:
        """Number of channels of an image."""

    @property
    def masks_per_image(self) -> int:
        """Number of labels of an image in a batch, G."""

    def draw(self, seed: int, step: int) -> "tuple[Tensor, Tensor]":
        """Return images (B, C, h, w) float32 and labels (B * G, h, w) int64.

        G is `training.graders_per_image`, or the largest number of graders of an image if all of
        them are wanted; labels of missing ones are `IGNORE` everywhere. The labels of an image
        follow one another.

        The batch depends on (seed, step) only, so that a resumed training draws the same batches.
        """


class Subset(Protocol):
    """Images that every validation scores."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the store."""

    @property
    def in_tiles(self) -> "InTiles | None":
        """The tiles in which a network sees images, one at a time; None: each image at once."""

    def images(self, part: slice) -> "Tensor":
        """Return some of the images (B, C, h, w) on the device."""

    def kept(self, samples: "Tensor") -> NDArray[np.uint8]:
        """Return samples (n, B, h, w) in the form that `scores` expects, (B, n, ...)."""

    def scores(
        self, samples: NDArray[np.uint8], sample_weights: "Weights | None" = None
    ) -> "EnergyDistance":
        """Return the scores of samples (images, n, ...), with weights (images, n) or without."""


class Sampled(Protocol):
    """Test images for sampling, and the format of their stored samples."""

    @property
    def batch(self) -> int:
        """Number of images to sample at a time; it does not change any result."""

    @property
    def in_tiles(self) -> "InTiles | None":
        """The tiles in which a network sees images, one at a time; None: each image at once."""

    @property
    def graded(self) -> bool:
        """Whether the masks are those of graders, with which NCC compares each sample."""

    def load(self, rows: NDArray[np.int64], device: "torch.device") -> "tuple[Tensor, Tensor]":
        """Return images (B, C, H, W) float32 and their masks or labels (B, M, H, W) int64."""

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return which of the M masks or labels of an image exist, (M,)."""

    def stored(self, class_ids: "Tensor") -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) in the format of the store of samples."""
