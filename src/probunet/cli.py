"""The command `probunet`: one sub-command per verb, each a thin call into that verb's package."""

import logging
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from probunet.errors import ProbunetError
from probunet.job import recorded

if TYPE_CHECKING:
    from probunet.config import Fetch
    from probunet.prepare.plan import Plan


class _InOrder(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        return ["fetch", "prepare", "train", "sample", "score", "report", "image"]


def _group(text: str, cls: type[TyperGroup] | None = None) -> typer.Typer:
    return typer.Typer(
        help=text,
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


app = _group("The Probabilistic U-Net, from raw images to a GED table and a report.", _InOrder)
fetch = _group("Get the images, or check those that you have.")
prepare = _group("Make a data set's Zarr store, and folds over its subjects.")
score = _group("Score samples against the graders or modes; collect scores into tables.")
app.add_typer(fetch, name="fetch")
app.add_typer(prepare, name="prepare")
app.add_typer(score, name="score")


class LidcSource(StrEnum):
    """Where LIDC-IDRI's slices come from."""

    idc = "idc"
    tcia = "tcia"
    local = "local"
    phantom = "phantom"


class CityscapesSource(StrEnum):
    """Where Cityscapes' scenes come from."""

    official = "official"
    local = "local"
    phantom = "phantom"


class Slices(StrEnum):
    """Which slices of a series are downloaded."""

    outlined = "outlined"
    all = "all"


class Split(StrEnum):
    """How a data set is divided."""

    drawn = "drawn"
    official = "official"


class Kind(StrEnum):
    """Kinds of steps, each with an image of its own."""

    data = "data"
    torch = "torch"


class OnError(StrEnum):
    """What to do about a patient, city or subject without one usable image."""

    stop = "stop"
    skip = "skip"


StorePath = Annotated[Path, typer.Option(help="The data set's store.")]
FoldsPath = Annotated[Path, typer.Option(help="The file of folds.")]
SettingsText = Annotated[
    str | None,
    typer.Option(help="A config.yaml, or its sections as JSON; defaults are the paper's."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Workers = Annotated[int, typer.Option(min=1, help="Dask worker processes.")]
PartNumber = Annotated[
    int | None, typer.Option(min=0, help="Make this part of the store alone, counted from 0.")
]
Parts = Annotated[int | None, typer.Option(min=1, help="How many parts --part is one of.")]
Join = Annotated[
    list[Path] | None,
    typer.Option(help="A part: join all of them, and read no image again; repeatable."),
]


Manifest = Annotated[Path | None, typer.Option(help="The manifest to write.")]
Endpoint = Annotated[
    str | None, typer.Option(help="Ask this server, https://..., instead of the publisher's.")
]
Connections = Annotated[int | None, typer.Option(help="Connections open at once.")]
MegabytesPerSecond = Annotated[int | None, typer.Option(help="Take no more of the network.")]
Retries = Annotated[int | None, typer.Option(help="Tries in a row that may fail.")]
Timeout = Annotated[int | None, typer.Option(help="Seconds without a byte.")]


@fetch.command("lidc")
def fetch_lidc(
    manifest: Manifest = None,
    source: Annotated[
        LidcSource,
        typer.Option(
            help="idc: the Imaging Data Commons. tcia: The Cancer Imaging Archive. local: check a "
            "tree. phantom: render one."
        ),
    ] = LidcSource.idc,
    folder: Annotated[
        Path | None, typer.Option(help="Where the slices go; local: your LIDC-IDRI tree.")
    ] = None,
    patients: Annotated[
        int | None, typer.Option(min=1, max=875, help="The first so many; phantom: 24 if not told.")
    ] = None,
    slices: Annotated[
        Slices, typer.Option(help="idc, tcia: those with outlines, or all of their series.")
    ] = Slices.outlined,
    endpoint_url: Endpoint = None,
    bucket: Annotated[str, typer.Option(help="idc: the bucket's name.")] = "idc-open-data",
    connections: Connections = None,
    megabytes_per_second: MegabytesPerSecond = None,
    retries: Retries = None,
    timeout: Timeout = None,
    part: Annotated[
        int | None, typer.Option(min=0, help="Download this share alone, counted from 0.")
    ] = None,
    parts: Annotated[int | None, typer.Option(min=1, help="How many shares there are.")] = None,
    join: Annotated[
        list[Path] | None,
        typer.Option(
            help="A share's manifest: join all of them, and download nothing; repeatable."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be downloaded, and stop.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Print what this LIDC-IDRI tree lacks, and stop.")
    ] = None,
) -> None:
    """Download LIDC-IDRI's slices with outlines, or check or render some."""
    if verify is not None:
        _verify_lidc(verify)
        return
    if plan:
        _plan_lidc(source, folder, patients, slices, endpoint_url, bucket, parts or 1)
        return
    if manifest is None:
        raise ProbunetError("fetch lidc needs --manifest (or --plan, or --verify).")
    if join:
        from probunet.fetch.join import join_manifests

        join_manifests(join, manifest)
        return
    if folder is None:
        raise ProbunetError(f"--source {source} needs --folder.")
    if source is LidcSource.local:
        from probunet.fetch.local import fetch_local

        fetch_local(folder, manifest, patients)
    elif source is LidcSource.phantom:
        from probunet.fetch.phantom import fetch_phantom

        fetch_phantom(folder, manifest, patients or 24)
    else:
        share = _share(part, parts)
        _check_endpoint(endpoint_url)
        settings = _fetch_settings(connections, megabytes_per_second, retries, timeout)
        if source is LidcSource.idc:
            from probunet.fetch.idc import fetch_idc

            fetch_idc(
                folder, manifest, patients, slices.value, endpoint_url, bucket, settings, share
            )
        else:
            from probunet.fetch.tcia import fetch_tcia

            fetch_tcia(folder, manifest, patients, slices.value, endpoint_url, settings, share)


def _plan_lidc(
    source: LidcSource,
    folder: Path | None,
    patients: int | None,
    slices: Slices,
    endpoint_url: str | None,
    bucket: str,
    jobs: int,
) -> None:
    """Print what a download would move."""
    if folder is None:
        raise ProbunetError("--plan needs --folder: what is there already is not downloaded again.")
    _check_endpoint(endpoint_url)
    if source is LidcSource.idc:
        from probunet.fetch.idc import ENDPOINT
        from probunet.fetch.idc_plan import describe_plan

        address = f"{endpoint_url or ENDPOINT}/{bucket}"
        print(describe_plan(folder, patients, slices.value, address, jobs))
    elif source is LidcSource.tcia:
        from probunet.fetch import tcia
        from probunet.fetch.tcia_plan import describe_zips

        print(describe_zips(folder, patients, endpoint_url or tcia.ENDPOINT))
    else:
        print(f"LIDC-IDRI, --source {source}: nothing is downloaded")


def _verify_lidc(tree: Path) -> None:
    """Print what a tree lacks; an error if it lacks slices that are used."""
    from probunet.fetch.verify import describe_states, verify_tree

    states = verify_tree(tree)
    print(describe_states(tree, states))
    if absent := sum(len(state.faults) for state in states):
        outlined = sum(state.outlined for state in states)
        raise ProbunetError(
            f"{tree}: {absent:,} of {outlined:,} slices with outlines are missing or not usable."
        )


def _share(part: int | None, parts: int | None) -> tuple[int, int] | None:
    """Return which share of how many is meant, or None for all."""
    if part is None and parts is None:
        return None
    if part is None or parts is None or part >= parts:
        raise ProbunetError("--part and --parts go together, and --part is below --parts.")
    return part, parts


def _check_endpoint(url: str | None) -> None:
    """Raise an error if an address is none, or holds a secret."""
    from probunet.config import check_endpoint

    if url is not None:
        try:
            check_endpoint(url)
        except ValueError as error:
            raise ProbunetError(f"--endpoint-url: {error}.") from None


def _fetch_settings(
    connections: int | None,
    megabytes_per_second: int | None,
    retries: int | None,
    timeout: int | None,
) -> "Fetch":
    """Return how to download; what was not told takes the default of config.yaml."""
    from probunet.config import Fetch, check

    told = {
        "connections": connections,
        "megabytes_per_second": megabytes_per_second,
        "retries": retries,
        "timeout": timeout,
    }
    given = {name: value for name, value in told.items() if value is not None}
    return check(Fetch, given, "fetch")


@fetch.command("cityscapes")
def fetch_cityscapes(
    manifest: Manifest = None,
    source: Annotated[
        CityscapesSource,
        typer.Option(
            help="official: the publisher, with CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD of the "
            "environment. local: check a tree. phantom: draw one."
        ),
    ] = CityscapesSource.official,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the scenes go; local: your tree with leftImg8bit and gtFine."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="phantom: how many scenes.")] = 120,
    size: Annotated[
        tuple[int, int], typer.Option(min=1, help="phantom: height and width, pixels.")
    ] = (1024, 2048),
    endpoint_url: Endpoint = None,
    connections: Connections = None,
    megabytes_per_second: MegabytesPerSecond = None,
    retries: Retries = None,
    timeout: Timeout = None,
    check_login: Annotated[
        bool, typer.Option("--check-login", help="Log in to the publisher's site, and stop.")
    ] = False,
) -> None:
    """Download Cityscapes' pictures and labels, or check or draw some."""
    _check_endpoint(endpoint_url)
    settings = _fetch_settings(connections, megabytes_per_second, retries, timeout)
    if check_login:
        from probunet.fetch import cityscapes_download

        cityscapes_download.check_login(endpoint_url, settings)
        return
    if manifest is None or folder is None:
        raise ProbunetError("fetch cityscapes needs --manifest and --folder (or --check-login).")
    if source is CityscapesSource.local:
        from probunet.fetch.cityscapes import fetch_scenes

        fetch_scenes(folder, manifest)
    elif source is CityscapesSource.phantom:
        from probunet.fetch.street_phantom import fetch_street_phantom

        fetch_street_phantom(folder, manifest, images, size)
    else:
        from probunet.fetch.cityscapes_download import fetch_official

        fetch_official(folder, manifest, settings, endpoint_url)


@fetch.command("folder")
def fetch_own(
    manifest: Annotated[Path, typer.Option(help="The manifest to write.")],
    folder: Annotated[Path, typer.Option(help="Your folder: table, images and masks.")],
    dataset: Annotated[str, typer.Option(help="The data set's name.")],
    table: Annotated[str, typer.Option(help="The table in that folder, CSV.")] = "images.csv",
) -> None:
    """Check images of your own and their masks, listed in a table; copies nothing."""
    from probunet.fetch.folder import fetch_folder

    fetch_folder(folder, manifest, dataset, table)


@prepare.command("lidc")
def prepare_lidc(
    manifest: Annotated[Path | None, typer.Option(help="What fetch wrote.")] = None,
    output: Annotated[Path | None, typer.Option(help="The store, or its part, to write.")] = None,
    workers: Workers = 1,
    on_error: Annotated[
        OnError, typer.Option(help="A patient without one usable slice: stop, or skip.")
    ] = OnError.stop,
    part: PartNumber = None,
    parts: Parts = None,
    join: Join = None,
    index_only: Annotated[
        bool, typer.Option("--index-only", help="Count the crops from the annotations and stop.")
    ] = False,
) -> None:
    """DICOM slices and readers' outlines to crops of protocol kohl2018."""
    if index_only:
        from probunet.prepare.index import count_crops, describe_counts

        print(describe_counts(count_crops()))
        return
    if manifest is None or output is None:
        raise ProbunetError("prepare lidc needs --manifest and --output (or --index-only).")
    from probunet.prepare.lidc import plan_crops

    _prepare(plan_crops(manifest), output, workers, on_error, part, parts, join)


@prepare.command("cityscapes")
def prepare_cityscapes(
    manifest: Annotated[Path, typer.Option(help="What fetch wrote.")],
    output: Annotated[Path, typer.Option(help="The store, or its part, to write.")],
    size: Annotated[
        tuple[int, int], typer.Option(min=1, help="Height and width of the scenes, pixels.")
    ] = (256, 512),
    workers: Workers = 1,
    on_error: Annotated[
        OnError, typer.Option(help="A city without one usable scene: stop, or skip.")
    ] = OnError.stop,
    part: PartNumber = None,
    parts: Parts = None,
    join: Join = None,
) -> None:
    """Pictures and labels to scenes of one size."""
    from probunet.prepare.cityscapes import plan_scenes

    _prepare(plan_scenes(manifest, size), output, workers, on_error, part, parts, join)


@prepare.command("folder")
def prepare_own(
    manifest: Annotated[Path, typer.Option(help="What fetch wrote.")],
    output: Annotated[Path, typer.Option(help="The store, or its part, to write.")],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(min=1, help="Height and width, pixels; the images' own if not told."),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Values that become 0 and 1; chosen by fetch if not told."),
    ] = None,
    multiple_of: Annotated[
        int, typer.Option(min=1, help="Refuse images whose sides are not multiples of this.")
    ] = 1,
    workers: Workers = 1,
    on_error: Annotated[
        OnError, typer.Option(help="A subject without one usable image: stop, or skip.")
    ] = OnError.stop,
    part: PartNumber = None,
    parts: Parts = None,
    join: Join = None,
) -> None:
    """Images of your own and their masks to images of one size."""
    from probunet.prepare.folder import plan_images

    plan = plan_images(manifest, size, window, multiple_of)
    _prepare(plan, output, workers, on_error, part, parts, join)


def _prepare(
    plan: "Plan[Any]",
    output: Path,
    workers: int,
    on_error: OnError,
    part: int | None,
    parts: int | None,
    joined: list[Path] | None,
) -> None:
    """Make the store that is planned, or a part of it, or the store from its parts."""
    from probunet.prepare.parts import join, prepare, prepare_part

    if (part is None) != (parts is None) or (part is not None and joined):
        raise ProbunetError("--part and --parts go together, and not with --join.")
    if part is not None and parts is not None:
        prepare_part(plan, output, part, parts, workers)
    elif joined:
        join(plan, joined, output, workers, on_error.value)
    else:
        prepare(plan, output, workers, on_error.value)


@prepare.command("folds")
def prepare_folds(
    store: StorePath,
    output: Annotated[Path, typer.Option(help="The file of folds to write.")],
    split: Annotated[
        Split, typer.Option(help="drawn: --folds folds. official: the publisher's split.")
    ] = Split.drawn,
    folds: Annotated[int, typer.Option(min=1, help="How many folds.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="drawn: of the draw.")] = 0,
    given: Annotated[
        Path | None,
        typer.Option(help="Your own folds: checked against the store and copied."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Refuse a store of another source.")] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse a store of another number of patients or scenes."),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(min=1, help="Refuse images of another height and width."),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Refuse images of which other values become 0 and 1."),
    ] = None,
) -> None:
    """Divide the store's patients, cities or subjects into folds; none stands on two sides."""
    from probunet.folds import Folds
    from probunet.prepare.folds import check_folds, check_origin, draw_folds, official_folds
    from probunet.store import open_data

    data = open_data(store)
    check_origin(data, source, count, size, window)
    if given is not None:
        made = Folds.read(given)
        check_folds(made, data, folds)
    elif split is Split.official:
        made = official_folds(data)
    else:
        made = draw_folds(data, folds, seed)
    made.write(output)


@app.command()
def train(
    store: StorePath,
    folds: FoldsPath,
    output: Annotated[
        Path,
        typer.Option(
            help="The run's folder, .../beta-1/fold-0/seed-0, or an ensemble member's below it."
        ),
    ],
    checkpoint: Annotated[Path, typer.Option(help="The folder that a restart resumes from.")],
    settings: SettingsText = None,
    device: Device = "auto",
    threads: Threads = None,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0, help="Minutes; saves and exits with 75 before they run out."),
    ] = None,
) -> None:
    """Train one model on one fold; resumes by itself."""
    from probunet.config import read_settings
    from probunet.run import Run
    from probunet.train.loop import train as train_run

    train_run(
        Run.parse(output.resolve().as_posix()),
        store,
        folds,
        read_settings(settings),
        output,
        checkpoint,
        device=device,
        threads=threads,
        time_limit=None if time_limit is None else 60 * time_limit,
    )


@app.command()
def sample(
    weights: Annotated[
        list[Path], typer.Option(help="Trained weights; repeatable, for an ensemble's members.")
    ],
    store: StorePath,
    folds: FoldsPath,
    output: Annotated[Path, typer.Option(help="The store of samples, in the run's folder.")],
    settings: SettingsText = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Draw segmentation hypotheses for the fold's test images."""
    from probunet.config import read_settings
    from probunet.run import Run
    from probunet.sample.draw import sample_run

    sample_run(
        weights,
        store,
        folds,
        Run.parse(output.resolve().parent.as_posix()),
        read_settings(settings),
        output,
        device=device,
        threads=threads,
    )


@score.command("run")
def score_run(
    samples: Annotated[Path, typer.Option(help="The run's store of samples.")],
    store: StorePath,
    output: Annotated[Path, typer.Option(help="The table of scores to write, Parquet.")],
    n: Annotated[list[int], typer.Option(min=1, help="Score the first n samples; repeatable.")],
) -> None:
    """GED, matched IoU, Dice, NCC and calibration of every test image of one run."""
    from probunet.score.run import score_run as score_samples

    score_samples(samples, store, output, tuple(n))


@score.command("table")
def score_table(
    scores: Annotated[list[Path], typer.Argument(help="Scores of single runs.")],
    output: Annotated[Path, typer.Option(help="One row per run and n, CSV.")],
    summary: Annotated[Path, typer.Option(help="One row per model, beta and n, CSV.")],
    comparison: Annotated[Path, typer.Option(help="One row per pair of them and n, CSV.")],
    bootstrap: Annotated[int, typer.Option(min=1, help="Resamplings of subjects.")] = 2000,
) -> None:
    """Collect runs into scores.csv and, over folds, summary.csv and comparison.csv."""
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
    config: Annotated[str, typer.Option(help="The study's configuration: a file, or JSON.")] = "{}",
    title: Annotated[str, typer.Option(help="The report's heading.")] = "Probabilistic U-Net",
    examples: Annotated[
        int, typer.Option(min=0, help="Test images in the explorer, per data set, at most.")
    ] = 300,
    megabytes: Annotated[float, typer.Option(min=5, help="The file's size, at most.")] = 15,
    logs: Annotated[Path, typer.Option(help="The folder of all jobs' logs.")] = Path("logs"),
    benchmarks: Annotated[Path, typer.Option(help="The folder of their benchmarks.")] = Path(
        "benchmarks"
    ),
    images: Annotated[Path, typer.Option(help="The folder of the images' records.")] = Path(
        "containers"
    ),
    crate: Annotated[
        Path | None, typer.Option(help="The RO-Crate to write: results/ro-crate-metadata.json")
    ] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(help="crate: a raw data set's manifest; repeatable.")
    ] = None,
    workflow: Annotated[Path, typer.Option(help="crate: the folder of the Snakefile.")] = Path(),
    engine: Annotated[str, typer.Option(help="crate: the version of Snakemake.")] = "unknown",
    figures: Annotated[
        Path | None, typer.Option(help="A folder for SVG, PDF, CSV and LaTeX: results/figures")
    ] = None,
) -> None:
    """One HTML file with what was run, the tables, the curves and the samples; and provenance."""
    from probunet.config import read_whole
    from probunet.report.build import build_report
    from probunet.report.crate import Study, write_crate
    from probunet.report.made import read_made

    settings = read_whole(config)
    made = read_made(runs, settings, logs, benchmarks, images)
    build_report(
        output,
        scores=scores,
        summary=summary,
        comparison=comparison,
        runs=runs,
        stores=store,
        config=settings,
        title=title,
        examples=examples,
        megabytes=megabytes,
        made=made,
        figures=figures,
    )
    if crate is not None:
        study = Study(
            title=title,
            tables=[scores, summary, comparison],
            report=output,
            runs=runs,
            stores=store,
            manifests=manifest or [],
            config=settings,
            workflow=workflow,
            engine=engine,
        )
        write_crate(crate, study, made)


@app.command()
def image(
    kind: Annotated[Kind, typer.Argument(help="Of which steps: those with torch, or the others.")],
    output: Annotated[Path, typer.Option(help="The image to write, <kind>.sif.")],
    project: Annotated[Path, typer.Option(help="The project's root.")] = Path(),
    cache: Annotated[Path, typer.Option(help="Keeps the last image of each kind.")] = Path(
        "containers/cache"
    ),
    argument: Annotated[
        list[str] | None, typer.Option(help="Of the definition, name=value; repeatable.")
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="What the build sees of this machine; repeatable.")
    ] = None,
) -> None:
    """Build the container image of a kind of step with Apptainer."""
    from probunet.images import build_image

    pairs = [text.partition("=") for text in argument or []]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise ProbunetError(f"--argument {bad[0]}: is not name=value.")
    arguments = {name: value for name, _, value in pairs}
    build_image(kind, project, output, cache, arguments, bind or [])


def main() -> None:
    """Run the command; a user's mistake is told in one line and exits with its own code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("probunet").setLevel(logging.INFO)
    command = _command(sys.argv[1:])
    with recorded(command) if command else nullcontext():
        try:
            app()
        except ProbunetError as error:
            print(f"probunet: {error}", file=sys.stderr)
            sys.exit(error.exit_code)


def _command(arguments: list[str]) -> str | None:
    """Return the command's words, or None where only help is asked for."""
    groups = {group.name for group in app.registered_groups}
    words = arguments[: 2 if arguments[:1] and arguments[0] in groups else 1]
    named = words and words[-1] not in groups and not words[-1].startswith("-")
    return " ".join(words) if named and "--help" not in arguments else None
