"""Samples and scores."""

from typing import Literal

from pydantic import Field

from probunet.config.base import Positive, Section


class Evaluation(Section):
    """Samples and scores (paper, section 4)."""

    samples: Positive = Field(16, le=1024, description="Number of stored samples per test image.")
    n: tuple[Positive, ...] = Field(
        (1, 4, 8, 16),
        min_length=1,
        description="Numbers of samples n; scores use the first n samples.",
    )
    # left out, it changes no step's settings
    sampling_steps: Positive | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Passes of the network for each sample of a model that draws in steps "
        "(`ccdm`), at most `ccdm.diffusion_steps`; `null`: as many. Fewer are faster. No training "
        "depends on it.",
    )
    crop: Positive = Field(
        128,
        le=180,
        description="LIDC-IDRI: side of the sampled and scored central crop, pixels.",
    )
    weights: Literal["best", "last"] = Field(
        "best", description="Weights with the `best` validation GED, or of the `last` step."
    )
    bootstrap: Positive = Field(
        2_000,
        description="Number of bootstrap resamples of patients, or of Cityscapes' images, for the "
        "95 % intervals.",
    )
