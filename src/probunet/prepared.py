"""How a data set's images were prepared: what an image needs before a network sees it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

# what happens to an image of another size: `keep`: nothing, a network takes it as it is; `tile`:
# nothing, a network sees it in tiles; `fit`: scaled to fit, and padded; of Cityscapes: `stretch` to
# the size, or scaled and padded (`pad`) or cut (`crop`)
Resize = Literal["keep", "tile", "fit", "stretch", "pad", "crop"]


@dataclass(frozen=True)
class Prepared:
    """The form of a data set's images."""

    size: tuple[int, int]  # height and width that are sampled and scored, or of tiles, pixels
    resize: Resize
    values: str  # their NumPy type
    padding: float  # the value beyond an image's edge
    spacing: float | None = None  # of crops of CT slices in HU, mm per pixel; None: no such crops

    @property
    def beyond(self) -> float:
        """The value beyond an image's edge, in the images' type; not more than the padding."""
        if np.dtype(self.values).kind == "f":
            return self.padding
        bounds = np.iinfo(self.values)
        return min(max(math.floor(self.padding), bounds.min), bounds.max)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Return that of a file; raise TypeError, KeyError or ValueError if it is none."""
        found = cls(**{**value, "size": tuple(value["size"])})
        numbers = (found.padding, 1.0 if found.spacing is None else found.spacing)
        if [type(length) for length in found.size] != [int, int] or min(found.size) < 1:
            raise ValueError("another size")
        if found.resize not in get_args(Resize) or found.values not in _VALUES:
            raise ValueError("another resize or type of values")
        if {type(number) for number in numbers} != {float} or numbers[1] <= 0:
            raise ValueError("another padding or spacing")
        return found

    def written(self) -> dict[str, Any]:
        """Return it as plain values, for a file."""
        return {**asdict(self), "size": list(self.size)}


_VALUES = ("uint8", "uint16", "int16", "int32", "float32", "float64")
