"""The training of a run: one loop, read from top to bottom."""

import logging
import math
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from probunet.config import DataPlace, Settings, Size
from probunet.datasets import open_data
from probunet.errors import ProbunetError, TimeLimitError
from probunet.files import link_or_copy, locked, remove, written_whole
from probunet.job import note
from probunet.models import MODELS, Loss, Model, build
from probunet.models.device import Arithmetic, autocast, choose_device, describe, memory_for
from probunet.models.weights import (
    WeightsInfo,
    load_plain,
    not_finite,
    read_weights,
    save_weights,
    save_whole,
)
from probunet.run import FINISHED, Run
from probunet.seeding import seed_of
from probunet.train.average import Average
from probunet.train.checkpoint import State, digest_of, load_checkpoint, save_checkpoint
from probunet.train.compiling import compile_model, eager, own_caches, wants_compile
from probunet.train.log import TrainingLog
from probunet.train.place import choose_place
from probunet.train.schedule import learning_rate
from probunet.train.stopping import Stopper
from probunet.train.validation import choose_subset, validate
from probunet.truth.base import Batches, Data, Subset

logger = logging.getLogger(__name__)

OUTPUTS = ("weights.pt", "last.pt", "training.jsonl")
ANYWAY = "resume-anyway"  # a file of this name lets a training go on in another arithmetic
READ_EVERY = 20  # steps between two readings of the losses from the device, at most
_ABOUT_IMAGES = (
    "set training.data to host (the machine's memory) or disk, lower "
    "training.validation_images, or choose a device with more memory (`device`)"
)


@dataclass(frozen=True)
class Task:
    """What does not change while a run trains."""

    run: Run
    model: str  # its name in the registry; for a member of an ensemble, `unet`
    seed: int  # of all random numbers
    settings: Settings
    device: torch.device
    arithmetic: Arithmetic
    data: Data
    place: DataPlace  # of the training images; no result depends on it
    batches: Batches
    subset: Subset | None  # None if the fold has no validation images
    digest: str  # a checkpoint must have the same to be resumed
    subjects: str  # digest of those of the fold
    output: Path
    checkpoint: Path


def train(
    run: Run,
    store: Path,
    folds: Path,
    settings: Settings,
    output: Path,
    checkpoint: Path,
    device: str = "auto",
    threads: int | None = None,
    time_limit: float | None = None,
) -> None:
    """Train a run; resume it if an earlier call was stopped or killed.

    Parameters
    ----------
    store, folds
        The data set, and the file that assigns its patients or cities to training and validation.
    output
        The run's folder. After training it contains `weights.pt` (best validation GED), `last.pt`
        (last step) and `training.jsonl`; TensorBoard's events are in `tensorboard/` from the
        start.
    checkpoint
        A folder for the files of an unfinished training. After training it contains the outputs
        once more, as links: if they are removed, the same call puts them back.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps" ...; see `choose_device`.
    threads
        CPU threads; torch's own choice if None.
    time_limit
        Seconds from this call; training saves a checkpoint and stops before.

    Raises
    ------
    TimeLimitError
        If training stopped early, at the time limit or on SIGTERM or SIGINT; the same call resumes
        it.
    OutOfMemoryError
        If the device or the machine lacks memory; the message names the keys to lower.
    ProbunetError
        If an input is wrong, another process trains this run, a loss is not finite, a GPU was given
        that torch cannot use, or `training.compile` is true and compiling fails.
    """
    stopper = Stopper(time_limit)
    with locked(output), stopper.listening():
        where = choose_device(device, threads)
        settings = settings.of_model(run.model)
        training = settings.training
        compiled = wants_compile(training.compile, where, bool(training.deterministic))
        logger.info("%s", describe(where, training.precision, compiled))
        with memory_for(f"{store}: reading its images", where, _ABOUT_IMAGES):
            task = _prepare(run, store, folds, settings, output, checkpoint, where)
        if _put_back(task):
            return
        model = build(
            task.model,
            settings.architecture_of(task.model),
            in_channels=task.batches.in_channels,
            classes=task.data.classes,
            seed=seed_of(task.seed, "weights"),
        )
        _check_batch(task, model)
        log = checkpoint / "training.jsonl"
        with (
            memory_for(f"{output}: training", where, _about_batches(task)),
            own_caches(checkpoint) if compiled else nullcontext(),
        ):
            if remark := model.remark(*_trained_size(task)):
                logger.warning("%s: %s", output, remark)
            note(**asdict(task.arithmetic), data=task.place)
            model.to(where)
            optimiser = _adam(model, training.weight_decay)
            average = Average(model, training.ema)
            state = _resume(task, average, optimiser)
            if compiled:
                step = partial(_differentiate, task, model)
                compile_model(model, step, training.compile)
            events = output / "tensorboard"
            with TrainingLog(log, events, state.step, training.steps) as lines:
                _optimise(task, model, average, optimiser, state, lines, stopper)
        _finish(task, average.model, state)


def _optimise(
    task: Task,
    model: Model,
    average: Average,
    optimiser: torch.optim.Optimizer,
    state: State,
    log: TrainingLog,
    stopper: Stopper,
) -> None:
    """Train until the last step, or save a checkpoint and raise `TimeLimitError`.

    Losses stay on the device and are read several at a time, because each reading waits until an
    accelerator has finished all steps. They are always read before anything is logged, validated
    or saved: no file contains results of a step whose loss is not finite.
    """
    training, seed = task.settings.training, task.seed
    latest, saved = task.checkpoint / "latest.pt", -1
    unread: list[Tensor] = []  # losses of the last steps, on the device, see `Loss`: each (3,)
    logged = time.monotonic()
    model.train()
    while True:
        # validate, and keep the best weights
        last = state.step == training.steps
        due = state.validated < state.step and (last or state.step % training.validation_every == 0)
        if due and task.subset is not None:
            _read_losses(task, state, unread)
            with eager(average.model):
                scores = validate(average.model, task.subset, task.settings, seed, stopper)
            model.train()
            if scores is not None:
                state.validated, state.ged = state.step, scores[0]
                log.write(state.step, validation_ged=scores[0], validation_diversity=scores[1])
                if scores[0] < state.best_ged:
                    state.best_step, state.best_ged = state.step, scores[0]
                    save_weights(task.checkpoint / "best.pt", average.model, _info(task, state))

        # save, and stop if asked to
        stop = stopper()
        if stop or (saved != state.step and state.step % training.checkpoint_every == 0):
            _read_losses(task, state, unread)
            with stopper.saving():
                save_checkpoint(latest, average, optimiser, state, task.digest)
            saved = state.step
        if stop:
            raise TimeLimitError(
                f"{task.output}: stopped at step {state.step} of {training.steps} "
                f"({stopper.reason}); saved; run the same command again to resume."
            )
        if last:
            return

        # one gradient step
        step = state.step + 1
        rate = learning_rate(step, training)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _loss(task, model, step)
        optimiser.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average.update(step)
        unread.append(torch.stack(loss).detach())
        state.step = step

        # log the mean since the last line
        log.step()
        logging_due = step % training.log_every == 0 or step == training.steps
        if logging_due or len(unread) == READ_EVERY:
            _read_losses(task, state, unread)
        if logging_due:
            total, reconstruction, kl = (
                sum(column) / len(state.recent) for column in zip(*state.recent, strict=True)
            )
            now = time.monotonic()
            log.write(
                step,
                loss=total,
                reconstruction=reconstruction,
                kl=kl,
                learning_rate=rate,
                seconds=now - logged,
            )
            logged = now
            state.recent.clear()


def _loss(task: Task, model: Model, step: int) -> Loss:
    """Return the loss of the batch of a step, counted from 1."""
    image, mask = task.batches.draw(task.seed, step)
    generator = torch.Generator().manual_seed(seed_of(task.seed, "latent", step))
    with autocast(task.device, task.settings.training.precision):
        return model.loss(image, mask, beta=task.run.beta, generator=generator)


def _differentiate(task: Task, model: Model) -> None:
    """Run the forward and backward pass of the first step."""
    model.train()
    _loss(task, model, 1).total.backward()  # type: ignore[no-untyped-call]


def _read_losses(task: Task, state: State, unread: list[Tensor]) -> None:
    """Move the losses of the last steps, up to `state.step`, to `state.recent`.

    Raises
    ------
    ProbunetError
        If a loss is not finite; the message names the first such step.
    """
    if not unread:
        return
    first = state.step - len(unread) + 1
    for step, values in enumerate(torch.stack(unread).tolist(), start=first):
        if not all(math.isfinite(value) for value in values):
            raise _not_finite(task, step, values)
        state.recent.append((values[0], values[1], values[2]))
    unread.clear()


def trained_model(run: Run) -> str:
    """Return the registry's name of the model that a run trains; `unet` for an ensemble's member.

    >>> trained_model(Run.parse("lidc/unet_ensemble/beta-1/fold-0/seed-0/member-3"))
    'unet'

    Raises
    ------
    ProbunetError
        If the run is a whole ensemble, or a member of a model that is no ensemble.
    """
    ensemble = run.model == "unet_ensemble"
    if ensemble and run.member is None:
        raise ProbunetError(
            f"{run.folder}: an ensemble is trained member by member, each in its own run; train "
            f"{run.folder}/member-0 and so on."
        )
    if not ensemble and run.member is not None:
        raise ProbunetError(f"{run.folder}: {run.model} has no members; leave out the last part.")
    return "unet" if ensemble else run.model


def training_seed(run: Run) -> int:
    """Return the seed of all random numbers of a training; each ensemble member has its own."""
    return run.seed if run.member is None else seed_of(run.seed, "member", run.member)


def _prepare(
    run: Run,
    store: Path,
    folds: Path,
    settings: Settings,
    output: Path,
    checkpoint: Path,
    where: torch.device,
) -> Task:
    """Return the task, with its data on the device."""
    model, seed = trained_model(run), training_seed(run)
    _make_deterministic(where, bool(settings.training.deterministic))
    settings = _graders_of(model, settings)
    data = open_data(store)
    all_folds = data.read_folds(folds)
    _check_size(data, settings, model)
    train_rows = data.rows_of(all_folds.subjects(run.fold, "train"))
    validation_rows = data.rows_of(all_folds.subjects(run.fold, "validation"))
    if len(train_rows) == 0:
        raise ProbunetError(
            f"{folds}: fold {run.fold}: no image of {store} belongs to a training patient or city; "
            "use the folds that were drawn for this store."
        )
    data.check_subjects(all_folds.folds[run.fold], folds)
    subset = choose_subset(data, validation_rows, settings, seed, where)
    if subset is None:
        logger.warning(
            "%s: fold %d has no validation images: the weights of the last step are used as best",
            folds,
            run.fold,
        )
    place = choose_place(settings.training, data.bytes_of(train_rows), where, store)
    batches = data.batches(train_rows, settings, where, place, MODELS[model].all_masks)
    _tell_of_graders(model, settings, batches, store)
    checkpoint.mkdir(parents=True, exist_ok=True)
    return Task(
        run=run,
        model=model,
        seed=seed,
        settings=settings,
        device=where,
        arithmetic=Arithmetic.of(where, settings.training.precision),
        data=data,
        place=place,
        batches=batches,
        subset=subset,
        digest=digest_of(run, model, settings, data.digest, all_folds.folds[run.fold]),
        subjects=all_folds.folds[run.fold].digest,
        output=output,
        checkpoint=checkpoint,
    )


def _graders_of(model: str, settings: Settings) -> Settings:
    """Return the settings with one mask per image if the model cannot use several at once."""
    wanted = settings.training.graders_per_image
    if wanted == 1 or MODELS[model].several_masks or MODELS[model].all_masks:
        return settings
    logger.warning(
        "training.graders_per_image: %d has no effect on %s, whose U-Net depends on the mask: it "
        "is trained on one mask per image",
        wanted,
        model,
    )
    one = settings.training.model_copy(update={"graders_per_image": 1})
    return settings.model_copy(update={"training": one})


def _tell_of_graders(model: str, settings: Settings, batches: Batches, store: Path) -> None:
    """Log how many graders a model sees that needs all of an image, if it is not as expected."""
    wanted, seen = settings.training.graders_per_image, batches.masks_per_image
    if not MODELS[model].all_masks:
        return
    if seen == 1:
        logger.warning(
            "%s: %s learns from all graders of an image at once, and sees one mask of each: it "
            "learns how graders differ from different images only (of Cityscapes, "
            "training.graders_per_image labels are drawn)",
            store,
            model,
        )
    elif wanted not in (1, seen):
        logger.warning(
            "training.graders_per_image: %d has no effect on %s, which sees all graders of an "
            "image, up to %d",
            wanted,
            model,
            seen,
        )


def _check_size(data: Data, settings: Settings, model: str) -> None:
    """Raise `ProbunetError` if whole images cannot be halved at each scale of a model."""
    scales = len(settings.architecture_of(model)["channels"])
    stride = 2 ** (scales - 1)
    height, width = data.size
    if data.crop(settings) is not None or (height % stride == 0 and width % stride == 0):
        return
    has_own = getattr(dict(settings).get(model), "channels", None) is not None
    channels = f"{model if has_own else 'architecture'}.channels"
    raise ProbunetError(
        f"{data.path}: its {data.words.images} are {height}x{width} pixels, and {scales} scales "
        f"need multiples of {stride}; choose another datasets.{data.attributes.dataset}.size, or "
        f"fewer {channels}."
    )


def _check_batch(task: Task, model: Model) -> None:
    """Raise `ProbunetError` if batch normalisation would see a single value of each channel."""
    scales = len(task.settings.architecture_of(task.model)["channels"])
    height, width = _trained_size(task)
    single = task.settings.training.batch == 1 and (height | width) >> (scales - 1) == 1
    if single and any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        raise ProbunetError(
            f"training.batch: 1: {task.model} normalises the features of a batch, whose coarsest "
            "scale is a single pixel here; choose at least 2, or fewer channels."
        )


def _trained_size(task: Task) -> Size:
    """Return height and width of the images of a batch, pixels."""
    crop = task.data.crop(task.settings)
    return task.data.size if crop is None else (crop, crop)


def _about_batches(task: Task) -> str:
    """Return what to do if there is not enough memory for a training step."""
    training = task.settings.training
    name = task.data.attributes.dataset
    side = f"datasets.{name}.size"
    if task.data.crop(task.settings) is not None:
        side = f"training.crop ({training.crop})"
    elsewhere = ", set training.data to host or disk" if task.place == "device" else ""
    return (
        f"lower training.batch ({training.batch}) or {side}{elsewhere}, or choose a larger device"
    )


def _make_deterministic(device: torch.device, wanted: bool) -> None:
    """Make repeated trainings bit-identical on a CPU, elsewhere if wanted; else the fastest."""
    if device.type == "cpu" or wanted:
        # cuBLAS gives the same bits each time only with a fixed workspace
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    else:
        torch.backends.cudnn.benchmark = True


def _adam(model: Model, weight_decay: float) -> torch.optim.Adam:
    """Return Adam with weight_decay * 1/2 |w|^2 added to the loss, for weights but not biases."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return torch.optim.Adam(groups, fused=True)


def _resume(task: Task, average: Average, optimiser: torch.optim.Optimizer) -> State:
    """Restore the latest checkpoint if it belongs to this training; else start at step 0."""
    latest = task.checkpoint / "latest.pt"
    if latest.exists():
        state = load_checkpoint(latest, average, optimiser, task.digest)
        if state is not None:
            _check_progress(task, average.model, state)
            _check_arithmetic(task, state)
            logger.info("%s: resumes from step %d", task.output, state.step)
            return state
        logger.info(
            "%s: belongs to other settings, folds or images; starts at step 0", task.checkpoint
        )
    _clear(task.checkpoint)
    remove(task.output / "tensorboard")
    return State(arithmetic=[asdict(task.arithmetic)])


def _check_arithmetic(task: Task, state: State) -> None:
    """Check that a resumed training goes on in the arithmetic of its last step, and record it.

    Raises
    ------
    ProbunetError
        If it is another, unless the file `ANYWAY` is in the checkpoint's folder.
    """
    now, anyway = task.arithmetic, task.checkpoint / ANYWAY
    if not state.arithmetic:
        logger.warning(
            "%s: an older version does not say in which precision it was trained; goes on in %s",
            task.checkpoint,
            now,
        )
    elif (before := Arithmetic.read(state.arithmetic[-1])) == now:
        return
    elif anyway.exists():
        logger.warning("%s: goes on in %s, after %s", task.checkpoint, now, before)
    else:
        raise ProbunetError(
            f"{task.checkpoint}: was trained in {before} up to step {state.step}, and would go on "
            f"in {now}; continue it on such a device with as many threads, or create the empty "
            f"file {anyway} to go on all the same."
        )
    state.arithmetic.append(asdict(now))


def _check_progress(task: Task, model: Model, state: State) -> None:
    """Check that a resumed training can be finished: its best weights are there and belong to it.

    Raises
    ------
    ProbunetError
        If they are missing, damaged or others, or if there are more steps than are trained.
    """
    steps = task.settings.training.steps
    advice = f"remove {task.checkpoint}, and the same command starts at step 0."
    if not state.step <= steps:
        raise ProbunetError(f"{task.checkpoint}: is at step {state.step} of {steps}; {advice}")
    if task.subset is None or state.best_step == 0:  # there are no best weights so far
        return
    path = task.checkpoint / "best.pt"
    lost = f"the best weights so far, of step {state.best_step}, are lost: {advice}"
    best = read_weights(path, lost)
    info, ged = best.info, best.info.validation_ged
    fits = (info.run, info.store) == (task.run.folder, task.data.digest)
    if fits and info.step > state.step and ged is not None and ged < state.best_ged:
        # the training was killed after it had saved them and before the next checkpoint
        state.best_step, state.best_ged = info.step, ged
    if not fits or info.step != state.best_step or not_finite(model, best.state):
        raise ProbunetError(
            f"{path}: has the weights of {info.run} at step {info.step}, not those of "
            f"{task.run.folder}; {lost}"
        )


def _finish(task: Task, model: Model, state: State) -> None:
    """Write the run's outputs, keep links to them, then delete the checkpoint."""
    best, log = task.checkpoint / "best.pt", task.checkpoint / "training.jsonl"
    save_weights(task.output / "last.pt", model, _info(task, state))
    if task.subset is None:
        best, state.best_step = task.output / "last.pt", state.step
    save_whole(task.output / "weights.pt", load_plain(best))
    with written_whole(task.output / "training.jsonl") as aside:
        aside.write_bytes(log.read_bytes())
    with written_whole(task.checkpoint / FINISHED) as aside:
        aside.mkdir()
        for name in OUTPUTS:
            link_or_copy(task.output / name, aside / name)
        (aside / "digest").write_text(task.digest, encoding="utf-8")
    _clear(task.checkpoint)
    logger.info("%s: done; the best weights are of step %d", task.output, state.best_step)


def _put_back(task: Task) -> bool:
    """Write the outputs of this training once more if it was finished; return whether it was.

    Snakemake removes the outputs of a step that it starts again, as after its process was killed.
    """
    finished = task.checkpoint / FINISHED
    is_whole = all((finished / name).is_file() for name in (*OUTPUTS, "digest"))
    if not is_whole or (finished / "digest").read_text(encoding="utf-8") != task.digest:
        remove(finished)
        return False
    for name in OUTPUTS:
        with written_whole(task.output / name) as aside:
            link_or_copy(finished / name, aside)
            aside.touch()  # Snakemake expects outputs that are newer than the inputs
    _clear(task.checkpoint)
    logger.info(
        "%s: was finished before; its outputs are back. To train it again, remove %s",
        task.output,
        finished,
    )
    return True


def _clear(checkpoint: Path) -> None:
    """Delete the files of an unfinished training, first the one that resuming starts from."""
    for name in ("latest.pt", "best.pt", "training.jsonl", ANYWAY):
        remove(checkpoint / name)


def _info(task: Task, state: State) -> WeightsInfo:
    """Return the description of the current weights."""
    return WeightsInfo(
        model=task.model,
        architecture=task.settings.architecture_of(task.model),
        in_channels=task.batches.in_channels,
        classes=task.data.classes,
        window=task.data.window(task.settings),
        crop=task.data.crop(task.settings),
        run=task.run.folder,
        store=task.data.digest,
        subjects=task.subjects,
        step=state.step,
        validation_ged=state.ged if task.subset is not None else None,
        arithmetic=state.arithmetic or None,
        ema=task.settings.training.ema or None,
        dataset=task.data.attributes.dataset,
        class_names=list(task.data.class_names),
        prepared=task.data.prepared(task.settings).written(),
    )


def _not_finite(task: Task, step: int, values: list[float]) -> ProbunetError:
    """Return the error about the first step whose loss is not finite."""
    training, latest = task.settings.training, task.checkpoint / "latest.pt"
    rate = learning_rate(step, training)
    kept = f"the last good checkpoint is {latest}" if latest.exists() else "nothing was saved"
    return ProbunetError(
        f"{task.output}: step {step}, learning rate {rate:g}: the loss is {values[0]} "
        f"(reconstruction {values[1]}, kl {values[2]}); {kept}. "
        "Lower training.learning_rates, or check the images for damage."
    )
