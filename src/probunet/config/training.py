"""Intensities, augmentation and optimisation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from probunet.config.base import Positive, Section, Window
from probunet.config.models import ModelName

DataPlace = Literal["device", "host", "disk"]


class Intensity(Section):
    """Scaling of Hounsfield units."""

    window: Window = Field(
        (-1000.0, 400.0),
        description="HU that are scaled to 0 and 1; values outside are clipped. Not in the paper.",
    )


class Augmentation(Section):
    """Random deformation of training images; the paper has no magnitudes for LIDC."""

    rotation: float = Field(22.5, ge=0, le=180, description="Largest rotation, degrees.")
    shear: float = Field(5.0, ge=0, lt=45, description="Largest shear, degrees.")
    scale: float = Field(0.2, ge=0, lt=1, description="Largest relative change of size.")
    elastic: float = Field(
        2.0,
        ge=0,
        description="Standard deviation of the elastic displacement of the control points, pixels. "
        "Between them the displacement is interpolated, so that pixels move by about 0.8 of it.",
    )
    elastic_grid: int = Field(
        32,
        ge=4,
        description="Largest distance of the elastic field's control points, pixels: they divide "
        "the crop's sides evenly, so that their distance is usually less.",
    )
    mirror: float = Field(0.0, ge=0, le=1, description="Probability of mirroring left and right.")
    gamma: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.7, 1.5), description="Smallest and largest exponent of a channel's values."
    )
    gamma_probability: float = Field(
        0.0, ge=0, le=1, description="Probability of a random exponent, for each channel."
    )

    @model_validator(mode="after")
    def _gamma_is_ascending(self) -> Self:
        if not self.gamma[0] <= self.gamma[1]:
            raise ValueError(f"gamma: {self.gamma[0]} must not be greater than {self.gamma[1]}")
        return self


class Training(Section):
    """The optimisation (paper, appendix H.1)."""

    steps: Positive = Field(240_000, description="Gradient steps.")
    model_steps: dict[ModelName, Positive] = Field(
        {},
        exclude_if=lambda value: not value,
        description="Gradient steps of single models instead of `steps`, of an ensemble's members "
        "each: models that differ in speed can train for the same time.",
    )
    batch: Positive = Field(32, description="Images per step.")
    crop: Positive = Field(
        128,
        le=4096,
        description="Side of the random crop, pixels; a multiple of 2^(scales - 1). Of LIDC-IDRI, "
        "where it is at most 180, and of your own images with `size: own`, which are sampled in "
        "tiles of this side.",
    )
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1e-4, 4e-5, 1.6e-5, 6.3e-6, 2.5e-6, 1e-6),
        min_length=1,
        description="Adam's learning rates, see `schedule`.",
    )
    # new keys that are left out change no step's settings, so that no finished training is repeated
    schedule: Literal["phases", "cosine"] = Field(
        "phases",
        exclude_if=lambda value: value == "phases",
        description="`phases`: the learning rates one after another, for equally many steps each "
        "(paper); one rate is constant. `cosine`: from the first to the second of two rates, along "
        "half a cosine.",
    )
    warm_up: int = Field(
        0,
        ge=0,
        exclude_if=lambda value: value == 0,
        description="First steps, in which the learning rate rises linearly. With `schedule: "
        "cosine`, the cosine follows them (one cycle). Not in the paper.",
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        exclude_if=lambda value: value == 0,
        description="Decay of an exponential moving average of the weights over steps, which is "
        "validated, saved and sampled instead of the weights, for example 0.99; 0: no average "
        "(paper), but for a model with its own `ema`.",
    )
    graders_per_image: Positive = Field(
        1,
        le=64,
        exclude_if=lambda value: value == 1,
        description="Masks of an image per step, of different graders as far as there are so many "
        "(Cityscapes: as many draws of the flips). The U-Net runs once for all of them. A model "
        "whose U-Net depends on the mask uses one, and `mose` all. 1 in the paper.",
    )
    weight_decay: float = Field(
        1e-5,
        ge=0,
        description="Factor of half the squared weights in the loss; without biases.",
    )
    validation_every: Positive = Field(2_000, description="Steps between validations.")
    validation_images: Positive = Field(200, description="Largest number of validation images.")
    validation_samples: Positive = Field(8, description="Samples per validation image.")
    checkpoint_every: Positive = Field(1_000, description="Steps between checkpoints.")
    log_every: Positive = Field(100, description="Steps between lines of `training.jsonl`.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="`auto`: bfloat16 if the hardware supports it (GPU, CPU with AMX or "
        "AVX512_BF16), else float32.",
    )
    data: Literal["auto", "device", "host", "disk"] = Field(
        "auto",
        # no result depends on it; left out, it changes no step's settings
        exclude_if=lambda value: value == "auto",
        description="Where the training images are: in the memory of the `device`, in that of the "
        "machine (`host`), or on `disk`; from the last two they are read ahead. `auto`: the first "
        "where they take at most half of the free memory. No result depends on it.",
    )
    compile: Literal[True, False, "auto"] = Field(
        "auto",
        description="Use torch.compile, which needs a C compiler; `auto`: on a CUDA GPU, unless "
        "compiling fails there or `deterministic` is set.",
    )
    deterministic: bool | None = Field(
        None,
        exclude_if=lambda value: value is None,  # as above
        description="On a CUDA GPU, use only operations that give the same bits each time, which "
        "are slower; `false` if left out. CPUs always do. Equal results also need an equal GPU and "
        "the same versions.",
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.schedule == "cosine" and len(self.learning_rates) != 2:
            raise ValueError(
                f"schedule: cosine: learning_rates has {len(self.learning_rates)} rates; write the "
                "first and the last one"
            )
        own = {f"model_steps.{model}": steps for model, steps in self.model_steps.items()}
        for key, steps in ({"steps": self.steps} | own).items():
            if self.warm_up >= steps:
                raise ValueError(f"warm_up: {self.warm_up} must be less than {key}, {steps}")
        return self
