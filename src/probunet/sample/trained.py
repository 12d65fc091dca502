"""Load a run's trained model and check that the weights belong to the run."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.models import Model, UNetEnsemble
from probunet.models.weights import WeightsInfo, read_weights
from probunet.run import Run

logger = logging.getLogger(__name__)


def load_run(
    weights: Sequence[Path],
    run: Run,
    store: str,
    window: tuple[float, float] | None,
    settings: Settings,
    subjects: str,
) -> tuple[Model, list[Path], list[WeightsInfo]]:
    """Return a run's model, its files of weights and their descriptions.

    Parameters
    ----------
    weights
        One file; for an ensemble, those of all members in any order. They are returned in the order
        of the members.
    store
        The digest of the data set's store.
    window
        The values that are scaled to 0 and 1; None for 8-bit colours.
    subjects
        The digest of the fold's subjects.

    Raises
    ------
    ProbunetError
        If weights are damaged or belong to another run, store or configuration, or if a file is
        missing or repeated.
    """
    if run.member is not None:
        raise ProbunetError(
            f"{run.folder}: a single member cannot be sampled; use the ensemble's folder and the "
            "weights of all members."
        )
    ensemble = run.model == "unet_ensemble"
    if not ensemble and len(weights) != 1:
        raise ProbunetError(
            f"{run.folder}: {run.model} needs one file of weights; --weights names {len(weights)}."
        )
    name = "unet" if ensemble else run.model
    expected = {
        "store": store,
        "model": name,
        "architecture": settings.architecture_of(name),
        "window": window,
        "subjects": subjects,
    }
    numbers, loaded = [], []
    for path in weights:
        read = read_weights(path)
        number = (Run.parse(read.info.run).member or 0) if ensemble else None
        _check(path, read.info, {"run": replace(run, member=number).folder, **expected})
        numbers.append(number)
        loaded.append((read.build(), path, read.info))
    if not ensemble:
        return loaded[0][0], [loaded[0][1]], [loaded[0][2]]
    count = settings.unet_ensemble.members
    _check_members(run, numbers, count)
    models, paths, infos = zip(*(loaded[numbers.index(i)] for i in range(count)), strict=True)
    return UNetEnsemble(models), list(paths), list(infos)


def _check(weights: Path, info: WeightsInfo, expected: dict[str, object]) -> None:
    """Raise an error if weights belong to another run, store or configuration."""
    found = vars(info) | {"window": info.window and tuple(info.window)}
    if info.subjects is None:
        logger.info("%s: of an older version, which does not say its fold's subjects", weights)
        found["subjects"] = expected["subjects"]
    for name, value in expected.items():
        if found[name] != value:
            what = "division of the subjects" if name == "subjects" else name
            raise ProbunetError(
                f"{weights}: was trained for another {what}: {found[name]}, expected {value}; "
                "train this run, or use its own weights."
            )


def _check_members(run: Run, numbers: list[int | None], count: int) -> None:
    """Raise an error if an ensemble's members are not 0 to `count` - 1, once each."""
    for problem, wrong in (
        ("missing", [i for i in range(count) if i not in numbers]),
        ("repeated", sorted({i for i in numbers if i is not None and numbers.count(i) > 1})),
        ("too many", [i for i in numbers if i not in range(count)]),
    ):
        if wrong:
            raise ProbunetError(
                f"{run.folder}: unet_ensemble.members is {count}; {problem}: the weights of "
                f"{'member' if len(wrong) == 1 else 'members'} {', '.join(map(str, wrong))}; name "
                "each member's weights once."
            )
