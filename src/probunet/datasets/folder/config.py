"""A data set of your own under `datasets` in `config.yaml`: any name that is not built in."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from probunet.config import Absent, PathText, Size, Source, Window

MOST_CLASSES = 32
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _-]{0,38}[A-Za-z0-9])?")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def _is_value(value: object) -> int | str:
    if type(value) is int:
        return value
    if isinstance(value, str) and _COLOUR.fullmatch(value):
        return value.lower()
    found = "nothing" if value is None else value
    raise ValueError(f'{found} is no whole number, and no colour in quotes, such as "#ff0000"')


def _are_classes(classes: dict[str, int | str]) -> dict[str, int | str]:
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"has {len(classes)} classes; name 2 to {MOST_CLASSES}")
    for name in classes:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a class: at most 40 letters, digits, spaces, `_` and `-`, "
                "with a letter or digit at both ends"
            )
    values = list(classes.values())
    if len({type(value) for value in values}) > 1:
        raise ValueError("has values and colours; write all classes in one way")
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"has {twice} twice; each class needs its own value")
    return classes


# a pixel's value, or its colour
ClassValue = Annotated[int | str, BeforeValidator(_is_value)]


def _is_size(size: object, check: Callable[[object], Size]) -> object:
    if isinstance(size, str) and size != "own":
        raise ValueError("is no size; write `own`, or height and width, such as [256, 256]")
    if size == "own":
        return size
    return check(tuple(size) if isinstance(size, list) else size)  # JSON's form of a tuple


_SIDE = {"minimum": 1, "type": "integer"}
_SIZE = {"maxItems": 2, "minItems": 2, "prefixItems": [_SIDE, _SIDE], "type": "array"}
if TYPE_CHECKING:
    OwnSize = Size | Literal["own"]
else:  # a union would tell the mistakes of both kinds
    OwnSize = Annotated[
        Size,
        WrapValidator(_is_size),
        PlainSerializer(lambda size: size, return_type=Any),
        WithJsonSchema({"anyOf": [_SIZE, {"const": "own", "type": "string"}]}),
    ]


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
    size: OwnSize | None = Field(
        None,
        description="Height and width of the prepared images, pixels; multiples of 2^(scales - 1). "
        "Images of another size are scaled to fit and padded. `own`: each image keeps its own "
        "size; patches of `training.crop` are trained on, and whole images are sampled, in tiles "
        "of this side, and scored. If left out, all images must have one size, which is kept.",
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
    classes: Annotated[dict[str, ClassValue], AfterValidator(_are_classes)] | None = Field(
        None,
        description="Classes of masks that have more than foreground and background, by name: the "
        "value of their pixels (of a file with a palette: the index), or their colour, such as "
        '`"#ff0000"`. `background` is not scored. If left out, masks are binary.',
    )
    ignore: ClassValue | None = Field(
        None,
        description="With `classes`: value or colour of pixels that have no part in loss and "
        "scores.",
    )
    absent: Absent | None = Field(
        None,
        description="With `classes`: a class that neither of two label maps has is `equal`, d = 0, "
        "as on LIDC-IDRI (the default); or `left_out` of the mean over classes, as on Cityscapes.",
    )
    licence: str | None = Field(
        None, min_length=1, description="The images' licence, as the report names it."
    )

    used_from: ClassVar = {
        **Source.used_from,
        "size": "prepare",
        "window": "prepare",
        "absent": "prepare",
    }

    @property
    def absent_classes(self) -> Absent:
        """What a class counts that neither of two label maps has."""
        return self.absent or "equal"

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if self.classes is None:
            for name in ("ignore", "absent"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` is for masks of several classes; name `classes`")
            return self
        if self.threshold is not None:
            raise ValueError("`threshold` is for binary masks; remove it, or `classes`")
        values = set(self.classes.values())
        if self.ignore in values:
            raise ValueError(f"`ignore` is {self.ignore}, which is a class; remove one of them")
        if self.ignore is not None and {type(self.ignore)} != set(map(type, values)):
            raise ValueError("`ignore` must be a value or a colour, as `classes` are")
        return self

    @property
    def cropped(self) -> tuple[str, ...]:
        """The sections of the configuration whose key `crop` applies."""
        return ("training",) if self.size == "own" else ()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images that a network sees; None if they keep their own."""
        return None if self.size == "own" else self.size

    @property
    def image_window(self) -> tuple[float, float] | None:
        """The values that become 0 and 1; None if they follow from the images."""
        return self.window
