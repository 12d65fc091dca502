"""`datasets.cityscapes` in `config.yaml`."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from probunet.config import Endpoint, Size, Source
from probunet.config.source import Step

Fit = Literal["stretch", "pad", "crop"]


class CityscapesSource(Source):
    """Cityscapes: street scenes whose classes are flipped with known probabilities."""

    source: Literal["official", "phantom", "local"] = Field(
        "official",
        description="Where the scenes come from: `official` downloads them from the publisher, "
        "with the account in the environment variables CITYSCAPES_USERNAME and "
        "CITYSCAPES_PASSWORD; `local` reads an existing tree with `leftImg8bit` and `gtFine` and "
        "copies nothing; `phantom` draws synthetic street scenes.",
    )
    endpoint_url: Endpoint | None = Field(
        None, description="`official`: a server to use instead of the publisher's."
    )
    images: int = Field(
        120,
        ge=10,
        le=100_000,
        description="`phantom`: how many scenes are drawn, of ten cities. The others take all.",
    )
    phantom_size: Size = Field(
        (1024, 2048), description="`phantom`: height and width of the drawn pictures, pixels."
    )
    size: Size = Field(
        (256, 512),
        description="Height and width of the prepared scenes, pixels; multiples of 2^(scales - 1).",
    )
    fit: Fit = Field(
        "stretch",
        description="What happens to scenes of another aspect ratio than `size`: `stretch` changes "
        "the ratio; `pad` scales a scene to fit and fills the rest with black that is not scored; "
        "`crop` scales it to cover `size` and keeps the middle.",
    )
    split: Literal["official", "cities"] = Field(
        "official",
        description="`official`: one fold; trains on the publisher's training cities, validates "
        "on darmstadt, monchengladbach and ulm, tests on frankfurt, lindau and munster. `cities`: "
        "`folds` folds over all cities.",
    )

    downloads: ClassVar = frozenset({"official"})
    without_path: ClassVar = (
        "the folder of your Cityscapes tree; without one, `source: official` downloads it and "
        "`source: phantom` draws synthetic scenes"
    )
    paper: ClassVar = {  # appendix H.2
        "architecture": {
            "channels": [32, 64, 128, 192, 192, 192, 192],
            "initialisation": "he",
        },
        # the released code's field of strength 0 to 800, smoothed over 25 to 35 pixels, moves
        # a pixel by 2.5 and is alike over 60: so does this one
        "augmentation": {
            "shear": 0.0,
            "elastic": 3.0,
            "elastic_grid": 72,
            "mirror": 0.5,
            "gamma_probability": 0.3,
        },
        "training": {"batch": 16, "learning_rates": [1e-4, 5e-5, 1e-5]},
    }
    used_from: ClassVar = {
        **Source.used_from,
        "size": "prepare",
        "fit": "prepare",
        "split": "folds",
    }

    def for_step(self, step: Step) -> dict[str, Any]:
        """Return the keys that a step depends on.

        `fit: stretch` is not among them: stores from before there was a choice are not repeated.
        """
        values = super().for_step(step)
        if values.get("fit") == "stretch":
            del values["fit"]
        return values

    @property
    def has_fixed_split(self) -> bool:
        """Whether the publisher's split is used, which is one fold."""
        return self.split == "official" and self.folds_file is None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the scenes that a network sees."""
        return self.size
