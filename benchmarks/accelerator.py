"""Speed, time to GED, memory and energy of the Probabilistic U-Net on a GPU, in ten minutes.

    python benchmarks/pack_crops.py crops.npz
    python benchmarks/accelerator.py crops.npz --json accelerator.json

The second command needs torch and NumPy only. Each part has a share of the time, and writes its
figures as soon as it has them: a run that is stopped keeps what it has measured, and a part that
fails or takes too long says so there. On a CPU, `--small` tests the script.
"""

import gc
import multiprocessing
import signal
import statistics
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from common import parser, write
from energy import Energy
from usual import UsualProbabilisticUNet

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from probunet.models import build
from probunet.models.device import autocast, choose_device, sent
from probunet.seeding import seed_of
from probunet.truth.augment import deform, draw_deformation, sampling_field

PARTS = ("train", "validation", "test")
TARGETS = (0.42, 0.38, 0.35)
GRADERS = 4
HEAD = {"convolutions": 3, "latent_dim": 6, "head_convolutions": 3}
# the defaults of `config.training.Augmentation`
AUGMENTATION = SimpleNamespace(
    rotation=22.5, shear=5.0, scale=0.2, elastic=2.0, elastic_grid=32, mirror=0.0
)
COMPILE = {"compiled": {}, "CUDA graphs": {"mode": "reduce-overhead"}}  # arguments of torch.compile


@dataclass(frozen=True)
class Sizes:
    """What is trained, and for how long."""

    paper: tuple[int, ...] = (32, 64, 128, 256, 512)  # channels of the LIDC network
    side: int = 128  # of its crops, pixels
    batch: int = 32
    large_batch: int = 128
    study: tuple[int, ...] = (32, 64, 128, 192)  # channels in workflow/lidc-crops.yaml
    study_side: int = 64
    seconds: float = 4  # of a measurement
    steps: int = 2000  # most, until a GED
    validation_every: int = 50
    validation_images: int = 200
    drawn: int = 64  # images to draw samples of
    beside: tuple[int, ...] = (1, 2, 4, 8)  # trainings at once


SMALL = Sizes(
    paper=(4, 8),
    side=32,
    batch=2,
    large_batch=4,
    study=(4, 8),
    study_side=16,
    seconds=0.2,
    steps=4,
    validation_every=2,
    validation_images=4,
    drawn=4,
    beside=(1, 2),
)


def main():
    options = parser(__doc__)
    options.add_argument("crops", type=Path, help="the file that pack_crops.py wrote")
    options.add_argument("--device", default="auto")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES))
    options.add_argument("--small", action="store_true", help="test the script in seconds")
    arguments = options.parse_args()
    device, sizes = choose_device(arguments.device), SMALL if arguments.small else Sizes()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # as training does
    result = about(device) | {"small": arguments.small}
    for name in arguments.parts:
        share, measure = SHARES[name]
        result[name], started = {}, time.monotonic()
        try:
            with at_most(share * 60 * arguments.minutes):
                measure(result[name], arguments.crops, device, sizes)
        except (Exception, OutOfTime) as error:  # the other parts are measured all the same
            result[name]["failed"] = f"{type(error).__name__}: {error}"[:2000]
        result[name]["seconds of this part"] = time.monotonic() - started
        if arguments.json:
            write(result, arguments.json)


def about(device):
    """Return what the figures depend on."""
    cuda = device.type == "cuda"
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "gigabytes": torch.cuda.get_device_properties(device).total_memory / 1e9 if cuda else None,
        "threads": torch.get_num_threads(),
    }


class OutOfTime(BaseException):
    """A part has used its share of the time; no `except Exception`, as compilers have, sees it."""


@contextmanager
def at_most(seconds):
    """Raise OutOfTime in the code inside if it takes longer."""

    def end(number, frame):
        raise OutOfTime(f"longer than its share, {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------ data


class Crops:
    """All crops on a device, and batches of some of them, drawn as the package draws them."""

    def __init__(self, path, device):
        with np.load(path) as packed:
            image = np.cumsum(packed["differences"], axis=-1, dtype=np.uint8)
            masks = packed["masks"]
            self.patient, self.part = packed["patient"], packed["part"]
        self.device = device
        self.image = torch.from_numpy(image)[:, None].to(device)  # (n, 1, H, W) uint8
        self.masks = torch.from_numpy(masks).to(device)  # (n, H, W), bit g = grader g

    def rows(self, part):
        """Return the positions of the crops of a part."""
        return torch.from_numpy(np.flatnonzero(self.part == PARTS.index(part)))

    def draw(self, rows, batch, side, seed, step):
        """Return images (batch, 1, side, side) float32, and the mask of a grader each, int64."""
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        chosen = torch.randint(len(rows), (batch,), generator=generator)
        grader = torch.randint(GRADERS, (batch,), generator=generator, dtype=torch.uint8)
        chosen, grader = sent(rows[chosen], self.device), sent(grader, self.device)
        deformation = draw_deformation(AUGMENTATION, batch, (side, side), generator)
        stored = self.image.shape[-2:]
        field = sampling_field(deformation.to(self.device), stored, (side, side))
        mask = self.masks[chosen] >> grader[:, None, None] & 1
        return deform(self.image[chosen].float() / 255, mask.float(), field)

    def centre(self, rows, side):
        """Return images (n, 1, side, side) float32 and masks (n, graders, side, side) bool."""
        first = (self.image.shape[-1] - side) // 2
        inside = (..., slice(first, first + side), slice(first, first + side))
        rows = sent(rows, self.device)
        graders = torch.arange(GRADERS, device=self.device, dtype=torch.uint8)
        masks = self.masks[rows][:, None] >> graders[:, None, None] & 1
        return self.image[rows][inside].float() / 255, masks[inside].bool()


# ------------------------------------------------------------------ training


class Training:
    """A training whose `step` does what a step of the package's loop does."""

    def __init__(
        self, crops, rows, channels, batch, side, *, precision, how=None, usual=False, seed=0
    ):
        self.crops, self.rows, self.seed = crops, rows, seed
        self.batch, self.side, self.precision = batch, side, precision
        architecture = {**HEAD, "channels": channels, "initialisation": "he"}
        self.model = build("probabilistic_unet", architecture, seed=seed).to(crops.device)
        self.loss, self.graphs, self.done = self.of_package, how == "CUDA graphs", 0
        self.layout = torch.channels_last if usual == "channels_last" else torch.contiguous_format
        if usual:
            self.model, self.loss = UsualProbabilisticUNet(1, 2, channels, **HEAD), self.of_usual
            self.model.to(crops.device, memory_format=self.layout)
        elif how:
            self.model.compile(**COMPILE[how])
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=5e-4, weight_decay=1e-5, fused=True
        )

    def of_package(self, image, mask, generator):
        """Return the loss of the package's model."""
        return self.model.loss(image, mask, beta=1.0, generator=generator).total

    def of_usual(self, image, mask, generator):
        """Return the loss of the model that is written the usual way."""
        noise = torch.randn(len(image), HEAD["latent_dim"], generator=generator)
        image = image.contiguous(memory_format=self.layout)
        return self.model.loss(image, mask, sent(noise, image.device), 1.0)[0]

    def step(self):
        """Train one step; return its loss, on the device."""
        self.done += 1
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        image, mask = self.crops.draw(self.rows, self.batch, self.side, self.seed, self.done)
        generator = torch.Generator().manual_seed(seed_of(self.seed, "latent", self.done))
        with autocast(self.crops.device, self.precision):
            loss = self.loss(image, mask, generator)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach().clone()  # a graph's next run overwrites its outputs

    def images_per_second(self, seconds, warm_up=5):
        """Return the speed over some seconds, after steps that prepare kernels."""
        for _ in range(warm_up):
            self.step()
        wait_for(self.crops.device)
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            for _ in range(5):  # what is asked for can run ahead of the device
                self.step()
            wait_for(self.crops.device)
            steps += 5
        return steps * self.batch / (time.perf_counter() - started)


def wait_for(device):
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def peak_memory(figures, device):
    """Add the most memory that the code inside holds on a GPU, in megabytes."""
    gc.collect()  # of what was measured before
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield
    if device.type == "cuda":
        figures["megabytes"] = torch.cuda.max_memory_allocated(device) / 1e6


def paper_training(crops, sizes, batch=None, **how):
    """Return a training of the paper's network in its LIDC setting."""
    rows = crops.rows("train")
    return Training(crops, rows, sizes.paper, batch or sizes.batch, sizes.side, **how)


# ------------------------------------------------------------------ parts


def throughput(figures, path, device, sizes):
    """Images a second and memory of the paper's network in its LIDC setting."""
    crops = Crops(path, device)
    half = {"precision": "bfloat16"}
    ways = {
        "float32": {"precision": "float32"},
        "bfloat16": half,
        "bfloat16, compiled": half | {"how": "compiled"},
        "bfloat16, CUDA graphs": half | {"how": "CUDA graphs"},
        "float32 without TF32": {"precision": "float32"},
        "usual, float32": {"precision": "float32", "usual": "as it is"},
        "usual, bfloat16": half | {"usual": "as it is"},
        "usual, bfloat16, channels_last": half | {"usual": "channels_last"},
        "bfloat16, large batch": half | {"batch": sizes.large_batch},
        "bfloat16, compiled, large batch": half | {"how": "compiled", "batch": sizes.large_batch},
    }
    for name, way in ways.items():
        figures[name] = {"batch": way.get("batch", sizes.batch)}
        torch.backends.cudnn.allow_tf32 = "without TF32" not in name
        try:
            with peak_memory(figures[name], device):
                speed = paper_training(crops, sizes, **way).images_per_second(sizes.seconds)
            figures[name]["images_per_second"] = speed
        except (RuntimeError, torch.OutOfMemoryError) as error:  # a compiler, or memory, is lacking
            figures[name]["failed"] = f"{type(error).__name__}: {error}"[:500]
        finally:
            torch.backends.cudnn.allow_tf32 = True
    eager = figures["float32"].get("images_per_second")
    for one in figures.values():
        if eager and "images_per_second" in one:
            one["times_float32"] = one["images_per_second"] / eager


def synchronisation(figures, path, device, sizes):
    """Whether the host waits for the device within a step: each such wait is an error here."""
    training = paper_training(Crops(path, device), sizes, precision="bfloat16")
    for _ in range(3):
        training.step()
    if device.type != "cuda":
        figures["not measured"] = f"{device.type} does not tell"
        return
    wait_for(device)
    figures |= waits(lambda: [training.step() for _ in range(3)])


def waits(run):
    """Return whether the host waits for a GPU in a call, and where."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    except RuntimeError:
        return {"host waits within a step": True, "where": traceback.format_exc()[-2000:]}
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"host waits within a step": False}


def where_time_goes(figures, path, device, sizes):
    """Shares of a step's time: of operations, and of the kernels that they start on the device."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    there = DeviceType.CUDA if cuda else DeviceType.CPU
    training = paper_training(Crops(path, device), sizes, precision="bfloat16")
    for _ in range(5):
        training.step()
    wait_for(device)
    started = time.perf_counter()
    with profile(activities=activities) as profiled:
        for _ in range(5):
            training.step()
        wait_for(device)
    microseconds = 1e6 * (time.perf_counter() - started)
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    averages = profiled.key_averages()
    figures["milliseconds of a step, profiled"] = microseconds / 5e3
    for where, kind in {"operations": DeviceType.CPU, "kernels": there}.items():
        # kernels are on the device, and the operations that start them on the CPU
        each = {one.key[:120]: getattr(one, name) for one in averages if one.device_type == kind}
        figures[f"busy with {where}, share"] = sum(each.values()) / microseconds
        longest = sorted(each, key=each.get, reverse=True)[:25]
        figures[where] = {key: each[key] / microseconds for key in longest}


def sampling(figures, path, device, sizes):
    """Images a second, each with 16 samples, and memory."""
    crops = Crops(path, device)
    rows = crops.rows("test")[: sizes.drawn]
    image, _ = crops.centre(rows, sizes.side)
    training = paper_training(crops, sizes, precision="float32")
    for precision in ("float32", "bfloat16"):
        figures[precision] = {"images at a time": len(image)}

        def draw(precision=precision):
            generators = [torch.Generator().manual_seed(row) for row in rows.tolist()]
            with torch.no_grad(), autocast(device, precision):
                training.model.draw(image, 16, generators)
            wait_for(device)

        with peak_memory(figures[precision], device):
            draw()
            seconds = []
            while sum(seconds) < sizes.seconds:
                started = time.perf_counter()
                draw()
                seconds.append(time.perf_counter() - started)
        figures[precision]["images_per_second"] = len(image) / statistics.median(seconds)


def side_by_side(figures, path, device, sizes):
    """Images a second of several trainings of the study's network at once, a fold each."""
    context = multiprocessing.get_context("spawn")
    for count in sizes.beside:
        ready, speeds = context.Barrier(count), context.SimpleQueue()
        arguments = (path, str(device), sizes, count, ready, speeds)
        processes = [
            context.Process(target=beside, args=(fold, *arguments), daemon=True)
            for fold in range(count)
        ]
        for process in processes:
            process.start()
        try:
            for process in processes:
                process.join()
            if any(process.exitcode for process in processes):
                raise RuntimeError(f"one of {count} trainings side by side failed")
            each = [speeds.get() for _ in processes]
        finally:
            for process in processes:
                process.kill()
        figures[str(count)] = {"images_per_second": sum(each), "each": each}
        alone = figures[str(sizes.beside[0])]["images_per_second"] / sizes.beside[0]
        figures[str(count)]["times_one"] = sum(each) / alone


def beside(fold, path, device, sizes, count, ready, speeds):
    """Train a fold, beside others at the same time, and put its speed into a queue."""
    try:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
        torch.backends.cudnn.benchmark = True
        crops = Crops(path, torch.device(device))
        rows = torch.from_numpy(
            np.flatnonzero(crops.patient % count != (fold if count > 1 else -1))
        )
        training = Training(
            crops, rows, sizes.study, sizes.batch, sizes.study_side, precision="bfloat16", seed=fold
        )
        training.images_per_second(0)  # prepares kernels
        ready.wait(300)
        speeds.put(training.images_per_second(sizes.seconds, warm_up=0))
        ready.wait(300)  # the others are measured beside this one
    except BaseException:
        ready.abort()  # nobody waits for this one
        raise


def time_to_ged(figures, path, device, sizes):
    """Seconds, steps and watt-hours until a validation GED, as `benchmarks/time_to_ged.py`."""
    crops = Crops(path, device)
    order = np.random.default_rng(0).permutation(len(crops.rows("validation")))
    rows = crops.rows("validation")[order[: sizes.validation_images]]
    image, masks = crops.centre(rows, sizes.study_side)
    ways = {f"seed {seed}": {"seed": seed} for seed in range(3)}
    ways["seed 0, CUDA graphs"] = {"seed": 0, "how": "CUDA graphs"}
    for name, way in ways.items():
        figures[name] = {"reached": {}}
        energy, ended = Energy(str(device)), threading.Event()
        watcher = threading.Thread(target=watch, args=(energy, ended), daemon=True)
        watcher.start()
        try:
            with peak_memory(figures[name], device):
                train_until(figures[name], crops, image, masks, sizes, energy, **way)
        finally:
            ended.set()
            watcher.join()


def watch(energy, ended):
    """Measure energy each second until a training has ended."""
    while not ended.wait(1):
        energy.measure()


def train_until(figures, crops, image, masks, sizes, energy, **way):
    """Train until the last target, or the most steps."""
    channels, rows = sizes.study, crops.rows("train")
    training = Training(
        crops, rows, channels, sizes.batch, sizes.study_side, precision="bfloat16", **way
    )
    started, best = time.perf_counter(), float("inf")
    while training.done < sizes.steps and best > TARGETS[-1]:
        for _ in range(sizes.validation_every):
            loss = training.step()
        ged = validation_ged(training, image, masks)
        best = min(best, ged)
        seconds = time.perf_counter() - started
        figures |= {"steps": training.done, "seconds": seconds, "best_ged": best}
        figures["loss"] = loss.item()
        for target in TARGETS:
            if ged <= target:
                reached = {"steps": training.done, "seconds": seconds}
                reached["watt_hours"] = energy.watt_hours
                figures["reached"].setdefault(str(target), reached)


def validation_ged(training, image, masks):
    """Return the mean GED of 8 samples of each image."""
    generators = [torch.Generator().manual_seed(row) for row in range(len(image))]
    training.model.eval()
    with torch.no_grad(), autocast(image.device, training.precision):
        samples = training.model.draw(image, 8, generators).samples
    training.model.train()
    return ged(samples.movedim(0, 1).bool(), masks).mean().item()


def ged(samples, masks):
    """Return GED^2 of each image: samples (B, n, H, W) bool against masks (B, m, H, W) bool.

    As `probunet.metrics.ged`: d = 1 - IoU, 0 between two empty masks, pairs of itself included.
    """

    def distance(a, b):
        a, b = (one.flatten(2).float() for one in (a, b))
        shared = a @ b.movedim(1, 2)
        union = a.sum(2)[:, :, None] + b.sum(2)[:, None] - shared
        return torch.where(union > 0, 1 - shared / union, 0.0).mean((1, 2))

    between = distance(samples, masks)
    return 2 * between - distance(samples, samples) - distance(masks, masks)


# the share of the time of each part, and what measures it; in the order of their importance
SHARES = {
    "throughput": (0.32, throughput),
    "synchronisation": (0.03, synchronisation),
    "where_time_goes": (0.05, where_time_goes),
    "side_by_side": (0.2, side_by_side),
    "time_to_ged": (0.25, time_to_ged),
    "sampling": (0.08, sampling),
}


if __name__ == "__main__":
    main()
