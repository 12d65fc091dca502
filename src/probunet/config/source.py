"""The keys that the sections of all data sets share."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from probunet.config.base import PathText, Section

Step = Literal["fetch", "prepare", "folds"]


class Source(Section):
    """A data set's section under `datasets`."""

    source: str = Field(description="Where the images come from.")
    path: PathText | None = Field(
        None, description="`local`: the folder that holds the files, searched in depth."
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do when a subject (patient, city) has no usable image: `stop` with "
        "an error, or `skip` the subject. Single bad images are always left out and counted.",
    )
    folds_file: PathText | None = Field(
        None,
        description="Your own folds (JSON as in `results/<dataset>/folds.json`), used instead of "
        "drawn ones. `folds` must equal the number of folds in the file.",
    )

    downloads: ClassVar[frozenset[str]] = frozenset()  # sources that need the network
    without_path: ClassVar[str] = (
        ""  # part of an error message: what `path` is, and the alternative
    )
    has_crops: ClassVar[bool] = False  # whether `training.crop` and `evaluation.crop` apply
    largest_crop: ClassVar[int | None] = None  # pixels; None: no limit
    paper: ClassVar[Mapping[str, Any]] = {}  # the paper's values where they are not the defaults
    used_from: ClassVar[dict[str, Step]] = {"on_error": "prepare", "folds_file": "folds"}

    @property
    def is_downloaded(self) -> bool:
        """Whether the images come over the network."""
        return self.source in self.downloads

    @property
    def has_fixed_split(self) -> bool:
        """Whether the publisher's split is used, which is one fold."""
        return False

    @property
    def subjects(self) -> int | None:
        """Number of subjects that the section sets; None if it does not."""
        return None

    @property
    def cropped(self) -> tuple[str, ...]:
        """The sections of the configuration whose key `crop` applies."""
        return ("training", "evaluation") if self.has_crops else ()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the prepared images; None for crops, or if the size is not set."""
        return None

    @property
    def image_window(self) -> tuple[float, float] | None:
        """Values that are scaled to 0 and 1; None if the section does not set them."""
        return None

    def for_step(self, step: Step) -> dict[str, Any]:
        """Return the keys that a step depends on; changing another key does not repeat the step."""
        order = ("fetch", "prepare", "folds")
        known = order[: order.index(step) + 1]
        values = self.model_dump(mode="json", exclude_none=True)
        return {k: v for k, v in values.items() if self.used_from.get(k, "fetch") in known}

    @model_validator(mode="after")
    def _path_fits_source(self) -> Self:
        if self.source == "local" and self.path is None:
            raise ValueError(f"`source: local` needs `path`, {self.without_path}")
        if self.is_downloaded and self.path is not None:
            raise ValueError(
                f"`source: {self.source}` downloads below `paths.data`; remove `path`, or use "
                "that folder with `source: local`"
            )
        return self
