"""The machine that the workflow runs on: what is checked before the first job, and what
containers see of it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from probunet.datasets import find
from probunet.errors import ProbunetError
from probunet.files import check_links, exists, is_link, links_below, open_own, remove
from probunet.lease import GPU_LISTS, GPU_NUMBERS
from probunet.run import FINISHED
from probunet.workflow.containers import KINDS, recipe_files, source_digest
from probunet.workflow.driver import (
    MARK,
    cancel_orphans,
    check_requests,
    claim,
    is_locked,
    mark_processes,
    refuse_beside_another,
    sign,
    stop_orphans,
)
from probunet.workflow.engine import Engine, plain_errors
from probunet.workflow.failures import describe_failures
from probunet.workflow.plan import Plan, Wildcards, options, replaced_in

_TARGETS = 100  # of links, which are bound into containers one by one
# containers keep their own; links of a Python environment lead there
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
FETCHING = ("fetch", "fetch_part", "download")  # rules
PROGRAMS = ("apptainer", "singularity")  # the latter is an older name
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  # variables that name files
# what containers see of the environment: the job's GPUs, its name in SLURM, the network, and how
# threads wait
HANDED_ON = (
    MARK,
    "CUDA_VISIBLE_DEVICES",
    *GPU_LISTS,
    *GPU_NUMBERS,
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CLUSTER_NAME",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "OMP_WAIT_POLICY",
    *CERTIFICATES,
)


class Site:
    """What the workflow does on a machine: the driver's, and a node's for each job."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.engine = engine
        self.plan = plan
        self.folder = Path.cwd()
        self._lacks_apptainer = engine.uses_containers and not has_apptainer()

    @plain_errors
    def enter(self) -> None:
        """Prepare this process, before Snakemake plans any job."""
        if problem := replaced_in(self.engine.project):
            raise ProbunetError(
                f"{self.engine.project}: the folder of the Snakefile contains {problem}; rename it."
            )
        self._check_encoding()
        os.environ["PROBUNET_PROJECT"] = str(self.engine.project)  # for envs/*.post-deploy.sh
        put_programs_first()
        if self.engine.is_driver:
            self._claim = claim(self.folder)
            mark_processes(self.folder)
            if self.engine.is_dry_run:
                self._describe_downloads()
            elif self._claim.alone is not False and not is_locked(self.folder):
                sign(self.folder)  # whoever is killed before `check` leaves a lock, too
        else:
            self._check_links()
            if self._lacks_apptainer:
                check_apptainer()
        if self._lacks_apptainer:  # a dry run needs none; `check` refuses a run
            self.engine.plan_without_containers()
        elif self.engine.uses_containers:
            self._let_containers_see()

    @plain_errors
    def check(self) -> None:
        """Check this machine, SLURM and logins, and build images; a mistake ends Snakemake.

        Jobs that a killed Snakemake left are stopped, here and in SLURM.
        """
        if self._lacks_apptainer:
            check_apptainer()
        self._check_links()
        refuse_beside_another(self.folder, self._claim)
        sign(self.folder)
        stop_orphans(self.folder, self._claim)
        for checkpoint in self.engine.trainings_to_repeat():
            remove(checkpoint / FINISHED)
        if self.engine.uses_slurm and not self.engine.chooses_partitions:
            check_requests(self.engine.requests())
        cancel_orphans(self.folder, self._claim)
        jobs = self.engine.due_jobs()
        self._check_access({str(job.dataset) for job in jobs if job.rule in FETCHING})
        if any(job.in_container for job in jobs):
            self._prepare_images()

    def explain(self) -> None:
        """End a failed run with the errors of its jobs, which otherwise are in logs only."""
        if not self.engine.is_driver:
            return
        if errors := describe_failures(self.engine.failed_jobs(), self.plan.where):
            self.engine.end_with(errors)

    def _describe_downloads(self) -> None:
        """Print what would be downloaded, without asking the network; warn of missing logins."""
        for name, source in self.plan.sources.items():
            if not source.is_downloaded or Path(self.plan.manifest(name)).exists():
                continue
            data_set = find(name)
            folder = Path(self.plan.data(f"raw/{name}"))
            try:
                jobs = self.plan.config.fetch.jobs
                self.engine.inform(data_set.describe_fetch(source, folder, jobs))
            except ProbunetError as error:
                self.engine.warn(str(error))
            if missing := data_set.missing_credentials(source):
                self.engine.warn(
                    f"{data_set.title} is downloaded with your account: set "
                    f"{' and '.join(missing)} in the environment before the run."
                )

    def _check_encoding(self) -> None:
        """Raise ProbunetError if Snakemake writes names in another encoding than the steps do."""
        encoding = sys.getfilesystemencoding()
        paths = map(str, (self.engine.project, self.folder, *self.plan.named_paths()))
        named = [path for path in paths if not path.isascii()]
        if named and encoding != "utf-8":
            raise ProbunetError(
                f"{named[0]}: this locale writes names of files in {encoding}, and the steps write "
                "them in UTF-8; set PYTHONUTF8=1 in the environment and run the same command again."
            )

    def _check_links(self) -> None:
        """Raise ProbunetError if a folder of the configuration is a link without its target."""
        for path in self.plan.named_paths():
            check_links(path)

    def _check_access(self, due: set[str]) -> None:
        """Raise ProbunetError if a publisher refuses a download that is due."""
        for name in sorted(due):
            if self.plan.sources[name].is_downloaded:
                find(name).check_access(self.plan.sources[name], self.plan.config.fetch)

    # ------------------------------------------------------------------ containers

    def _let_containers_see(self) -> None:
        """Bind folders and files outside the working directory, and hand on variables.

        The driver looks for links below these folders; jobs on nodes have its environment.
        """
        certificates = [Path(os.environ[name]) for name in CERTIFICATES if os.environ.get(name)]
        paths = [self.engine.project, *self.plan.named_paths(), *certificates]
        credentials = [name for one in self.plan.sources for name in find(one).credentials]
        whole = [path.absolute() for path in paths]
        if self.engine.is_driver:
            whole += [target for path in self.plan.named_paths() for target in linked_below(path)]
        bound = existing_outside([hop for path in whole for hop in hops(path)], self.folder)
        handed_on = [*HANDED_ON, *credentials]
        os.environ.update(container_environment(bound, handed_on, os.environ))

    def _prepare_images(self) -> None:
        """Build the images that are missing or outdated; raise an error if ready ones are missing.

        Not by the DAG: with an image as `ancient` input, Snakemake 9.27 builds an image but skips
        other jobs that are due (DAG.update_needrun masks all that depends on it, and does not look
        at it again).
        """
        containers = self.plan.config.containers
        if not self.engine.uses_containers or "://" in containers:
            return
        for kind in KINDS:
            image = self.plan.container(kind)
            if containers == "build":
                self._build_image(kind, image)
            elif not Path(image).is_file():
                raise ProbunetError(
                    f"{image}: no such image. Build it there, correct `containers` in "
                    "the configuration, or set `containers: build`."
                )

    def _build_image(self, kind: str, image: str) -> None:
        """Build an image, or take it from the cache, as the rule `image` does."""
        log = Path("logs/image") / f"{kind}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.engine.inform(f"Image {image}: building it if necessary, in minutes; log: {log}")
        probunet = Path(sys.executable).with_name("probunet")
        command = [str(probunet), "image", kind, "--project", str(self.engine.project)]
        command += [*self.image_options(), "--output", image]
        log.unlink(missing_ok=True)
        with open_own(log, "a") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise ProbunetError(f"{image}: could not be built; the end of {log}:", *end)

    def image_folder(self, wildcards: Wildcards) -> str:
        """Return the folder of the images and of the records of how they were built."""
        return os.path.dirname(self.plan.container("data"))  # noqa: PTH120

    def workflow_folder(self, wildcards: Wildcards) -> str:
        """Return the folder of the Snakefile, relative to the working directory."""
        return os.path.relpath(self.engine.project)

    def image_options(self, wildcards: Wildcards | None = None) -> list[str]:
        """Return the options of `probunet image` that say how this site builds."""
        build = self.plan.config.container_build
        arguments = [f"{name}={value}" for name, value in build.arguments.items()]
        return [
            *options("--argument", arguments),
            *options("--bind", build.bind),
            *options("--cache", [build.cache]),
        ]

    def image_recipe(self, wildcards: Wildcards) -> list[str]:
        """Return an image's definition and locks."""
        return [str(file) for file in recipe_files(wildcards["kind"], self.engine.project)]

    def image_source(self, wildcards: Wildcards) -> str:
        """Return one hash over the package's files: with another hash the image is built again."""
        return source_digest(self.engine.project)


def put_programs_first() -> None:
    """Let jobs find `probunet` beside this Python, though its environment is not activated."""
    programs = Path(sys.executable).parent
    path = os.environ.get("PATH", os.defpath)
    if (programs / "probunet").exists() and path.split(os.pathsep)[0] != str(programs):
        os.environ["PATH"] = f"{programs}{os.pathsep}{path}"


def has_apptainer() -> bool:
    """Return whether a program that runs containers is on this machine's PATH."""
    return any(shutil.which(program) for program in PROGRAMS)


def check_apptainer() -> None:
    """Raise ProbunetError if nothing on this machine can run containers."""
    if not has_apptainer():
        raise ProbunetError(
            "neither `apptainer` nor `singularity` is on the PATH of this machine "
            f"({os.uname().nodename}), and the steps run in containers. Load its module, or "
            "remove `software-deployment-method: apptainer` from slurm/config.yaml to use this "
            "machine's own Python environment."
        )


def existing_outside(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Return the paths that lie outside a folder, each once and as far as it exists yet."""
    outside = [
        next(part for part in (path, *path.parents) if exists(part))
        for path in paths
        if not path.is_relative_to(folder)
    ]
    return [path for path in dict.fromkeys(outside) if path.name]  # not the root of all


def hops(path: Path) -> list[Path]:
    """Return an absolute path and, if links are on its way, every path that they lead to.

    A container needs all of them: a link leads to a path that must be there as well.
    """
    found = [path]
    for _ in range(40):  # as many links as Linux follows
        links = [part for part in (*reversed(found[-1].parents), found[-1]) if is_link(part)]
        if not links:
            break
        target = links[0].parent / links[0].readlink()
        found.append(target / found[-1].relative_to(links[0]))
    # not before: `link/..` is beside the link's target
    return [Path(os.path.normpath(path)) for path in found]


def linked_below(folder: Path) -> list[Path]:
    """Return the folders that links below a folder lead to, without those inside of others.

    The system's folders are left out. Of very many targets, the folder that holds all of them is
    returned.
    """
    targets: set[Path] = set()
    for link in links_below(folder):
        led_to = hops(link.absolute())[1:]
        is_folder = exists(link) and link.is_dir()
        found = led_to if is_folder else [path.parent for path in led_to]
        targets |= {path for path in found if not any(map(path.is_relative_to, _SYSTEM))}
    outer = sorted(one for one in targets if targets.isdisjoint(one.parents))
    common = Path(os.path.commonpath(outer)) if outer else Path("/")
    return [common] if len(outer) > _TARGETS and common.name else outer


def container_environment(
    bound: Iterable[Path], variables: Iterable[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables with which Apptainer binds paths and hands on variables.

    In paths, a backslash protects the characters that Apptainer separates paths with.

    >>> container_environment([Path("/a")], ["no_proxy"], {"no_proxy": "b", "APPTAINER_BIND": "/c"})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'APPTAINER_BIND': '/c,/a', 'APPTAINERENV_no_proxy': 'b',
     'SINGULARITY_BIND': '/a', 'SINGULARITYENV_no_proxy': 'b'}
    """
    found = {}
    paths = [re.sub(r"([\\,:])", r"\\\1", str(path)) for path in bound]
    for program in map(str.upper, PROGRAMS):
        binds = [environment.get(f"{program}_BIND", ""), *paths]
        found[f"{program}_BIND"] = ",".join(dict.fromkeys(filter(None, binds)))
        for name in variables:
            if name in environment:
                found[f"{program}ENV_{name}"] = environment[name]
    return found
