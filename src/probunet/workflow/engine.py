"""Snakemake as the workflow sees it: the only module that touches Snakemake's own objects."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from snakemake import __version__  # type: ignore[import-untyped]
from snakemake.exceptions import WorkflowError  # type: ignore[import-untyped]
from snakemake.io import report  # type: ignore[import-untyped]
from snakemake.logging import logger  # type: ignore[import-untyped]
from snakemake.settings.types import DeploymentMethod  # type: ignore[import-untyped]

from probunet.config import Places, check, read_yaml, where_set
from probunet.errors import ProbunetError, printable_lines
from probunet.study import Config
from probunet.workflow.plan import Figure, Plan

P = ParamSpec("P")
R = TypeVar("R")


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function end Snakemake with the message of a ProbunetError, without a traceback."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ProbunetError as error:
            raise WorkflowError(str(error)) from None

    return wrapped


@dataclass(frozen=True)
class DueJob:
    """A job that is to be run."""

    rule: str
    dataset: str | None
    in_container: bool


class Engine:
    """What the workflow asks of Snakemake, and tells it."""

    version = str(__version__)

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow

    @plain_errors
    def read_plan(self, config: Mapping[str, Any]) -> Plan:
        """Return the plan of the merged configuration files; a mistake ends Snakemake."""
        places = self._places()
        for name, content in places:
            if isinstance(content, Mapping) and "__use_yte__" in content:
                raise ProbunetError(
                    f"{name}: has the key `__use_yte__`, with which Snakemake runs code that is in "
                    "the file, and has done so; a configuration holds values only: remove it."
                )
        return Plan(check(Config, config, places), where_set(places, ()))

    def _places(self) -> Places:
        """Return the files and options that the configuration is merged from, in their order."""
        settings, files = self._workflow.config_settings, self._workflow.configfiles
        of_command = [Path(file).absolute() for file in settings.configfiles]
        own = [Path(file) for file in files if Path(file).absolute() not in of_command]
        places: list[tuple[str, object]] = [
            # jobs get the merged configuration from the driver, which has checked it
            (str(file), read_yaml(file) if self.is_driver else {})
            for file in (*own, *of_command)
        ]
        return [*places, ("--config", settings.config)] if settings.config else places

    @property
    def project(self) -> Path:
        """The folder of the Snakefile."""
        return Path(self._workflow.basedir)

    @property
    def is_driver(self) -> bool:
        """Whether this process plans and starts jobs, rather than running one of them."""
        return bool(self._workflow.is_main_process)

    @property
    def is_dry_run(self) -> bool:
        """Whether jobs are only listed."""
        return bool(self._workflow.output_settings.dryrun)

    @property
    def uses_containers(self) -> bool:
        """Whether steps run in containers."""
        methods = self._workflow.deployment_settings.deployment_method
        return DeploymentMethod.APPTAINER in methods

    def plan_without_containers(self) -> None:
        """Let a dry run succeed on a machine without Apptainer."""
        self._workflow.deployment_settings.deployment_method -= {DeploymentMethod.APPTAINER}

    @property
    def uses_slurm(self) -> bool:
        """Whether jobs are submitted to SLURM."""
        return bool(self._workflow.executor_plugin.name == "slurm")

    @property
    def chooses_partitions(self) -> bool:
        """Whether the SLURM executor itself chooses each job's partition."""
        chosen = self._workflow.executor_settings.partition_config
        return bool(os.environ.get("SNAKEMAKE_SLURM_PARTITIONS") or chosen)

    def due_jobs(self) -> list[DueJob]:
        """Return all jobs that are to be run; known once Snakemake has planned them."""
        return [
            DueJob(job.rule.name, job.wildcards.get("dataset"), bool(job.container_img_url))
            for job in self._workflow.dag.needrun_jobs()
        ]

    def trainings_to_repeat(self) -> list[Path]:
        """Return the checkpoints of due trainings that are not due because they were interrupted.

        Outputs of an interrupted one are missing, or are still marked as incomplete.
        """
        dag, marks = self._workflow.dag, self._workflow.persistence
        return [
            Path(folder)
            for job in dag.needrun_jobs()
            if (folder := job.params.get("checkpoint"))
            and not dag.reason(job).missing_output
            and not marks._filter_incomplete_keys(map(str, job.output))
        ]

    def requests(self) -> dict[str, dict[str, object]]:
        """Return the resources that due jobs ask of the cluster, by rule."""
        jobs = self._workflow.dag.needrun_jobs()
        return {
            job.rule.name: dict(job.resources.items())
            for job in jobs
            if not self._workflow.is_local(job.rule)
        }

    def failed_jobs(self) -> list[tuple[str, Path]]:
        """Return rule and log of the jobs that failed, and of all jobs of a group that failed."""
        failed = self._workflow.scheduler.failed
        jobs = [job for one in failed for job in (one.jobs if one.is_group() else [one])]
        return sorted((job.rule.name, Path(log)) for job in jobs for log in job.log)

    def end_with(self, text: str) -> None:
        """End Snakemake after a failure, with a text as the last of what it prints."""
        self._workflow.logger_manager.logfile_hint()
        logger.error(text)
        sys.exit(1)

    def inform(self, text: str) -> None:
        """Print a message among Snakemake's own."""
        logger.info(printable_lines(text))

    def warn(self, text: str) -> None:
        """Print a warning among Snakemake's own."""
        logger.warning(printable_lines(text))


def explained(figures: Iterable[Figure], kind: str) -> list[Any]:
    """Return the files of figures or tables, each with its explanation in Snakemake's report."""
    return [
        report(
            figure.file,
            caption=f"../report/figures/{figure.name}.rst",
            category="Figures and tables",
            subcategory=figure.dataset,
            labels={kind: figure.name},
        )
        for figure in figures
    ]
