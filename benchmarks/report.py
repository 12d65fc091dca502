"""Time and memory of a full-size report: 1,992 test images, 16 samples, 8 runs; time to open it.

The study is synthetic: lesions are ellipses in noise, samples and graders are randomly changed
ellipses. `--demo` names the folder of `make demo`, whose report is built again in another folder.
Each report is opened in headless Chromium until the explorer's image is drawn.

Then time and memory of `score table` and `report` on studies of up to 350 runs, whose samples and
scores are made up: random numbers, written at once. Exponents say how a cost grows with the number
of runs; 1 is linear.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common import ROOT, exponent, parser, usage, write
from probunet.datasets.lidc.store import SIZE, Columns, CropAttributes, create_crops, open_crops
from probunet.metrics.bits import GRADERS, pack
from probunet.metrics.calibration import BINS as WIDTH
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import FURTHER, SCORES, write_tables
from probunet.scores import BINS, write_scores
from probunet.store import SHARD, SampleAttributes, seal, write_samples, write_shard

IMAGES = 1992  # the paper's test set
PER_PATIENT = 14
SAMPLES = 16
N = (1, 4, 8, 16)
CROP = 128
SIDE = 16  # of samples that are made up: reading them costs as much, and writing them little
PAIRS = (  # models and betas: 8 runs on the same images
    ("probabilistic_unet", 1.0),
    ("probabilistic_unet", 10.0),
    ("hierarchical_probabilistic_unet", 1.0),
    ("hierarchical_probabilistic_unet", 10.0),
    ("image2image_vae", 1.0),
    ("image2image_vae", 10.0),
    ("stochastic_segmentation_network", 1.0),
    ("m_heads", 1.0),
)
TABLES = ("scores", "summary", "comparison")
MANY = (44, 88, 175, 350)  # runs of the studies with made-up scores
FOLDS, SEEDS = 4, 8
TARGETS = {
    "full size": {"seconds": 180, "megabytes of memory": 2000},
    "demo": {"seconds": 20},
    "made-up scores": {"seconds": 60, "megabytes of memory": 2000},
}
LARGEST = 15  # MB, of the file
FIRST_PICTURE = 2.0  # seconds from opening
# the explorer's image is drawn when its canvas has several colours
DRAWN = """() => {
  const canvas = document.querySelector("#explorer canvas");
  if (!canvas || !canvas.width) return false;
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value, i) => i % 4 < 3 && value !== pixels[i % 4]);
}"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=IMAGES)
    options.add_argument("--demo", type=Path, help="the folder in which `make demo` has run")
    options.add_argument("--runs", type=int, nargs="*", default=MANY, help="of made-up scores")
    arguments = options.parse_args()
    figures = {}
    made_up = with_made_up_scores(arguments.runs, arguments.images) if arguments.runs else {}
    with tempfile.TemporaryDirectory() as folder:
        make_study(Path(folder), arguments.images)
        figures["full size"] = measured(Path(folder), Path(folder))
        if arguments.demo:
            Path(folder, "demo").mkdir()
            figures["demo"] = measured(arguments.demo, Path(folder, "demo"))
    result = {
        "images": arguments.images,
        "samples": SAMPLES,
        "runs": len(PAIRS),
        **figures,
        "made-up scores": made_up,
        "targets": TARGETS | {"megabytes": LARGEST, "first picture, s": FIRST_PICTURE},
    }
    write(result, arguments.json)


def measured(study: Path, output: Path) -> dict[str, float]:
    """Build the report of a study; return time, memory, size and time to open it."""
    report = output / "again" / "report.html"
    report.parent.mkdir()
    used = usage(report_command(study, report))
    return {
        **used,
        "megabytes": round(report.stat().st_size / 1e6, 2),
        "images in the explorer": images_in(report),
        "first picture, s": round(median(first_picture(report) for _ in range(3)), 2),
    }


def report_command(study: Path, report: Path) -> list[str | Path]:
    """Return the command that builds the report of a study."""
    results = study / "results"
    runs = sorted(path.parent for path in results.glob("*/*/*/*/*/scores.parquet"))
    tables = [(f"--{name}", results / f"{name}.csv") for name in TABLES]
    stores = [("--store", store) for store in sorted((study / "data").glob("*.zarr"))]
    options = [("--output", report), ("--figures", report.parent / "figures")]
    options += [("--logs", study / "logs"), ("--benchmarks", study / "benchmarks")]
    pairs = [*tables, *stores, *options]
    return ["probunet", "report", *runs, *(word for pair in pairs for word in pair)]


def images_in(report: Path) -> int:
    """Return the number of test images in the explorer of a report."""
    documents = re.findall(
        r'class="explorer-data"[^>]*>(.*?)</script>', report.read_text(encoding="utf-8")
    )
    return sum(len(json.loads(document)["images"]) for document in documents)


def first_picture(report: Path) -> float:
    """Return the time from opening a report to its first image, in seconds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        page.goto(report.resolve().as_uri(), wait_until="commit")
        page.wait_for_function(DRAWN)
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def with_made_up_scores(sizes: list[int], images: int) -> dict[str, object]:
    """Return what tables, report and RO-Crate of so many runs take, and how that grows."""
    costs: dict[str, list[dict[str, float]]] = {"score table": [], "report": []}
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder)
        runs = [
            Run("lidc", model, beta, fold, seed)
            for seed, (model, beta), fold in product(range(SEEDS * 2), PAIRS, range(FOLDS))
        ]
        random = np.random.default_rng(0)
        lesions = random.uniform((75, 75, 4, 4), (105, 105, 24, 24), (images, 4))
        store = study / "data/lidc.zarr"
        store.parent.mkdir()
        write_store(store, lesions, random)
        digest, done = open_crops(store).digest, 0
        for size in sizes:
            for run in runs[done:size]:
                make_up(study, run, digest, images, random)
            done = size
            tables = [study / "results" / f"{name}.csv" for name in TABLES]
            options = zip(("--output", "--summary", "--comparison"), tables, strict=True)
            files = sorted((study / "results").glob("*/*/*/*/*/scores.parquet"))
            words = [word for pair in options for word in pair]
            costs["score table"].append(usage(["probunet", "score", "table", *files, *words]))
            crate = ["--crate", study / "results/ro-crate-metadata.json", "--workflow", ROOT]
            report = report_command(study, study / "results/report.html")
            costs["report"].append(usage([*report, *crate]))
            costs["report"][-1]["megabytes"] = (study / "results/report.html").stat().st_size / 1e6
    return {"runs": sizes, "images of a run": images, **costs} | {
        f"exponents of {name}": {key: exponent(sizes, [one[key] for one in of]) for key in of[0]}
        for name, of in costs.items()
    }


def make_up(study: Path, run: Run, digest: str, images: int, random: np.random.Generator) -> None:
    """Write what a run leaves behind: samples of noise, random scores, logs."""
    path = study / "results" / run.folder
    path.mkdir(parents=True)
    noise = random.integers(0, 256, (images, SAMPLES, SIDE * SIDE // 8), np.uint8)
    attributes = sample_attributes(run, digest, SIDE)
    arrays = {"rows": np.arange(images), "samples": noise, "deterministic": noise[:, 0]}
    write_samples(path / "samples.zarr", attributes, arrays)
    write_scores(path / "scores.parquet", made_up_scores(run, images, random))
    for name in ("weights.pt", "last.pt"):
        (path / name).write_bytes(random.bytes(1000))
    (path / "training.jsonl").write_text("".join(training_log(random)))
    for verb in ("train", "sample", "score"):
        log = study / "logs" / verb / f"{run.folder}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        started = {"version": "0", "commit": None, "host": "made up", "started": "2026-01-01"}
        first = {"event": "start", "id": f"{verb}/{run.folder}", "command": verb} | started
        last = {"event": "end", "id": first["id"], "exit_code": 0, "seconds": 9.0, "threads": 2}
        log.write_text("".join(f"job {json.dumps(line)}\n" for line in (first, last)))


def made_up_scores(run: Run, images: int, random: np.random.Generator) -> pd.DataFrame:
    """Return random scores, as `score_run` writes them; those without a model are equal."""
    tables = []
    for predictor, n in product(("model", "deterministic", "empty", "graders"), N):
        own = random if predictor in ("model", "deterministic") else np.random.default_rng(n)
        names = pd.Index([*SCORES, *FURTHER])
        table = pd.DataFrame(own.random((images, len(names))), columns=names)
        for name in BINS:
            table[name] = [*own.integers(0, 1000, (images, WIDTH)).astype(float)]
        tables.append(table.assign(predictor=predictor, n=n, row=np.arange(images)))
    subject = [f"SYNTHETIC-{row // PER_PATIENT:04}" for row in range(images)] * len(tables)
    about = {name: getattr(run, name) for name in ("dataset", "model", "beta", "fold", "seed")}
    scores = pd.concat(tables, ignore_index=True)
    return scores.assign(subject=subject, protocol="kohl2018", split="patients", **about)


def make_study(folder: Path, images: int) -> None:
    """Write a store, eight runs on all its images, and their tables."""
    random = np.random.default_rng(0)
    store, results = folder / "data" / "lidc.zarr", folder / "results"
    store.parent.mkdir(parents=True)
    lesions = random.uniform((75, 75, 4, 4), (105, 105, 24, 24), (images, 4))
    write_store(store, lesions, random)
    digest = open_crops(store).digest
    files = []
    for i, (model, beta) in enumerate(PAIRS):
        run = Run("lidc", model, beta, 0, 0)
        path = results / run.folder
        path.mkdir(parents=True)
        write_run(path, run, digest, lesions, 0.1 + 0.03 * i, random)
        score_run(path / "samples.zarr", store, path / "scores.parquet", N)
        files.append(path / "scores.parquet")
    tables = [results / f"{name}.csv" for name in TABLES]
    write_tables(files, *tables, bootstrap=200)


def write_store(path: Path, lesions: NDArray[np.float64], random: np.random.Generator) -> None:
    """Write a store of crops of the lesions."""
    count = len(lesions)
    columns = Columns(
        patient=np.array([f"SYNTHETIC-{i // PER_PATIENT:04}" for i in range(count)]),
        series=np.array([f"2.25.{i // PER_PATIENT}" for i in range(count)]),
        z=2.5 * np.arange(count),
        lesion=np.zeros(count, np.int32),
        annotations=np.full(count, GRADERS, np.uint8),
    )
    attributes = CropAttributes(
        dataset="lidc",
        source="phantom",
        synthetic=True,
        protocol="kohl2018",
        spacing=0.5,
        outlines="none: lesions are ellipses",
        more_than_four="none",
        annotations={str(GRADERS): count},
        left_out={},
        left_out_patients=(),
        manifest_sha256="0" * 64,
        licence="CC0",
        versions={},
    )
    create_crops(path, columns, attributes)
    for shard, start in enumerate(range(0, count, SHARD)):
        some = lesions[start : start + SHARD]
        graders = np.stack([ellipses(some, 0.15, SIZE, random) for _ in range(GRADERS)])
        bits = sum(graders[g].astype(np.uint8) << g for g in range(GRADERS))
        image = random.normal(-800, 60, (len(some), SIZE, SIZE)) + 700 * graders.mean(axis=0)
        write_shard(path, shard, image=image.astype(np.int16), masks=np.asarray(bits, np.uint8))
    seal(path)


def write_run(
    path: Path,
    run: Run,
    digest: str,
    lesions: NDArray[np.float64],
    spread: float,
    random: np.random.Generator,
) -> None:
    """Write a run's samples and training log."""
    count = len(lesions)
    blocks = [lesions[start : start + SHARD] for start in range(0, count, SHARD)]
    samples = np.concatenate([pack(drawn(block, spread, random)) for block in blocks])
    attributes = sample_attributes(run, digest, CROP)
    arrays = {"rows": np.arange(count), "samples": samples, "deterministic": samples[:, 0]}
    write_samples(path / "samples.zarr", attributes, arrays)
    (path / "training.jsonl").write_text("".join(training_log(random)))


def sample_attributes(run: Run, digest: str, side: int) -> SampleAttributes:
    """Return the attributes of a run's samples of so many pixels a side."""
    return SampleAttributes(
        run=run.folder,
        classes=2,
        size=(side, side),
        samples=SAMPLES,
        store=digest,
        weights_sha256=("0" * 64,),
        weights_step=(240_000,),
        versions={},
    )


def drawn(
    lesions: NDArray[np.float64], spread: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return samples (images, n, CROP, CROP)."""
    centred = lesions - [(SIZE - CROP) / 2, (SIZE - CROP) / 2, 0, 0]
    return np.stack([ellipses(centred, spread, CROP, random) for _ in range(SAMPLES)], axis=1)


def ellipses(
    lesions: NDArray[np.float64], spread: float, side: int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return masks (images, side, side) of randomly changed lesions (row, column, two radii)."""
    y, x = np.ogrid[:side, :side]
    jitter = random.normal(0, spread, lesions.shape)
    row, column = (lesions[:, :2] + 10 * jitter[:, :2]).T[:, :, None, None]
    radii = (lesions[:, 2:] * np.exp(jitter[:, 2:])).T[:, :, None, None]
    bumps = 1 + 0.1 * np.sin(
        3 * np.arctan2(y - row, x - column)
    )  # realistic outlines are not elliptic
    masks: NDArray[np.bool_] = np.hypot((y - row) / radii[0], (x - column) / radii[1]) < bumps
    return masks


def training_log(random: np.random.Generator) -> Iterator[str]:
    """Yield the lines of a training log of the paper's length."""
    for step in range(100, 240_001, 100):
        kl = 10 * (1 - np.exp(-step / 5e3)) + random.uniform(0, 1)
        loss = 600 * np.exp(-step / 2e4) + 60 + random.normal(0, 4)
        yield json.dumps({"step": step, "loss": loss + kl, "kl": kl}) + "\n"
        if step % 2000 == 0:
            ged = 0.3 + np.exp(-step / 4e4) + random.normal(0, 0.01)
            yield json.dumps({"step": step, "validation_ged": ged}) + "\n"


if __name__ == "__main__":
    main()
