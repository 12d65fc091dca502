"""The machine that the workflow runs on: what is looked at before the first job, and what containers
see of it. Jobs read this file too, on their nodes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from probunet.driver import (
    cancel_orphans,
    check_requests,
    claim,
    jobs_left,
    refuse_beside_another,
    sign,
)
from probunet.errors import ProbunetError

PROBUNET = Path(sys.executable).with_name("probunet")
IN_CONTAINERS = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)
HAS_APPTAINER = bool(shutil.which("apptainer") or shutil.which("singularity"))
# what of the environment containers see: the job's GPUs, its name in SLURM, and what `fetch` needs
HANDED_ON = [
    "CUDA_VISIBLE_DEVICES",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CLUSTER_NAME",
    "CITYSCAPES_USERNAME",
    "CITYSCAPES_PASSWORD",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
]
CREDENTIALS = ["CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"]
# files that these name
CERTIFICATES = ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]


def named_paths():
    """Folders and files that jobs use and that may lie outside the working directory."""
    found = [workflow.basedir, plan.paths.data, plan.paths.results]
    for section in (getattr(plan.datasets, name) for name in STUDIES):
        found += [section.path, section.folds_file and Path(section.folds_file).parent]
    found += [os.environ.get(name) for name in CERTIFICATES]
    return [Path(path).absolute() for path in found if path]


def let_containers_see(paths, variables):
    """Bind folders and files, or what of their paths exists yet, and hand on variables."""
    outside = [
        next(part for part in (path, *path.parents) if part.exists())
        for path in paths
        if not path.is_relative_to(Path.cwd())
    ]
    outside = [path for path in outside if path.name]  # not the root of all
    for program in ("APPTAINER", "SINGULARITY"):
        bound = [os.environ.get(f"{program}_BIND"), *map(str, outside)]
        os.environ[f"{program}_BIND"] = ",".join(dict.fromkeys(filter(None, bound)))
        for name in variables:
            if name in os.environ:
                os.environ[f"{program}ENV_{name}"] = os.environ[name]


def check_apptainer():
    """Raise an error if steps would run in containers, and nothing here can run them."""
    if IN_CONTAINERS and not HAS_APPTAINER:
        raise WorkflowError(
            "neither `apptainer` nor `singularity` is on the PATH of this machine "
            f"({os.uname().nodename}), and the steps run in containers. Load its module, or "
            "remove `software-deployment-method: apptainer` from slurm/config.yaml to use this "
            "machine's own Python environment."
        )


def prepare_images():
    """Build the images that are missing or of other code; raise an error if ready ones miss.

    Not by the DAG: with an image as `ancient` input, Snakemake 9.27 would only build an image that
    has to be, and leave undone what else is to be done (DAG.update_needrun masks all that depends
    on it, and then does not look at it again).
    """
    if not IN_CONTAINERS or "://" in plan.containers:
        return
    for kind in ("data", "torch"):
        if plan.containers == "build":
            build_image(kind)
        elif not Path(image(kind)).is_file():
            raise WorkflowError(
                f"{image(kind)}: no such image. Build it there, correct `containers` in "
                "config.yaml, or set `containers: build`."
            )


def build_image(kind):
    """Build an image, or take it from the cache, as the rule `image` does."""
    log = Path("logs/image") / f"{kind}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    logger.info(f"Image {image(kind)}: is built if need be, in minutes; log: {log}")
    command = [PROBUNET, "image", kind, "--project", workflow.basedir]
    command += [*image_options(), "--output", image(kind)]
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        end = "".join(log.read_text().splitlines(keepends=True)[-20:])
        raise WorkflowError(
            f"{image(kind)} could not be built; the end of {log}:\n{end}"
        )


def check_cluster(jobs):
    """Raise an error if SLURM would refuse jobs, before any is submitted."""
    chosen_by_executor = (
        os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
        or workflow.executor_settings.partition_config
    )
    if not chosen_by_executor:
        check_requests({job.rule.name: dict(job.resources.items()) for job in jobs})


def tell_downloads():
    """Print what would be downloaded, in a dry run; nothing is asked of the network."""
    if is_downloaded("lidc") and not Path(data("raw/lidc.manifest.json")).exists():
        options = map(str, [*lidc_options(), "--plan", "--parts", plan.fetch.jobs])
        command = [PROBUNET, "fetch", "lidc", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        logger.info(done.stdout.rstrip() or done.stderr)
    missing = [name for name in CREDENTIALS if not os.environ.get(name)]
    to_come = not Path(data("raw/cityscapes.manifest.json")).exists()
    if is_downloaded("cityscapes") and to_come and missing:
        logger.warning(
            f"Cityscapes is downloaded with your account, and {' and '.join(missing)} "
            "stand in no variable of the environment: set them before the run."
        )


def check_login():
    """Raise an error if Cityscapes' publisher does not let the environment's account in."""
    cityscapes, fetch = plan.datasets.cityscapes, plan.fetch
    command = [PROBUNET, "fetch", "cityscapes", "--check-login"]
    if cityscapes.endpoint_url:
        command += ["--endpoint-url", cityscapes.endpoint_url]
    command += ["--retries", str(fetch.retries), "--timeout", str(fetch.timeout)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line[:4] != "job "]
        raise WorkflowError("\n".join(told))


def before_the_first_job():
    """Check this machine, SLURM and a login; clear up after a Snakemake that was killed here."""
    needed = list(workflow.dag.needrun_jobs())
    jobs = [job for job in needed if not workflow.is_local(job.rule)]
    check_apptainer()
    try:
        refuse_beside_another(Path.cwd(), CLAIM)
        sign(Path.cwd())
        if workflow.executor_plugin.name == "slurm":
            check_cluster(jobs)
        cancel_orphans(Path.cwd(), CLAIM, ORPHANS)
    except ProbunetError as error:
        raise WorkflowError(str(error))
    if is_downloaded("cityscapes") and "fetch_cityscapes" in {
        job.rule.name for job in needed
    }:
        check_login()
    if any(job.container_img_url for job in needed):
        prepare_images()


if workflow.is_main_process:
    CLAIM = claim(Path.cwd())
    ORPHANS = jobs_left(Path.cwd())
    if workflow.output_settings.dryrun:
        tell_downloads()
else:
    check_apptainer()
if IN_CONTAINERS and HAS_APPTAINER:
    let_containers_see(named_paths(), HANDED_ON)
elif IN_CONTAINERS:  # a dry run needs none; before the first job it is missed
    workflow.deployment_settings.deployment_method -= {DeploymentMethod.APPTAINER}
os.environ.update(PROBUNET_PROJECT=str(workflow.basedir))  # for envs/*.post-deploy.sh


onstart:
    before_the_first_job()
