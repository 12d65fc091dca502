"""The trained model of a run, from the weights that were trained for it and nothing else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.models import Model, UNetEnsemble
from probunet.models.plain_unet import PlainUNet
from probunet.models.weights import WeightsInfo, load_weights
from probunet.run import Run


def load_run(
    weights: Sequence[Path],
    run: Run,
    store: str,
    window: tuple[float, float] | None,
    settings: Settings,
) -> tuple[Model, list[Path], list[WeightsInfo]]:
    """Return a run's model, its files of weights and what they are.

    Parameters
    ----------
    weights
        One file; of an ensemble all members', in any order. They are returned in the members'.
    store
        The digest of the data set's store.
    window
        Values that become 0 and 1, None where those of the type do.

    Raises
    ------
    ProbunetError
        If weights are damaged, or belong to another run, store or configuration; if one is missing
        or given twice.
    """
    if run.member is not None:
        raise ProbunetError(
            f"{run.folder}: a member alone is not sampled; give the ensemble's folder, and the "
            "weights of all members."
        )
    if run.model == "unet_ensemble":
        return _load_ensemble(weights, run, store, window, settings)
    if len(weights) != 1:
        raise ProbunetError(
            f"{run.folder}: given {len(weights)} files of weights; {run.model} has one."
        )
    model, info = load_weights(weights[0])
    _check(weights[0], info, run, run.model, store, window, settings)
    return model, [weights[0]], [info]


def _load_ensemble(
    weights: Sequence[Path],
    run: Run,
    store: str,
    window: tuple[float, float] | None,
    settings: Settings,
) -> tuple[Model, list[Path], list[WeightsInfo]]:
    """Return the ensemble of members 0 to m - 1, in this order; as `load_run` otherwise."""
    members: dict[int, tuple[Path, PlainUNet, WeightsInfo]] = {}
    given: Counter[int] = Counter()
    for path in weights:
        model, info = load_weights(path)
        number = Run.parse(info.run).member
        _check(path, info, replace(run, member=number or 0), "unet", store, window, settings)
        assert isinstance(model, PlainUNet)
        assert number is not None
        given[number] += 1
        members[number] = path, model, info
    wanted = settings.unet_ensemble.members
    for what, numbers in (
        ("missing", sorted({*range(wanted)} - {*given})),
        ("given twice", sorted(number for number, count in given.items() if count > 1)),
        ("too many", sorted({*given} - {*range(wanted)})),
    ):
        if numbers:
            raise ProbunetError(
                f"{run.folder}: unet_ensemble.members is {wanted}; {what}: the weights of "
                f"{'member' if len(numbers) == 1 else 'members'} "
                f"{', '.join(map(str, numbers))}; give each member's once, from 0 on."
            )
    ordered = [members[number] for number in range(wanted)]
    ensemble = UNetEnsemble([model for _, model, _ in ordered])
    return ensemble, [path for path, _, _ in ordered], [info for _, _, info in ordered]


def _check(
    weights: Path,
    info: WeightsInfo,
    run: Run,
    model: str,
    store: str,
    window: tuple[float, float] | None,
    settings: Settings,
) -> None:
    """Refuse weights that were not trained for this run, on this store, by these settings."""
    for what, found, expected in (
        ("run", info.run, run.folder),
        ("store", info.store, store),
        ("model", info.model, model),
        ("architecture", info.architecture, settings.architecture_of(model)),
        ("window of values", info.window and tuple(info.window), window),
    ):
        if found != expected:
            raise ProbunetError(
                f"{weights}: trained for another {what}: {found}, and not {expected}; "
                "train this run, or name the weights that belong to it."
            )
