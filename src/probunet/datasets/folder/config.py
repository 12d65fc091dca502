"""A data set of your own under `datasets` in `config.yaml`: any name that is not built in."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, WithJsonSchema

from probunet.config import PathText, Size, Source, Window


def _is_folder(source: str) -> str:
    if source != "folder":
        raise ValueError(
            f"{source} is not a source of it: every data set that is not built in is a folder of "
            "your own images, `source: folder`"
        )
    return source


class FolderSource(Source):
    """A folder of your own images: a table that names images, subjects and masks."""

    source: Annotated[
        str, AfterValidator(_is_folder), WithJsonSchema({"const": "folder", "type": "string"})
    ] = Field(description="A folder of your own images, read in place and never copied.")
    path: PathText = Field(description="The folder that holds the table, the images and the masks.")
    table: PathText = Field(
        "images.csv",
        description="The table in that folder, CSV: columns `image`, `subject`, and one for each "
        "grader whose name begins with `mask`.",
    )
    size: Size | None = Field(
        None,
        description="Height and width of the prepared images, pixels; multiples of 2^(scales - 1). "
        "Images of another size are scaled to fit and padded. If left out, all images must have "
        "one size, which is kept.",
    )
    window: Window | None = Field(
        None,
        description="Values that become 0 and 1; those outside are clipped. If left out: 0 and 255 "
        "of 8 bits, else the 0.5th and 99.5th percentile of all images.",
    )
    threshold: float | None = Field(
        None,
        description="Grey level from which a pixel of a mask is foreground, for masks with soft "
        "edges or of JPEG. If left out, 0 is background, and a mask with more than one other value "
        "is left out.",
    )
    licence: str | None = Field(
        None, min_length=1, description="The images' licence, as the report names it."
    )

    used_from: ClassVar = {**Source.used_from, "size": "prepare", "window": "prepare"}

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images that a network sees; None if they keep their own."""
        return self.size

    @property
    def image_window(self) -> tuple[float, float] | None:
        """The values that become 0 and 1; None if they follow from the images."""
        return self.window
