"""The training of a run: one loop, read from top to bottom."""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from probunet.config import Settings
from probunet.errors import ProbunetError, TimeLimitError
from probunet.files import locked, remove, written_whole
from probunet.folds import Folds
from probunet.models import Model, build
from probunet.models.device import autocast, choose_device
from probunet.models.weights import WeightsInfo, load_plain, save_weights, save_whole
from probunet.run import Run
from probunet.seeding import seed_of
from probunet.store import Crops, Data, Scenes, open_data
from probunet.train.batches import Batches, load_batches
from probunet.train.checkpoint import State, digest_of, load_checkpoint, save_checkpoint
from probunet.train.log import TrainingLog
from probunet.train.stopping import Stopper
from probunet.train.validation import Subset, choose_subset, validate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What stands fixed while a run trains."""

    run: Run
    model: str  # in the registry: of an ensemble's member, a U-Net
    seed: int  # of all that is random
    settings: Settings
    device: torch.device
    data: Batches
    subset: Subset | None  # None where the fold has nothing to validate on
    store: str  # the digest of the data set's store
    digest: str  # what a checkpoint must carry to be gone on from
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
    """Train a run, going on by itself from where an earlier call was stopped or killed.

    Parameters
    ----------
    store, folds
        The data set, and which of its patients or cities train and validate.
    output
        The run's folder. When training ends it holds `weights.pt` (best on validation GED),
        `last.pt` (of the last step) and `training.jsonl`; TensorBoard's events lie in
        `tensorboard/` from the start.
    checkpoint
        A folder for what an unfinished training needs; emptied when it is finished.
    device
        "auto", "cpu", "cuda", "cuda:1" ...
    threads
        CPU threads; torch's own choice if None.
    time_limit
        Seconds from this call; training saves itself and stops before.

    Raises
    ------
    TimeLimitError
        If it stopped early, at the time limit or a SIGTERM or SIGINT; the same call goes on.
    ProbunetError
        If an input is wrong, another process trains this run, or the loss is not finite.
    """
    stopper = Stopper(time_limit)
    with locked(output), stopper.listening():
        task = _prepare(run, store, folds, settings, output, checkpoint, device, threads)
        model = build(
            task.model,
            settings.architecture_of(task.model),
            in_channels=task.data.in_channels,
            classes=task.data.classes,
            seed=seed_of(task.seed, "weights"),
        )
        model.to(task.device)
        optimiser = _adam(model, settings.training.weight_decay)
        state = _resume(task, model, optimiser)
        if settings.training.compile is True or (
            settings.training.compile == "auto" and task.device.type == "cuda"
        ):
            model.compile()
        log = checkpoint / "training.jsonl"
        with TrainingLog(log, output / "tensorboard", state.step, settings.training.steps) as lines:
            _optimise(task, model, optimiser, state, lines, stopper)
        _finish(task, model, state)


def _optimise(
    task: Task,
    model: Model,
    optimiser: torch.optim.Optimizer,
    state: State,
    log: TrainingLog,
    stopper: Stopper,
) -> None:
    """Train until the last step, or raise `TimeLimitError` with everything saved."""
    training, seed = task.settings.training, task.seed
    latest, saved = task.checkpoint / "latest.pt", -1
    logged = time.monotonic()
    while True:
        # validate, and keep the best weights
        last = state.step == training.steps
        due = state.validated < state.step and (last or state.step % training.validation_every == 0)
        if due and task.subset is not None:
            scores = validate(model, task.subset, task.settings, seed, stopper)
            if scores is not None:
                state.validated, state.ged = state.step, scores[0]
                log.write(state.step, validation_ged=scores[0], validation_diversity=scores[1])
                if scores[0] < state.best_ged:
                    state.best_step, state.best_ged = state.step, scores[0]
                    save_weights(task.checkpoint / "best.pt", model, _info(task, state))

        # save, and stop if asked to
        stop = stopper()
        if stop or (saved != state.step and state.step % training.checkpoint_every == 0):
            with stopper.saving():
                save_checkpoint(latest, model, optimiser, state, task.digest)
            saved = state.step
        if stop:
            raise TimeLimitError(
                f"{task.output}: stopped at step {state.step} of {training.steps} "
                f"({stopper.reason}); saved, and the same command goes on from there."
            )
        if last:
            return

        # one gradient step
        step = state.step + 1
        rate = learning_rate(step, training.steps, training.learning_rates)
        for group in optimiser.param_groups:
            group["lr"] = rate
        image, mask = task.data.draw(seed, step)
        generator = torch.Generator().manual_seed(seed_of(seed, "latent", step))
        with autocast(task.device, training.precision):
            loss = model.loss(image, mask, beta=task.run.beta, generator=generator)
        values = torch.stack(loss).tolist()  # ahead of backward: an accelerator stays busy
        if not all(math.isfinite(value) for value in values):
            raise _not_finite(task, step, rate, values)
        optimiser.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        state.step = step

        # log the mean since the last line
        state.recent.append((values[0], values[1], values[2]))
        log.step()
        if step % training.log_every == 0 or step == training.steps:
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


def learning_rate(step: int, steps: int, rates: tuple[float, ...]) -> float:
    """Return the learning rate of a step, counted from 1: phases of equal length.

    >>> [learning_rate(step, 4, (0.1, 0.01)) for step in (1, 2, 3, 4)]
    [0.1, 0.1, 0.01, 0.01]
    """
    return rates[(step - 1) * len(rates) // steps]


def trained_model(run: Run) -> str:
    """Return the registry's name of what a run trains: of an ensemble's member, a U-Net.

    >>> trained_model(Run.parse("lidc/unet_ensemble/beta-1/fold-0/seed-0/member-3"))
    'unet'

    Raises
    ------
    ProbunetError
        If the run is a whole ensemble, or a member of what is none.
    """
    ensemble = run.model == "unet_ensemble"
    if ensemble and run.member is None:
        raise ProbunetError(
            f"{run.folder}: an ensemble is trained member by member, each a run of its own; train "
            f"{run.folder}/member-0 and so on."
        )
    if not ensemble and run.member is not None:
        raise ProbunetError(f"{run.folder}: {run.model} has no members; leave out the last part.")
    return "unet" if ensemble else run.model


def training_seed(run: Run) -> int:
    """Return the seed of all that is random in a training: each member has one of its own."""
    return run.seed if run.member is None else seed_of(run.seed, "member", run.member)


def _prepare(
    run: Run,
    store: Path,
    folds: Path,
    settings: Settings,
    output: Path,
    checkpoint: Path,
    device: str,
    threads: int | None,
) -> Task:
    """Return the task, its data on the device."""
    model, seed = trained_model(run), training_seed(run)
    where = choose_device(device, threads)
    _make_deterministic(where)
    data, all_folds = open_data(store), Folds.read(folds)
    _check_size(data, len(settings.architecture_of(model)["channels"]))
    train_rows = data.rows_of(all_folds.subjects(run.fold, "train"))
    validation_rows = data.rows_of(all_folds.subjects(run.fold, "validation"))
    if len(train_rows) == 0:
        raise ProbunetError(
            f"{folds}: fold {run.fold}: not one image of {store} is of a train patient or city; "
            "were the folds drawn for another store?"
        )
    subset = choose_subset(data, validation_rows, settings, seed, where)
    if subset is None:
        logger.warning(
            "%s: fold %d has nothing to validate on: the last weights count as the best ones",
            folds,
            run.fold,
        )
    checkpoint.mkdir(parents=True, exist_ok=True)
    return Task(
        run=run,
        model=model,
        seed=seed,
        settings=settings,
        device=where,
        data=load_batches(data, train_rows, settings, where),
        subset=subset,
        store=data.digest,
        digest=digest_of(run, model, settings, data.digest, all_folds.folds[run.fold]),
        output=output,
        checkpoint=checkpoint,
    )


def _check_size(data: Data, scales: int) -> None:
    """Refuse images that cannot be halved at each scale; crops are as large as settings say."""
    stride = 2 ** (scales - 1)
    if isinstance(data, Crops) or not any(length % stride for length in data.attributes.size):
        return
    height, width = data.attributes.size
    what = "scenes" if isinstance(data, Scenes) else "images"
    raise ProbunetError(
        f"{data.path}: its {what} are {height}x{width} pixels, and {scales} scales need multiples "
        f"of {stride}; prepare them at another datasets.{data.attributes.dataset}.size, or take "
        "fewer architecture.channels."
    )


def _make_deterministic(device: torch.device) -> None:
    """Make a repeated training bit-identical, where the device can."""
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    else:
        torch.backends.cudnn.benchmark = True


def _adam(model: Model, weight_decay: float) -> torch.optim.Adam:
    """Return Adam with weight_decay * 1/2 |w|^2 in the loss, of weights and not of biases."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return torch.optim.Adam(groups, fused=True)


def _resume(task: Task, model: Model, optimiser: torch.optim.Optimizer) -> State:
    """Restore the latest checkpoint if it is of this very training; else start afresh."""
    latest = task.checkpoint / "latest.pt"
    if latest.exists():
        state = load_checkpoint(latest, model, optimiser, task.digest, task.device)
        if state is not None:
            logger.info("%s: goes on from step %d", task.output, state.step)
            return state
        logger.info(
            "%s: was made with other settings, folds or images; starts afresh", task.checkpoint
        )
    _clear(task.checkpoint)
    remove(task.output / "tensorboard")
    return State()


def _finish(task: Task, model: Model, state: State) -> None:
    """Write the run's outputs, then drop the checkpoint."""
    best, log = task.checkpoint / "best.pt", task.checkpoint / "training.jsonl"
    save_weights(task.output / "last.pt", model, _info(task, state))
    if task.subset is None:
        best, state.best_step = task.output / "last.pt", state.step
    save_whole(task.output / "weights.pt", load_plain(best))
    with written_whole(task.output / "training.jsonl") as aside:
        aside.write_bytes(log.read_bytes())
    _clear(task.checkpoint)
    logger.info("%s: done; the best weights are of step %d", task.output, state.best_step)


def _clear(checkpoint: Path) -> None:
    for name in ("latest.pt", "best.pt", "training.jsonl"):  # latest first: the others hang on it
        remove(checkpoint / name)


def _info(task: Task, state: State) -> WeightsInfo:
    return WeightsInfo(
        model=task.model,
        architecture=task.settings.architecture_of(task.model),
        in_channels=task.data.in_channels,
        classes=task.data.classes,
        window=task.data.window,
        crop=task.data.crop,
        run=task.run.folder,
        store=task.store,
        step=state.step,
        validation_ged=state.ged if task.subset is not None else None,
    )


def _not_finite(task: Task, step: int, rate: float, values: list[float]) -> ProbunetError:
    latest = task.checkpoint / "latest.pt"
    kept = f"the last good checkpoint stays in {latest}" if latest.exists() else "nothing was saved"
    return ProbunetError(
        f"{task.output}: step {step}, learning rate {rate:g}: the loss is {values[0]} "
        f"(reconstruction {values[1]}, kl {values[2]}); {kept}. "
        "Lower training.learning_rates, or look for damaged images."
    )
