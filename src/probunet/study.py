"""The complete model of `config.yaml`, from which `config.schema.json` is exported."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import ConfigDict, Field, ValidationError, create_model, model_validator

from probunet.config import (
    WITHOUT_KL,
    Beta,
    ContainerBuild,
    DeviceName,
    Fetch,
    ModelName,
    Paths,
    PathText,
    Prepare,
    Report,
    Section,
    Seed,
    Settings,
    Source,
    advice,
    check,
    read_json,
    read_yaml,
)
from probunet.datasets.cityscapes.config import CityscapesSource
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.lidc.config import LidcSource
from probunet.errors import ProbunetError

# name of a data set that is not built in; files are named after it, whose names have limits
FREE_NAME = r"[a-z][a-z0-9_]{0,99}"
TAKEN = ("figures", "provenance")  # folders below results/ that are not data sets
S = TypeVar("S", bound=Section)


class ByDataset(Section, Generic[S]):
    """Sections by data set: built-in data sets are fields, other names are free."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"pattern": f"^{FREE_NAME}$"}}
    )
    __pydantic_extra__: dict[str, S] = Field(init=False)

    @property
    def sections(self) -> dict[str, S]:
        """The sections that are set, by data set."""
        return {name: section for name, section in self if section is not None}


class Datasets(ByDataset[Source]):
    """The data sets to run on; any name that is not built in is a folder of your own images."""

    __pydantic_extra__: dict[str, FolderSource] = Field(init=False)  # type: ignore[assignment]

    lidc: LidcSource | None = Field(None, description="LIDC-IDRI (paper, section 3.1).")
    cityscapes: CityscapesSource | None = Field(
        None, description="Cityscapes (paper, section 3.2)."
    )

    @model_validator(mode="after")
    def _names_can_name_folders(self) -> "Datasets":
        for name in self.__pydantic_extra__:
            if not re.fullmatch(FREE_NAME, name) or name in TAKEN:
                raise ValueError(
                    f"{name}: not a valid name of a data set; use lower-case letters, digits and "
                    f"_, at most 100, begin with a letter, and do not use {' or '.join(TAKEN)}"
                )
        if not self.sections:
            raise ValueError(
                f"names no data set; choose at least one of: {', '.join(type(self).model_fields)}, "
                "or a folder of your own images"
            )
        return self


class Study(Settings):
    """Models, betas, seeds and settings for one data set."""

    datasets: Datasets | None = Field(None, description="Data sets and their sources.")
    folds: int = Field(
        4,
        ge=1,
        le=875,
        description="Number of folds over patients, cities or subjects. 1 is a fixed split: your "
        "`folds_file` or the publisher's.",
    )
    beta: tuple[Beta, ...] = Field(
        (1.0, 10.0),
        min_length=1,
        description="Weights of the KL term, one training each; of `mose`, of the KL of its gate, "
        "1 in its paper. Models without a KL term are trained once, with the first beta.",
    )
    models: tuple[ModelName, ...] = Field(
        ("probabilistic_unet",), min_length=1, description="Models to train."
    )
    seeds: tuple[Seed, ...] = Field(
        (0,), min_length=1, description="Seeds; every training is repeated for each."
    )

    def betas_of(self, model: str) -> tuple[float, ...]:
        """Return the betas of a model's trainings."""
        return self.beta[:1] if model in WITHOUT_KL else self.beta

    @property
    def scales(self) -> int:
        """Number of scales of the deepest network; sides are multiples of 2^(scales - 1)."""
        return max(len(self.architecture_of(model)["channels"]) for model in self.models)

    def source_of(self, dataset: str) -> Source:
        """Return a data set's section; raise KeyError if there is none."""
        return (self.datasets.sections if self.datasets else {})[dataset]

    def folds_of(self, dataset: str) -> int:
        """Return the number of folds of a data set."""
        return 1 if self.source_of(dataset).has_fixed_split else self.folds


# keys that can differ between data sets, in the order of config.yaml
OVERRIDABLE = {
    name: field for name, field in Study.model_fields.items() if name not in ("datasets", "folds")
}
Overrides = create_model(
    "Overrides",
    __base__=Section,
    __doc__="Keys with other values for one data set.",
    **{
        name: (field.rebuild_annotation() | None, Field(None, description=f"See `{name}`."))
        for name, field in OVERRIDABLE.items()
    },  # type: ignore[call-overload]
)


class AllOverrides(ByDataset[Overrides]):
    """Overrides by data set; built-in data sets need not be set under `datasets`."""

    __pydantic_extra__: dict[str, Overrides] = Field(init=False)

    lidc: Overrides = Field(Overrides(), description="For LIDC-IDRI.")
    cityscapes: Overrides = Field(Overrides(), description="For Cityscapes.")


class Config(Study):
    """All settings of the workflow."""

    datasets: Datasets = Field(description="Data sets and their sources.")
    overrides: AllOverrides = Field(
        AllOverrides(), description="Keys with other values for single data sets."
    )
    paths: Paths = Field(Paths(), description="Folders.")
    fetch: Fetch = Field(Fetch(), description="How images are downloaded.")
    prepare: Prepare = Field(Prepare(), description="How stores are created.")
    device: DeviceName = Field(
        "auto",
        description="What models are trained and sampled on: `auto` is a CUDA GPU if there is one, "
        "else Apple's `mps` where it works, else the CPU. A job that was given a GPU that torch "
        "cannot use stops; `cpu` does without it. A change repeats no finished step.",
    )
    containers: PathText = Field(
        "build",
        description="Container images of the steps, used with `--software-deployment-method "
        "apptainer` (as in the profile `slurm`): `build` builds them in `containers/`; a folder "
        "contains `data.sif` and `torch.sif`; `docker://.../name-{kind}:tag` is pulled, with "
        "`data` or `torch` for `{kind}`.",
    )
    container_build: ContainerBuild = Field(
        ContainerBuild(),
        description="How container images are built with `containers: build`.",
    )
    report: Report = Field(Report(), description="Heading and size of the report.")

    def of(self, dataset: str) -> Study:
        """Return the settings of a data set.

        The value of a key is that of the data set's overrides; else the shared one; else the
        paper's for this data set.

        >>> shared = {"datasets": {"lidc": {"source": "phantom"}}, "training": {"steps": 9}}
        >>> overrides = {"overrides": {"lidc": {"training": {"batch": 3}}}}
        >>> training = check(Config, shared | overrides, "example").of("lidc").training
        >>> training.steps, training.batch
        (9, 3)
        """
        shared = self.model_dump(mode="json", include=set(OVERRIDABLE), exclude_unset=True)
        overrides = self.overrides.sections.get(dataset, Overrides())
        different = overrides.model_dump(mode="json", exclude_unset=True)
        merged = _merged(_merged(_paper_of(dataset), shared), different)
        study = Study.model_validate_json(json.dumps(merged))
        return study.model_copy(update={"datasets": self.datasets, "folds": self.folds})

    def whole(self) -> dict[str, Any]:
        """Return all keys with their values, so that later changes of defaults have no effect.

        `overrides` contains all values that differ for a data set.
        """
        written = self.model_dump(mode="json", exclude_none=True, exclude={"overrides"})
        shared = _overridable(self)
        overrides = {
            name: _different(_overridable(self.of(name)), shared) for name in self.datasets.sections
        }
        return written | {"overrides": {name: keys for name, keys in overrides.items() if keys}}

    def container_of(self, kind: str) -> str:
        """Return the container image of a kind of step, `data` or `torch`: a file or a URL."""
        if "://" in self.containers:
            return self.containers.replace("{kind}", kind)
        folder = "containers" if self.containers == "build" else self.containers
        return f"{folder.rstrip('/')}/{kind}.sif"

    @model_validator(mode="after")
    def _containers_differ_by_kind(self) -> "Config":
        if "://" in self.containers and "{kind}" not in self.containers:
            raise ValueError(
                f"containers: {self.containers} is one image, but two are needed; write {{kind}} "
                "instead of `data` or `torch`"
            )
        return self

    @model_validator(mode="after")
    def _folds_fit_the_data_sets(self) -> "Config":
        for name, source in self.datasets.sections.items():
            if self.folds_of(name) == 1 and not source.has_fixed_split and not source.folds_file:
                raise ValueError(
                    f"folds: 1 is a fixed split, and {name} has none; set "
                    f"datasets.{name}.folds_file to a file with your split, or choose 2 or more"
                )
            if source.subjects is not None and self.folds_of(name) > source.subjects:
                raise ValueError(
                    f"folds: {self.folds} is more than the {source.subjects} of "
                    f"datasets.{name}.patients; choose 2 to {source.subjects}"
                )
        return self

    @model_validator(mode="after")
    def _overrides_are_of_data_sets(self) -> "Config":
        sources = self.datasets.sections
        for name, overrides in self.overrides.sections.items():
            if name not in sources and name not in type(self.overrides).model_fields:
                raise ValueError(
                    f"overrides.{name}: `datasets` has no {name}; remove it or correct its name"
                )
            for part in ("training", "evaluation"):
                section = dict(overrides)[part]
                is_set = section is not None and "crop" in section.model_fields_set
                if not is_set or name not in sources or part in sources[name].cropped:
                    continue
                if sources[name].cropped:
                    raise ValueError(
                        f"overrides.{name}.{part}.crop: images of {name} are sampled and scored "
                        "whole; remove it"
                    )
                raise ValueError(
                    f"overrides.{name}.{part}.crop: images of {name} are not cropped; set "
                    f"datasets.{name}.size instead"
                )
        return self

    @model_validator(mode="after")
    def _each_study_fits(self) -> "Config":
        for name in self.datasets.sections:
            try:
                study = self.of(name)
            except ValidationError as error:
                wrong = "; ".join(advice(item).removesuffix(".") for item in error.errors())
                raise ValueError(f"overrides.{name}: {wrong}") from None
            if study.evaluation.bootstrap != self.evaluation.bootstrap:
                raise ValueError(
                    f"overrides.{name}.evaluation.bootstrap: must be the same for all data sets, "
                    "which share one table; set evaluation.bootstrap instead"
                )
            differs = _overridable(study) != _overridable(self)
            _check_lists(study, f"overrides.{name}: " if differs else "")
            _check_sizes(study, name)
        return self


def _check_lists(study: Study, where: str) -> None:
    """Raise ValueError for repeated values, and for scores of more samples than are drawn."""
    lists = {"beta": study.beta, "models": study.models, "seeds": study.seeds}
    for key, values in (lists | {"evaluation.n": study.evaluation.n}).items():
        if len(set(values)) < len(values):
            raise ValueError(f"{where}{key}: {list(values)} contains a value twice; remove one")
    if max(study.evaluation.n) > study.evaluation.samples:
        raise ValueError(
            f"{where}evaluation.n: {max(study.evaluation.n)} is more than the "
            f"{study.evaluation.samples} of evaluation.samples"
        )
    steps, most = study.evaluation.sampling_steps or 1, study.ccdm.diffusion_steps
    if "ccdm" in study.models and steps > most:
        raise ValueError(
            f"{where}evaluation.sampling_steps: {steps} is more than the {most} of "
            "ccdm.diffusion_steps"
        )


def _check_sizes(study: Study, dataset: str) -> None:
    """Raise ValueError for sides of images or crops that cannot be halved at each scale."""
    source, stride = study.source_of(dataset), 2 ** (study.scales - 1)
    sides = [(f"datasets.{dataset}.size", side) for side in source.image_size or ()]
    crops = [(f"{part}.crop", dict(study)[part].crop) for part in source.cropped]
    for key, side in crops:
        if source.largest_crop is not None and side > source.largest_crop:
            raise ValueError(
                f"{key}: {side} is more than the {source.largest_crop} pixels of the crops of "
                f"{dataset}; choose at most {source.largest_crop}"
            )
    for key, side in [*sides, *crops]:
        if side % stride:
            raise ValueError(
                f"{key}: {side} is not a multiple of {stride}, as {study.scales} scales require"
            )


def _paper_of(dataset: str) -> Mapping[str, Any]:
    """Return the paper's values for a data set that differ from the defaults."""
    field = Datasets.model_fields.get(dataset)
    section = FolderSource if field is None else get_args(field.annotation)[0]
    return dict(section.paper)


def _overridable(study: Study) -> dict[str, Any]:
    """Return the keys that can differ between data sets, as JSON."""
    return study.model_dump(mode="json", include=set(OVERRIDABLE))


def _merged(shared: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return `shared` updated with `other`, recursively."""
    both = dict(shared)
    for key, value in other.items():
        is_section = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = _merged(both[key], value) if is_section else value
    return both


def _different(other: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `other` that differ from `shared`, recursively."""
    found = {}
    for key, value in other.items():
        if value != shared.get(key):
            is_section = isinstance(value, dict) and isinstance(shared.get(key), dict)
            found[key] = _different(value, shared[key]) if is_section else value
    return found


def read_config(path: Path) -> Config:
    """Return the configuration in a YAML file; raise ProbunetError if it is wrong."""
    return check(Config, read_yaml(path), str(path))


def read_study(text: str | None, dataset: str) -> Study:
    """Return the settings of a data set, from the path of a `config.yaml` or from JSON.

    JSON contains some of the keys of `config.yaml`; other keys have their defaults for the data
    set.

    Raises
    ------
    ProbunetError
        If a key is wrong, or `datasets` does not contain the data set.
    """
    where = place_of(text)
    if where == "--settings":
        data = read_json(text or "{}", where)
        study = check(Study, _merged(_paper_of(dataset), data), where)
    else:
        study = read_config(Path(where))
    if study.datasets is not None and dataset not in study.datasets.sections:
        raise ProbunetError(
            f"{where}: `datasets` has no {dataset}, which --dataset asks for; it names "
            f"{', '.join(study.datasets.sections)}."
        )
    return study.of(dataset) if isinstance(study, Config) else study


def place_of(text: str | None) -> str:
    """Return where settings stand, for errors: the path of their file, or the option.

    >>> place_of("mine.yaml"), place_of('{"folds": 2}')
    ('mine.yaml', '--settings')
    """
    return "--settings" if text is None or text.lstrip().startswith("{") else text


def read_source(study: Study, dataset: str) -> Source:
    """Return a data set's section; raise ProbunetError if the study has no section `datasets`."""
    if study.datasets is None:
        raise ProbunetError(
            f"--settings: has no section datasets.{dataset}; add it, or name a configuration "
            "file that has one."
        )
    return study.source_of(dataset)


def read_whole(text: str) -> dict[str, Any]:
    """Return all keys of a study, from the path of a `config.yaml` or from JSON."""
    if place_of(text) == "--settings":
        found: dict[str, Any] = read_json(text, "--settings")
        return found
    return read_config(Path(text)).whole()


def report_section(whole: Mapping[str, Any]) -> Report:
    """Return the section `report` of all keys of a study."""
    return check(Report, whole.get("report", {}), "--settings: report")


def json_schema() -> str:
    """Return the JSON schema of `config.yaml`."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(draft | Config.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":  # `make schema`
    print(json_schema(), end="")
