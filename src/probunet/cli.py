"""The command `probunet`, with one sub-command per verb."""

import codecs
import logging
import os
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from probunet.errors import ProbunetError, printable, printable_lines
from probunet.job import recorded
from probunet.lease import lease_gpu
from probunet.memory import lacks_memory

if TYPE_CHECKING:
    from probunet.config import Fetch


class _InOrder(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        names = ["fetch", "prepare", "folds", "train", "sample", "score", "report", "predict"]
        return [*names, "image"]


def _group(text: str, cls: type[TyperGroup] | None = None) -> typer.Typer:
    return typer.Typer(
        help=text,
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


app = _group("The Probabilistic U-Net, from raw images to tables of scores and a report.", _InOrder)
score = _group("Score samples, and collect the scores of runs in tables.")
app.add_typer(score, name="score")


class Kind(StrEnum):
    """Kinds of steps; each kind has a container image."""

    data = "data"
    torch = "torch"


class TrainingData(StrEnum):
    """Where the images of a training are, see `training.data`."""

    auto = "auto"
    device = "device"
    host = "host"
    disk = "disk"


Dataset = Annotated[str, typer.Option(help="The data set's name in the configuration.")]
SettingsText = Annotated[
    str | None,
    typer.Option(
        help="The path of a config.yaml, or some of its keys as JSON; other keys have their "
        "defaults."
    ),
]
Manifest = Annotated[Path | None, typer.Option(help="The manifest of raw files.")]
StorePath = Annotated[Path, typer.Option(help="The data set's store.")]
FoldsPath = Annotated[Path, typer.Option(help="The file of folds.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
PartNumber = Annotated[int | None, typer.Option(min=0, help="Number of this part, from 0.")]
Parts = Annotated[int | None, typer.Option(min=1, help="Number of parts.")]
Join = Annotated[
    list[Path] | None,
    typer.Option(help="A finished part to join with the others; repeatable."),
]


@app.command()
def fetch(
    dataset: Dataset,
    settings: SettingsText = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="The folder for downloaded or synthetic files; data/raw/<dataset>."),
    ] = None,
    manifest: Manifest = None,
    part: PartNumber = None,
    parts: Parts = None,
    join: Join = None,
    connections: Annotated[int | None, typer.Option(help="Number of connections.")] = None,
    megabytes_per_second: Annotated[int | None, typer.Option(help="Largest download rate.")] = None,
    retries: Annotated[
        int | None, typer.Option(help="Failed attempts in a row before giving up.")
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(help="Seconds without data before a connection counts as broken.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Largest number of worker processes; by default one per processor."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print what would be downloaded.")
    ] = False,
    check_access: Annotated[
        bool, typer.Option("--check-access", help="Only log in to the publisher's site.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Only print what this copy of the data set lacks.")
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="With --verify: list everything that is missing.")
    ] = False,
) -> None:
    """Download a data set's images, create synthetic ones, or check existing ones."""
    from probunet.datasets import find
    from probunet.study import read_source, read_study
    from probunet.workers import use_processors

    data_set = find(dataset)
    use_processors(workers)
    if verify is not None:
        print(printable_lines(data_set.verify(verify, details)))
        return
    if details:
        raise ProbunetError("--details: belongs to --verify; add that option or remove this one.")
    if join:
        data_set.join(join, _needed(manifest, "--manifest"))
        return
    source = read_source(read_study(settings, dataset), dataset)
    how = _how_to_fetch(connections, megabytes_per_second, retries, timeout)
    folder = folder or Path("data/raw") / dataset
    if check_access:
        data_set.check_access(source, how)
    elif plan:
        print(printable_lines(data_set.describe_fetch(source, folder, parts or 1)))
    else:
        data_set.fetch(source, folder, _needed(manifest, "--manifest"), how, _part(part, parts))


@app.command()
def prepare(
    dataset: Dataset,
    settings: SettingsText = None,
    manifest: Manifest = None,
    output: Annotated[Path | None, typer.Option(help="The store or part to write.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    multiple_of: Annotated[
        int, typer.Option(min=1, help="Sides of images must be multiples of this number.")
    ] = 1,
    part: PartNumber = None,
    parts: Parts = None,
    join: Join = None,
    count: Annotated[
        bool, typer.Option("--count", help="Only print the expected number of images.")
    ] = False,
) -> None:
    """Create a data set's store, or a part of it, from raw files."""
    from probunet.datasets import find
    from probunet.prepare import parts as stores
    from probunet.study import read_source, read_study

    data_set = find(dataset)
    if count:
        print(printable_lines(data_set.describe_expected()))
        return
    source = read_source(read_study(settings, dataset), dataset)
    store = _needed(output, "--output")
    plan = data_set.plan(_needed(manifest, "--manifest"), source, multiple_of)
    number = _part(part, parts)
    if number is not None and join:
        raise ProbunetError("--part and --join cannot be used together; remove one of them.")
    if number is not None:
        stores.prepare_part(plan, store, *number, workers)
    elif join:
        stores.join(plan, join, store, workers, source.on_error)
    else:
        stores.prepare(plan, store, workers, source.on_error)


@app.command()
def folds(
    dataset: Dataset,
    store: StorePath,
    output: Annotated[Path, typer.Option(help="The file of folds to write.")],
    settings: SettingsText = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of drawn folds.")] = 0,
    like: Annotated[
        Path | None,
        typer.Option(help="Another store of the data set, whose published split is used."),
    ] = None,
    shared: Annotated[
        Path | None,
        typer.Option(help="With --like: a table to write of the images in both stores, CSV."),
    ] = None,
) -> None:
    """Assign a data set's patients, cities or subjects to folds."""
    from probunet.datasets import open_data
    from probunet.prepare.folds import choose_folds, folds_like, write_shared
    from probunet.study import place_of, read_source, read_study

    if like is not None:
        data, other = open_data(store), open_data(like)
        folds_like(data, other).write(output)
        if shared is not None:
            write_shared(data, other, shared)
        return
    if shared is not None:
        raise ProbunetError("--shared: belongs to --like; add that option or remove this one.")
    study = read_study(settings, dataset)
    source = read_source(study, dataset)
    number, where = study.folds_of(dataset), place_of(settings)
    choose_folds(open_data(store), source, number, seed, where).write(output)


@app.command()
def train(
    dataset: Dataset,
    store: StorePath,
    folds: FoldsPath,
    output: Annotated[
        Path,
        typer.Option(
            help="The run's folder, .../beta-1/fold-0/seed-0, or that of an ensemble's member."
        ),
    ],
    checkpoint: Annotated[
        Path, typer.Option(help="The folder of checkpoints, to resume the training.")
    ],
    settings: SettingsText = None,
    device: Device = "auto",
    data: Annotated[
        TrainingData | None,
        typer.Option(help="Where the images are, instead of `training.data` of the settings."),
    ] = None,
    threads: Threads = None,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0, help="Minutes; save and exit with code 75 before this time."),
    ] = None,
) -> None:
    """Train one model on one fold, or resume its training."""
    lease_gpu(device)  # before torch is imported

    from probunet.run import Run
    from probunet.study import read_study
    from probunet.train.loop import train as train_run

    run = Run.of_dataset(output.resolve(), dataset)
    study, seconds = read_study(settings, dataset), time_limit and 60 * time_limit
    if data is not None:
        training = study.training.model_copy(update={"data": data.value})
        study = study.model_copy(update={"training": training})
    train_run(run, store, folds, study, output, checkpoint, device, threads, seconds)


@app.command()
def sample(
    dataset: Dataset,
    weights: Annotated[
        list[Path], typer.Option(help="Trained weights; repeatable for the members of an ensemble.")
    ],
    store: StorePath,
    folds: FoldsPath,
    output: Annotated[Path, typer.Option(help="The store of samples, in the run's folder.")],
    settings: SettingsText = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Draw segmentation hypotheses for the fold's test images."""
    lease_gpu(device)  # before torch is imported

    from probunet.run import Run
    from probunet.sample.draw import sample_run
    from probunet.study import read_study

    run, study = Run.of_dataset(output.resolve().parent, dataset), read_study(settings, dataset)
    sample_run(weights, store, folds, run, study, output, device, threads)


@score.command("run")
def score_run(
    dataset: Dataset,
    samples: Annotated[Path, typer.Option(help="The run's store of samples.")],
    store: StorePath,
    output: Annotated[Path, typer.Option(help="The table of scores to write, Parquet.")],
    settings: SettingsText = None,
    samples_from: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or a CSV table of files, of samples that another code drew; --samples "
            "is written from them first."
        ),
    ] = None,
    folds: Annotated[
        Path | None, typer.Option(help="With --samples-from: the file of folds.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Compute GED and all other scores for every test image of one run."""
    from probunet.run import Run
    from probunet.score.elsewhere import import_samples
    from probunet.score.run import score_run as score_samples
    from probunet.study import read_study
    from probunet.workers import use_processors

    use_processors(threads)
    study = read_study(settings, dataset)
    if (samples_from is None) != (folds is None):
        raise ProbunetError("--samples-from and --folds belong together; add or remove one.")
    if samples_from is not None and folds is not None:
        run = Run.of_dataset(samples.resolve().parent, dataset)
        import_samples(samples_from, store, folds, run, study, samples)
    score_samples(samples, store, output, study.evaluation.n)


@score.command("table")
def score_table(
    scores: Annotated[list[Path], typer.Argument(help="The table of scores of each run.")],
    output: Annotated[Path, typer.Option(help="One row per run and n, CSV.")],
    summary: Annotated[
        Path, typer.Option(help="One row per model, beta and n: means over folds, CSV.")
    ],
    comparison: Annotated[Path, typer.Option(help="One row per pair of models and n, CSV.")],
    bootstrap: Annotated[int, typer.Option(min=1, help="Number of resamples of subjects.")] = 2000,
) -> None:
    """Write scores.csv, summary.csv and comparison.csv from the scores of all runs."""
    from probunet.score.table import write_tables

    write_tables(scores, output, summary, comparison, bootstrap)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="The runs' folders.")],
    scores: Annotated[Path, typer.Option(help="results/scores.csv")],
    summary: Annotated[Path, typer.Option(help="results/summary.csv")],
    comparison: Annotated[Path, typer.Option(help="results/comparison.csv")],
    store: Annotated[list[Path], typer.Option(help="A data set's store; repeatable.")],
    output: Annotated[Path, typer.Option(help="The HTML file to write.")],
    settings: Annotated[
        str, typer.Option(help="The path of a config.yaml, or all its keys as JSON.")
    ] = "{}",
    logs: Annotated[Path, typer.Option(help="The folder of the jobs' logs.")] = Path("logs"),
    benchmarks: Annotated[Path, typer.Option(help="The folder of the jobs' benchmarks.")] = Path(
        "benchmarks"
    ),
    images: Annotated[
        Path, typer.Option(help="The folder of the container images' records.")
    ] = Path("containers"),
    crate: Annotated[
        Path | None, typer.Option(help="The RO-Crate to write: results/ro-crate-metadata.json")
    ] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="crate: a manifest of raw files; repeatable.")
    ] = None,
    workflow: Annotated[Path, typer.Option(help="crate: the folder of the Snakefile.")] = Path(),
    engine: Annotated[str, typer.Option(help="crate: the version of Snakemake.")] = "unknown",
    figures: Annotated[
        Path | None, typer.Option(help="A folder for SVG, PDF, CSV and LaTeX: results/figures")
    ] = None,
) -> None:
    """Write the report as one HTML file, and optionally figures and an RO-Crate."""
    from probunet.report.build import build_report
    from probunet.report.crate import Study, write_crate
    from probunet.report.made import read_made
    from probunet.study import read_whole, report_section

    config = read_whole(settings)
    made = read_made(runs, config, logs, benchmarks, images)
    section = report_section(config)
    build_report(
        output,
        scores=scores,
        summary=summary,
        comparison=comparison,
        runs=runs,
        stores=store,
        config=config,
        title=section.title,
        examples=section.examples,
        megabytes=section.megabytes,
        made=made,
        figures=figures,
    )
    if crate is not None:
        study = Study(
            title=section.title,
            tables=[scores, summary, comparison],
            report=output,
            runs=runs,
            stores=store,
            manifests=manifest or [],
            config=config,
            workflow=workflow,
            engine=engine,
        )
        write_crate(crate, study, made)


@app.command()
def predict(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, NIfTI volumes, CSV tables with a column `image`, or folders of these "
            "or of one DICOM series."
        ),
    ],
    weights: Annotated[
        list[Path], typer.Option(help="Trained weights; repeatable for an ensemble.")
    ],
    output: Annotated[
        Path, typer.Option(help="The folder of results; finished inputs are skipped.")
    ],
    samples: Annotated[int, typer.Option(min=1, max=256, help="Samples of each image.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    tiles: Annotated[
        bool,
        typer.Option("--tiles", help="Cut images of another size into tiles; do not scale them."),
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            help="For weights of crops of CT slices: a place, mm:x,y,z or voxel:x,y,z, or a CSV "
            "with the columns x, y, z and unit."
        ),
    ] = None,
    dicom_seg: Annotated[
        bool,
        typer.Option("--dicom-seg", help="Write label maps of a DICOM series as DICOM SEG, too."),
    ] = False,
    sampling_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes of the network for a sample of a model that draws in steps (ccdm), at "
            "most its diffusion steps, which are the default.",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Draw samples for images of your own: research use, no medical device."""
    lease_gpu(device)  # before torch is imported

    from probunet.predict.results import predict as predict_inputs

    predict_inputs(
        inputs,
        weights,
        output,
        n=samples,
        seed=seed,
        tiles=tiles,
        at=at,
        seg=dicom_seg,
        sampling_steps=sampling_steps,
        device=device,
        threads=threads,
    )


@app.command()
def image(
    kind: Annotated[Kind, typer.Argument(help="The kind of steps: with torch, or without (data).")],
    output: Annotated[Path, typer.Option(help="The container image to write, <kind>.sif.")],
    project: Annotated[Path, typer.Option(help="The project's root.")] = Path(),
    cache: Annotated[
        Path, typer.Option(help="The folder for the last container image of each kind.")
    ] = Path("containers/cache"),
    argument: Annotated[
        list[str] | None,
        typer.Option(help="An argument of the definition file, name=value; repeatable."),
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="A path that the build can read; repeatable.")
    ] = None,
) -> None:
    """Build a container image with Apptainer."""
    from probunet.workflow.containers import build_image

    pairs = [text.partition("=") for text in argument or []]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise ProbunetError(f"--argument {bad[0]}: must have the form name=value.")
    arguments = {name: value for name, _, value in pairs}
    build_image(kind, project, output, cache, arguments, bind or [])


def main() -> None:
    """Run the command; print a ProbunetError as one line and exit with its code."""
    _use_utf8()
    _wait_passively()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("probunet").setLevel(logging.INFO)
    command = _command(sys.argv[1:])
    with recorded(command) if command else nullcontext():
        try:
            app()
        except ProbunetError as error:
            print(f"probunet: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except Exception as error:
            if not lacks_memory(error):
                raise
            asked = f" ({printable(error)})" if str(error) else ""
            advice = "use a machine with more memory, or give the job more (mem_mb of its rule)"
            print(f"probunet: {command}: out of memory{asked}; {advice}.", file=sys.stderr)
            sys.exit(1)


class _Printable(logging.Formatter):
    """A message is one line, whatever names and servers say."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode, if the locale has another encoding.

    It holds for names, files, standard streams and worker processes; else a name that one locale
    reads is another file in the next.
    """
    if sys.flags.utf8_mode or codecs.lookup(sys.getfilesystemencoding()).name == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"  # for worker processes
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _wait_passively() -> None:
    """Let torch's threads sleep while they wait for each other, unless the user chose otherwise.

    Threads that spin take the processor from those that they wait for, as soon as another process
    keeps a core busy (`benchmarks/shared_machine.py`). OpenMP reads this when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise ProbunetError(f"{option} is missing; add it to the command.")
    return path


def _part(part: int | None, parts: int | None) -> tuple[int, int] | None:
    """Return the number of the part and of all parts; None without parts."""
    if part is None and parts is None:
        return None
    if part is None or parts is None or part >= parts:
        raise ProbunetError("--part and --parts must be set together, with --part below --parts.")
    return part, parts


def _how_to_fetch(
    connections: int | None,
    megabytes_per_second: int | None,
    retries: int | None,
    timeout: int | None,
) -> "Fetch":
    """Return the settings of downloads; None stands for the default."""
    from probunet.config import Fetch, check

    options = {
        "connections": connections,
        "megabytes_per_second": megabytes_per_second,
        "retries": retries,
        "timeout": timeout,
    }
    return check(Fetch, {k: v for k, v in options.items() if v is not None}, "options of fetch")


def _command(arguments: list[str]) -> str | None:
    """Return the command's words; None if only help is requested."""
    groups = {group.name for group in app.registered_groups}
    words = arguments[: 2 if arguments[:1] and arguments[0] in groups else 1]
    named = words and words[-1] not in groups and not words[-1].startswith("-")
    return " ".join(words) if named and "--help" not in arguments else None
