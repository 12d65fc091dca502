"""`config.yaml`: the one source of names, types, bounds, defaults and descriptions.

`workflow/schemas/config.schema.json` is exported from here, and Snakemake validates with it.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from probunet.errors import ProbunetError

Beta = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(ge=1)]
_ENDPOINT = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[^\s?#]*)?")


def check_endpoint(url: str) -> str:
    """Return a server's address; raise ValueError over one that is none, or tells a secret."""
    if "@" in url:
        raise ValueError(
            "holds a user's name or password, which would stand in logs; the server must let "
            "anybody read"
        )
    if not _ENDPOINT.fullmatch(url):
        raise ValueError("is not an address of the form http(s)://server[:port][/path]")
    return url


Endpoint = Annotated[str, AfterValidator(check_endpoint)]
ModelName = Literal[
    "probabilistic_unet",
    "unet",
    "dropout_unet",
    "unet_ensemble",
    "m_heads",
    "image2image_vae",
    "stochastic_segmentation_network",
    "hierarchical_probabilistic_unet",
]
# beta, the weight of a KL, has no effect on these: they are trained with the first beta alone
WITHOUT_KL = frozenset(
    {"unet", "dropout_unet", "unet_ensemble", "m_heads", "stochastic_segmentation_network"}
)
# sources that are asked over the network
DOWNLOADS = frozenset({"idc", "tcia", "official"})
_PATH_OF_A_DOWNLOAD = (
    "`source: {source}` downloads below `paths.data`; remove `path`, or use that folder with "
    "`source: local`"
)
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A part of the configuration: unknown keys are mistakes, types are not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Lidc(Section):
    """LIDC-IDRI: CT slices with the outlines of four readers."""

    source: Literal["idc", "tcia", "phantom", "local"] = Field(
        "idc",
        description="Where the slices come from: `idc` downloads them from the Imaging Data "
        "Commons, `tcia` from The Cancer Imaging Archive, in zips of whole series; `local` reads "
        "an existing LIDC-IDRI tree and copies nothing; `phantom` renders synthetic chests around "
        "the real outlines.",
    )
    path: str | None = Field(
        None, description="`local`: the folder that holds the LIDC-IDRI tree, searched in depth."
    )
    patients: Positive | None = Field(
        None,
        le=875,
        description="How many patients: `phantom` renders so many (24 if left out); the others "
        "take the first so many in order of their ids (all if left out).",
    )
    slices: Literal["outlined", "all"] = Field(
        "outlined",
        description="`idc`, `tcia`: keep `outlined` slices alone, which are all that is used, or "
        "`all` of each series. `idc` downloads no others.",
    )
    endpoint_url: Endpoint | None = Field(
        None,
        description="`idc`, `tcia`: a server to ask instead of the publisher's. For `idc`, an S3 "
        "server on which `bucket` can be read by anybody.",
    )
    bucket: str = Field(
        "idc-open-data",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="`idc`: the bucket that holds the objects under the publisher's names.",
    )
    protocol: Literal["kohl2018"] = Field(
        "kohl2018",
        description="How crops are made: 180x180 at 0.5 mm around each lesion on each slice that "
        "at least one reader outlined, four masks, missing readers' empty.",
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do when not one slice of a patient can be used: `stop` with an "
        "error, or `skip` the patient. Single bad slices are always left out and counted.",
    )
    folds_file: str | None = Field(
        None,
        description="Your own folds (JSON as in `results/<dataset>/folds.json`), used instead of "
        "drawn ones. `folds` must equal the number of folds in it.",
    )

    @model_validator(mode="after")
    def _local_has_a_path(self) -> Self:
        if self.source == "local" and self.path is None:
            raise ValueError(
                "`source: local` needs `path`, the folder of your LIDC-IDRI tree; without one, "
                "`source: idc` downloads the slices and `source: phantom` renders synthetic scans"
            )
        if self.source in DOWNLOADS and self.path is not None:
            raise ValueError(_PATH_OF_A_DOWNLOAD.format(source=self.source))
        return self


class Cityscapes(Section):
    """Cityscapes: street scenes whose classes are flipped with known probabilities."""

    source: Literal["official", "phantom", "local"] = Field(
        "official",
        description="Where the scenes come from: `official` downloads them from the publisher, "
        "with the account that CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD of the environment "
        "name; `local` reads an existing tree with `leftImg8bit` and `gtFine` and copies nothing; "
        "`phantom` draws synthetic street scenes.",
    )
    path: str | None = Field(
        None, description="`local`: the folder that holds `leftImg8bit` and `gtFine`."
    )
    endpoint_url: Endpoint | None = Field(
        None, description="`official`: a server to ask instead of the publisher's."
    )
    images: int = Field(
        120,
        ge=10,
        le=100_000,
        description="`phantom`: how many scenes are drawn, of ten cities. The others take all.",
    )
    phantom_size: tuple[Positive, Positive] = Field(
        (1024, 2048), description="`phantom`: height and width of the drawn pictures, pixels."
    )
    size: tuple[Positive, Positive] = Field(
        (256, 512),
        description="Height and width of the prepared scenes, pixels; multiples of 2^(scales - 1).",
    )
    split: Literal["official", "cities"] = Field(
        "official",
        description="`official`: one fold; trains on the publisher's training cities, validates "
        "on darmstadt, monchengladbach and ulm, tests on frankfurt, lindau and munster. `cities`: "
        "`folds` folds over all cities.",
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do when not one image of a city can be used: `stop` with an error, "
        "or `skip` the city. Single bad images are always left out and counted.",
    )
    folds_file: str | None = Field(
        None,
        description="Your own folds over cities (JSON as in `results/<dataset>/folds.json`), used "
        "instead of `split`. `folds` must equal the number of folds in it.",
    )

    @model_validator(mode="after")
    def _local_has_a_path(self) -> Self:
        if self.source == "local" and self.path is None:
            raise ValueError(
                "`source: local` needs `path`, the folder of your Cityscapes tree; without one, "
                "`source: official` downloads it and `source: phantom` draws synthetic scenes"
            )
        if self.source in DOWNLOADS and self.path is not None:
            raise ValueError(_PATH_OF_A_DOWNLOAD.format(source=self.source))
        return self


def _is_folder(source: str) -> str:
    if source != "folder":
        raise ValueError(
            f"{source} is no source of it: other data sets than lidc and cityscapes are images of "
            "your own, `source: folder`"
        )
    return source


class Folder(Section):
    """Images of one's own: a folder with a table that names images, subjects and masks."""

    source: Annotated[
        str, AfterValidator(_is_folder), WithJsonSchema({"const": "folder", "type": "string"})
    ] = Field(description="Images of one's own: read where they are, and never copied.")
    path: str = Field(description="The folder that holds the table, the images and the masks.")
    table: str = Field(
        "images.csv",
        description="The table in that folder, CSV: columns `image`, `subject`, and one for each "
        "grader whose name begins with `mask`.",
    )
    size: tuple[Positive, Positive] | None = Field(
        None,
        description="Height and width of the prepared images, pixels; multiples of 2^(scales - 1). "
        "Others are scaled to fit and padded. If left out, all images must have one size, which "
        "is kept.",
    )
    window: tuple[float, float] | None = Field(
        None,
        description="Values that become 0 and 1; those outside are clipped. If left out: 0 and 255 "
        "of 8 bits, else the 0.5th and 99.5th percentile of all images.",
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do when not one image of a subject can be used: `stop` with an error, "
        "or `skip` the subject. Single bad images are always left out and counted.",
    )
    folds_file: str | None = Field(
        None,
        description="Your own folds over subjects (JSON as in `results/<dataset>/folds.json`), "
        "used instead of drawn ones. `folds` must equal the number of folds in it.",
    )

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window: {self.window[0]} must lie below {self.window[1]}")
        return self


OWN_NAME = r"[a-z][a-z0-9_]*"  # of a data set of one's own
TAKEN = ("figures", "provenance")  # folders of results that are no data set's


class Datasets(Section):
    """The data sets to run on; any other name is that of images of one's own."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"pattern": f"^{OWN_NAME}$"}}
    )
    __pydantic_extra__: dict[str, Folder] = Field(init=False)

    lidc: Lidc | None = Field(None, description="LIDC-IDRI (paper, section 3.1).")
    cityscapes: Cityscapes | None = Field(None, description="Cityscapes (paper, section 3.2).")

    @model_validator(mode="after")
    def _names_can_name_folders(self) -> Self:
        for name in self.own:
            if not re.fullmatch(OWN_NAME, name) or name in TAKEN:
                raise ValueError(
                    f"{name}: cannot name a data set; a name is of small letters, digits and _, "
                    f"begins with a letter, and is none of {', '.join(TAKEN)}"
                )
        return self

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.names:
            known = ", ".join(type(self).model_fields)
            raise ValueError(
                f"names no data set; choose at least one of: {known}, or images of your own"
            )
        return self

    @property
    def names(self) -> list[str]:
        """The data sets that the configuration asks for."""
        known = [name for name in type(self).model_fields if getattr(self, name) is not None]
        return [*known, *self.own]

    @property
    def own(self) -> dict[str, Folder]:
        """Those that are images of one's own, by name."""
        return dict(self.__pydantic_extra__)


class Paths(Section):
    """Where things are kept, relative to the working directory."""

    data: str = Field(
        "data", description="Raw data and stores; several studies can share one such folder."
    )
    results: str = Field("results", description="Runs, tables and the report of this study.")


class ContainerBuild(Section):
    """What a site's Apptainer needs to build the images."""

    arguments: dict[str, str] = Field(
        {},
        description="Arguments of containers/*.def that differ from their defaults: `base` and "
        "`bootstrap` (where the base image comes from), `accelerator` (`cuda` or `cpu`).",
    )
    cache: str = Field(
        "containers/cache",
        description="Keeps the last image of each kind; several studies can share it.",
    )
    bind: tuple[str, ...] = Field(
        (),
        description="What of this machine the build sees, as `apptainer build --bind` takes it; "
        "for instance the folder of a proxy's certificates.",
    )


class Fetch(Section):
    """How images are downloaded; what arrives does not depend on it."""

    here: bool = Field(
        True,
        description="Downloads run on the machine that drives the workflow, as nodes of a cluster "
        "often reach no other network; `false` runs them in jobs.",
    )
    jobs: Positive = Field(
        1, le=100, description="Jobs that download LIDC-IDRI side by side, a share each."
    )
    connections: Positive = Field(
        32, le=256, description="Connections that a download keeps open at once."
    )
    megabytes_per_second: int = Field(
        0, ge=0, description="What a download may take at most of the network; 0 is no limit."
    )
    retries: int = Field(
        8, ge=0, le=100, description="Tries in a row that may fail before a download gives up."
    )
    timeout: Positive = Field(
        30, le=3600, description="Seconds without a byte that make a connection a broken one."
    )


class Prepare(Section):
    """How stores are made; their bytes do not depend on it."""

    jobs: Positive = Field(
        1,
        le=1000,
        description="Jobs that make a data set's store, each of which can run on a node of its "
        "own: with more than one, each makes a part, and one more joins them.",
    )


class Intensity(Section):
    """From Hounsfield units to the network's input."""

    window: tuple[float, float] = Field(
        (-1000.0, 400.0),
        description="HU that become 0 and 1; values outside are clipped. The paper gives none.",
    )

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window: {self.window[0]} must lie below {self.window[1]}")
        return self


class Architecture(Section):
    """The networks (paper, appendix H.1)."""

    channels: tuple[Positive, ...] = Field(
        (32, 64, 128, 256, 512),
        min_length=2,
        max_length=8,
        description="Channels per scale, from full resolution down; one scale per entry.",
    )
    convolutions: Positive = Field(3, le=8, description="3x3 convolutions per scale.")
    latent_dim: Positive = Field(6, le=512, description="Dimensions of the latent space, N.")
    head_convolutions: Positive = Field(
        3, le=8, description="1x1 convolutions of f_comb ahead of the one that gives the logits."
    )
    initialisation: Literal["orthogonal", "he"] = Field(
        "orthogonal", description="Of weights: `orthogonal` (LIDC) or `he` (Cityscapes)."
    )


class DropoutUNet(Section):
    """The Dropout U-Net (paper, section 4)."""

    probability: float = Field(0.5, gt=0, lt=1, description="Of a value being dropped.")
    blocks: Positive = Field(
        3, description="Inner-most blocks of the encoder, and of the decoder, with dropout."
    )


class UNetEnsemble(Section):
    """The U-Net ensemble (paper, section 4)."""

    members: Positive = Field(
        16,
        le=1024,
        description="U-Nets that are trained, each in a job of its own; the i-th sample is the "
        "i-th one's, from the first again when they run out.",
    )


class MHeads(Section):
    """M-Heads (paper, section 4)."""

    heads: Positive = Field(16, le=1024, description="m, how many different hypotheses there are.")
    others: float = Field(
        0.05, ge=0, lt=1, description="Share of the loss of all heads but the best one."
    )


class Image2ImageVAE(Section):
    """The Image2Image VAE (paper, section 4)."""

    latent_dim: Positive = Field(3, le=512, description="Dimensions of its latent space.")


class StochasticSegmentationNetwork(Section):
    """Stochastic Segmentation Networks (Monteiro et al. 2020)."""

    rank: Positive = Field(10, le=100, description="Rank of the logits' covariance.")
    loss_samples: Positive = Field(20, le=1000, description="Samples of the logits per loss.")


class HierarchicalProbabilisticUNet(Section):
    """The Hierarchical Probabilistic U-Net (Kohl et al. 2019)."""

    latent_scales: Positive = Field(
        4, description="Scales with a latent map, from the coarsest; at most all of them."
    )
    objective: Literal["geco", "elbo"] = Field(
        "geco",
        description="`geco`: as little KL as goes with a good reconstruction of hard pixels; "
        "`elbo`: the evidence lower bound.",
    )
    kappa: float = Field(
        0.05, gt=0, allow_inf_nan=False, description="GECO: nats that a hard pixel may cost."
    )
    hard: float = Field(0.02, gt=0, le=1, description="GECO: share of pixels that are hard.")
    decay: float = Field(0.99, ge=0, lt=1, description="GECO: of the moving average.")
    channels: tuple[Positive, ...] | None = Field(
        None,
        min_length=2,
        max_length=8,
        description="Channels per scale; those of `architecture` if left out. The paper's release "
        "has 24, 48, 96, 192, 192, 192, 192, 192, which need crops of 128.",
    )


class Augmentation(Section):
    """Random deformation of training images; for LIDC the paper names kinds and no magnitudes."""

    rotation: float = Field(22.5, ge=0, le=180, description="Largest rotation, degrees.")
    shear: float = Field(5.0, ge=0, lt=45, description="Largest shear, degrees.")
    scale: float = Field(0.2, ge=0, lt=1, description="Largest relative change of size.")
    elastic: float = Field(
        2.0, ge=0, description="Standard deviation of the elastic displacement, pixels."
    )
    elastic_grid: int = Field(
        32, ge=4, description="Distance of the elastic field's control points, pixels."
    )
    mirror: float = Field(0.0, ge=0, le=1, description="Probability of left and right exchanged.")
    gamma: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.7, 1.5), description="Least and greatest exponent of an image channel's intensities."
    )
    gamma_probability: float = Field(
        0.0, ge=0, le=1, description="Of each channel being raised to such an exponent."
    )

    @model_validator(mode="after")
    def _least_below_greatest(self) -> Self:
        if not self.gamma[0] <= self.gamma[1]:
            raise ValueError(f"gamma: {self.gamma[0]} must not lie above {self.gamma[1]}")
        return self


class Training(Section):
    """The optimisation (paper, appendix H.1)."""

    steps: Positive = Field(240_000, description="Gradient steps.")
    batch: Positive = Field(32, description="Crops per step.")
    crop: Positive = Field(
        128,
        le=180,
        description="LIDC-IDRI: side of the random crop, pixels; a multiple of 2^(scales - 1).",
    )
    learning_rates: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (1e-4, 4e-5, 1.6e-5, 6.3e-6, 2.5e-6, 1e-6),
        min_length=1,
        description="Adam's learning rate, in phases of equal length.",
    )
    weight_decay: float = Field(
        1e-5, ge=0, allow_inf_nan=False, description="Times half the squared weights, no biases."
    )
    validation_every: Positive = Field(2_000, description="Steps between validations.")
    validation_images: Positive = Field(200, description="Validation crops scored, at most.")
    validation_samples: Positive = Field(8, description="Samples per validation crop.")
    checkpoint_every: Positive = Field(1_000, description="Steps between checkpoints.")
    log_every: Positive = Field(100, description="Steps between lines of `training.jsonl`.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="`auto`: bfloat16 where the hardware multiplies it (GPU, CPU with AMX), "
        "float32 elsewhere.",
    )
    compile: bool | Literal["auto"] = Field(
        "auto", description="torch.compile; `auto`: on an accelerator only."
    )


class Evaluation(Section):
    """Samples and scores (paper, section 4)."""

    samples: Positive = Field(16, le=1024, description="Samples stored per test image.")
    n: tuple[Positive, ...] = Field(
        (1, 4, 8, 16), min_length=1, description="Scores from the first n samples, for each n."
    )
    crop: Positive = Field(
        128,
        le=180,
        description="LIDC-IDRI: side of the central crop that is sampled and scored, pixels.",
    )
    weights: Literal["best", "last"] = Field(
        "best", description="`best` on validation GED, or those of the `last` step."
    )
    bootstrap: Positive = Field(
        2_000,
        description="Resamplings of patients, or of Cityscapes' images, behind the 95 % intervals.",
    )


class Report(Section):
    """The report."""

    title: str = Field("Probabilistic U-Net", description="The report's heading.")
    examples: int = Field(
        300, ge=0, le=5_000, description="Test images in the explorer, per data set, at most."
    )
    megabytes: float = Field(
        15,
        ge=5,
        le=500,
        description="Size of the report, at most; the explorer shows fewer images where need be.",
    )


class Settings(Section):
    """What a single command works by; what is left out takes the default.

    What one model alone needs is a section named after the model.
    """

    intensity: Intensity = Field(Intensity(), description="LIDC-IDRI: from HU to the input.")
    architecture: Architecture = Field(Architecture(), description="The networks.")
    dropout_unet: DropoutUNet = Field(DropoutUNet(), description="The Dropout U-Net's own.")
    unet_ensemble: UNetEnsemble = Field(UNetEnsemble(), description="The U-Net ensemble's own.")
    m_heads: MHeads = Field(MHeads(), description="The M-Heads' own.")
    image2image_vae: Image2ImageVAE = Field(
        Image2ImageVAE(), description="The Image2Image VAE's own."
    )
    stochastic_segmentation_network: StochasticSegmentationNetwork = Field(
        StochasticSegmentationNetwork(), description="The Stochastic Segmentation Network's own."
    )
    hierarchical_probabilistic_unet: HierarchicalProbabilisticUNet = Field(
        HierarchicalProbabilisticUNet(), description="The Hierarchical Probabilistic U-Net's own."
    )
    augmentation: Augmentation = Field(Augmentation(), description="Random deformation.")
    training: Training = Field(Training(), description="The optimisation.")
    evaluation: Evaluation = Field(Evaluation(), description="Samples and scores.")

    def architecture_of(self, model: str) -> dict[str, Any]:
        """Return what a model is built from: the architecture, and what its own section adds.

        >>> Settings().architecture_of("image2image_vae")["latent_dim"]
        3
        """
        shared = self.architecture.model_dump(mode="json")
        own = dict(self).get(model)
        return shared if own is None else shared | own.model_dump(mode="json", exclude_none=True)

    @property
    def scales(self) -> int:
        """Scales of the deepest network; images must be multiples of 2^(scales - 1) both ways."""
        own = self.hierarchical_probabilistic_unet.channels or ()
        return max(len(self.architecture.channels), len(own))


class Overrides(Section):
    """What is different for one data set; a key that is left out is as for all."""

    beta: tuple[Beta, ...] | None = Field(None, min_length=1, description="See `beta`.")
    models: tuple[ModelName, ...] | None = Field(None, min_length=1, description="See `models`.")
    seeds: tuple[Seed, ...] | None = Field(None, min_length=1, description="See `seeds`.")
    intensity: Intensity | None = Field(None, description="See `intensity`.")
    architecture: Architecture | None = Field(None, description="See `architecture`.")
    dropout_unet: DropoutUNet | None = Field(None, description="See `dropout_unet`.")
    unet_ensemble: UNetEnsemble | None = Field(None, description="See `unet_ensemble`.")
    m_heads: MHeads | None = Field(None, description="See `m_heads`.")
    image2image_vae: Image2ImageVAE | None = Field(None, description="See `image2image_vae`.")
    stochastic_segmentation_network: StochasticSegmentationNetwork | None = Field(
        None, description="See `stochastic_segmentation_network`."
    )
    hierarchical_probabilistic_unet: HierarchicalProbabilisticUNet | None = Field(
        None, description="See `hierarchical_probabilistic_unet`."
    )
    augmentation: Augmentation | None = Field(None, description="See `augmentation`.")
    training: Training | None = Field(None, description="See `training`.")
    evaluation: Evaluation | None = Field(None, description="See `evaluation`.")


class AllOverrides(Section):
    """What is different for single data sets; the two of the paper need not be run."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"pattern": f"^{OWN_NAME}$"}}
    )
    __pydantic_extra__: dict[str, Overrides] = Field(init=False)

    lidc: Overrides = Field(Overrides(), description="For LIDC-IDRI.")
    cityscapes: Overrides = Field(Overrides(), description="For Cityscapes.")


class Study(Settings):
    """What is run on one data set: models, betas, seeds, and the settings they are run by."""

    beta: tuple[Beta, ...] = Field(
        (1.0, 10.0),
        min_length=1,
        description="Weights of the KL term, one training for each. Models without a KL term are "
        "trained once, under the first beta.",
    )
    models: tuple[ModelName, ...] = Field(
        ("probabilistic_unet",), min_length=1, description="Models to train."
    )
    seeds: tuple[Seed, ...] = Field(
        (0,), min_length=1, description="Seeds; each repeats every training."
    )

    def betas_of(self, model: str) -> tuple[float, ...]:
        """Return the betas that a model is trained with."""
        return self.beta[:1] if model in WITHOUT_KL else self.beta

    @model_validator(mode="after")
    def _samples_are_enough(self) -> Self:
        if max(self.evaluation.n) > self.evaluation.samples:
            raise ValueError(
                f"evaluation.n: {max(self.evaluation.n)} is more than the "
                f"{self.evaluation.samples} of evaluation.samples"
            )
        if len(set(self.evaluation.n)) < len(self.evaluation.n):
            raise ValueError(f"evaluation.n: {list(self.evaluation.n)} names a value twice")
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for name in ("beta", "models", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: {list(values)} names a value twice")
        return self


# where the paper's values for a data set (appendix H.2) are not the defaults above (H.1)
PAPER: dict[str, dict[str, Any]] = {
    "cityscapes": {
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
    },
}


class Config(Study):
    """Everything that one run of the workflow is made of."""

    datasets: Datasets = Field(description="Data sets and where they come from.")
    folds: int = Field(
        4,
        ge=2,
        le=875,
        description="Folds over patients, cities or subjects; each is the test set of one run.",
    )
    overrides: AllOverrides = Field(
        AllOverrides(), description="What is different for single data sets."
    )
    paths: Paths = Field(Paths(), description="Folders.")
    fetch: Fetch = Field(Fetch(), description="How images are downloaded.")
    prepare: Prepare = Field(Prepare(), description="How stores are made.")
    containers: str = Field(
        "build",
        min_length=1,
        description="Images of the steps, used with `--software-deployment-method apptainer` as "
        "the profile `slurm` sets it. `build` builds them in `containers/`; a folder is one of "
        "ready `data.sif` and `torch.sif`; `docker://.../name-{kind}:tag` is pulled, with `data` "
        "or `torch` for `{kind}`.",
    )
    container_build: ContainerBuild = Field(
        ContainerBuild(), description="How images are built where `containers: build` is set."
    )
    report: Report = Field(Report(), description="Its heading and how much it shows.")

    def of(self, dataset: str) -> Study:
        """Return what is run on a data set.

        A key's value is that of the data set's overrides, else that of the study, else the paper's
        for this data set.

        >>> shared = {"datasets": {"lidc": {"source": "phantom"}}, "training": {"steps": 9}}
        >>> own = {"overrides": {"lidc": {"training": {"batch": 3}}}}
        >>> training = check(Config, shared | own, "example").of("lidc").training
        >>> training.steps, training.batch
        (9, 3)
        """
        shared = self.model_dump(mode="json", include=set(Study.model_fields), exclude_unset=True)
        overrides = getattr(self.overrides, dataset, Overrides())
        own = overrides.model_dump(mode="json", exclude_unset=True)
        merged = _merged(_merged(PAPER.get(dataset, {}), shared), own)
        return Study.model_validate_json(json.dumps(merged))

    def whole(self) -> dict[str, Any]:
        """Return all of it, defaults included, and under `overrides` what differs for a data set.

        Read again it is the same study, whatever the defaults have become.
        """
        written = self.model_dump(mode="json", exclude_none=True, exclude={"overrides"})
        shared = self.model_dump(mode="json", include=set(Study.model_fields))
        own = {
            name: _different(self.of(name).model_dump(mode="json"), shared)
            for name in self.datasets.names
        }
        return written | {"overrides": {name: keys for name, keys in own.items() if keys}}

    def folds_of(self, dataset: str) -> int:
        """Return the number of folds of a data set."""
        section = getattr(self.datasets, dataset)
        official = dataset == "cityscapes" and section.split == "official"
        return 1 if official and section.folds_file is None else self.folds

    def image_of(self, kind: str) -> str:
        """Return the container image of a kind of step, `data` or `torch`: a file or an address."""
        if "://" in self.containers:
            return self.containers.replace("{kind}", kind)
        folder = "containers" if self.containers == "build" else self.containers
        return f"{folder.rstrip('/')}/{kind}.sif"

    @model_validator(mode="after")
    def _address_of_each_kind(self) -> Self:
        if "://" in self.containers and "{kind}" not in self.containers:
            raise ValueError(
                f"containers: {self.containers} is one image; write {{kind}} where the addresses "
                "of the two kinds, data and torch, differ"
            )
        return self

    @model_validator(mode="after")
    def _enough_patients(self) -> Self:
        lidc = self.datasets.lidc
        if lidc is not None and lidc.patients is not None and self.folds > lidc.patients:
            raise ValueError(
                f"folds: {self.folds} is more than the {lidc.patients} of "
                f"datasets.lidc.patients; choose 2 to {lidc.patients}"
            )
        return self

    @model_validator(mode="after")
    def _overrides_are_of_data_sets(self) -> Self:
        for name, own in (self.overrides.__pydantic_extra__ or {}).items():
            if name not in self.datasets.own:
                raise ValueError(
                    f"overrides.{name}: `datasets` has no {name}; remove it or correct its name"
                )
            for part in ("training", "evaluation"):
                section = getattr(own, part)
                if section is not None and "crop" in section.model_fields_set:
                    raise ValueError(
                        f"overrides.{name}.{part}.crop: is LIDC-IDRI's alone: images of your own "
                        f"are taken whole; set datasets.{name}.size"
                    )
        return self

    @model_validator(mode="after")
    def _overrides_fit(self) -> Self:
        for dataset in self.datasets.names:
            try:
                study = self.of(dataset)
            except ValidationError as error:
                wrong = "; ".join(_advice(item).removesuffix(".") for item in error.errors())
                raise ValueError(f"overrides.{dataset}: {wrong}") from None
            if study.evaluation.bootstrap != self.evaluation.bootstrap:
                raise ValueError(
                    f"overrides.{dataset}.evaluation.bootstrap: is the same for all data sets, "
                    "which stand in one table; set evaluation.bootstrap"
                )
            stride = 2 ** (study.scales - 1)
            for key, length in self._lengths(dataset, study):
                if length % stride:
                    raise ValueError(
                        f"{key}: {length} is not a multiple of {stride}, which {study.scales} "
                        "scales need"
                    )
        return self

    def _lengths(self, dataset: str, study: Study) -> list[tuple[str, int]]:
        """Return the heights and widths that a data set's networks meet, and their keys."""
        section = getattr(self.datasets, dataset)
        if isinstance(section, Cityscapes | Folder):
            return [(f"datasets.{dataset}.size", one) for one in section.size or ()]
        return [(f"{part}.crop", getattr(study, part).crop) for part in ("training", "evaluation")]


def _merged(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return `shared` with what `own` says instead, key by key in sections."""
    both = dict(shared)
    for key, value in own.items():
        section = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _merged(both[key], value) if section else value
    return both


def _different(own: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Return what `own` says otherwise than `shared`, key by key in sections."""
    found = {}
    for key, value in own.items():
        other = shared.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            value = _different(value, other)
            if value:
                found[key] = value
        elif value != other:
            found[key] = value
    return found


def read_config(path: Path) -> Config:
    """Return the checked configuration in a YAML file.

    Raises
    ------
    ProbunetError
        Naming the file, the key and what is wrong with it.
    """
    return check(Config, _read_yaml(path), str(path))


def read_settings(text: str | None) -> Settings:
    """Return settings from a `config.yaml`'s path, or from JSON as the workflow passes it."""
    if text is None:
        return Settings()
    if text.lstrip().startswith("{"):
        return check(Settings, _read_json(text, "--settings"), "--settings")
    return read_config(Path(text))


def read_whole(text: str) -> dict[str, Any]:
    """Return a study's whole configuration, from a `config.yaml`'s path or from JSON as it is."""
    if text.lstrip().startswith("{"):
        return _read_json(text, "--config")
    return read_config(Path(text)).whole()


def check(model: type[M], data: object, where: str) -> M:
    """Return `data` as a `model`, or raise one error that names every wrong key."""
    try:
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        # an item that fails also leaves its list too short: told once is enough
        wrong = [e for e in error.errors() if e["type"] != "too_short" or not e["input"]]
        lines = [f"{where}: {_advice(item)}" for item in wrong]
        raise ProbunetError("\n".join(lines)) from None


def json_schema() -> str:
    """Return the JSON schema of `config.yaml` as it is committed."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(draft | Config.model_json_schema(), indent=2) + "\n"


def _read_json(text: str, where: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProbunetError(f"{where}: not JSON: {error}") from None
    return found


def _read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise ProbunetError(f"{path}: not YAML: {error}") from None


def _advice(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its name."
    if error["type"] == "too_short" and not error["input"]:
        return f"{key}: is empty; name at least {error['ctx']['min_length']}."
    given = error["input"]
    # what is refused here, in our own words, may hold a secret
    told = isinstance(given, str | int | float | bool) and error["type"] != "value_error"
    shown = f" (given: {given!r})" if told else ""
    return f"{key}: {message}{shown}." if key else f"{message}."


if __name__ == "__main__":  # `make schema`
    print(json_schema(), end="")
