"""Folders, downloads, jobs and container builds: settings that do not change any result."""

from typing import Literal

from pydantic import Field

from probunet.config.base import PathText, Positive, Section

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


class Paths(Section):
    """Folders, relative to the working directory; `~` and `$NAME` are replaced.

    A path cannot contain `{` or a name in `<` and `>`, which Snakemake would replace.
    """

    data: PathText = Field(
        "data", description="Raw data and stores; several studies can share one such folder."
    )
    results: PathText = Field("results", description="Runs, tables and the report of this study.")


class Fetch(Section):
    """Connections and limits of downloads."""

    here: bool = Field(
        True,
        description="Run downloads on the machine that drives the workflow, because nodes of a "
        "cluster often have no outside network; `false` runs them in jobs.",
    )
    jobs: Positive = Field(
        1, le=100, description="Jobs that download LIDC-IDRI in parallel, an equal part each."
    )
    connections: Positive = Field(
        32, le=256, description="Connections that a download keeps open at once."
    )
    megabytes_per_second: int = Field(
        0, ge=0, description="Largest download rate; 0 means no limit."
    )
    retries: int = Field(
        8, ge=0, le=100, description="Failed attempts in a row before a download gives up."
    )
    timeout: Positive = Field(
        30, le=3600, description="Seconds without a byte after which a connection counts as broken."
    )


class Prepare(Section):
    """Jobs that create stores."""

    jobs: Positive = Field(
        1,
        le=1000,
        description="Jobs that create a data set's store in parallel. If there are several, each "
        "creates a part, and one more job joins the parts.",
    )


class ContainerBuild(Section):
    """Options of Apptainer to build the container images."""

    arguments: dict[str, PathText] = Field(
        {},
        description="Arguments of containers/*.def that differ from their defaults: `base` and "
        "`bootstrap` (where the base image comes from), `accelerator` (`cuda`, `cpu`, or another "
        "CUDA such as `cu126` with `wheels`, its index of wheels).",
    )
    cache: PathText = Field(
        "containers/cache",
        description="Keeps the last container image of each kind; several studies can share it.",
    )
    bind: tuple[PathText, ...] = Field(
        (),
        description="Paths of this machine that the build can read, as `apptainer build --bind` "
        "takes them; for instance the folder of a proxy's certificates.",
    )


class Report(Section):
    """The report."""

    title: str = Field("Probabilistic U-Net", description="The report's heading.")
    examples: int = Field(
        300,
        ge=0,
        le=5_000,
        description="Largest number of test images in the explorer, per data set.",
    )
    megabytes: float = Field(
        15,
        ge=5,
        le=500,
        description="Largest size of the report; the explorer shows fewer images if necessary.",
    )
