"""Make the store of a data set, in one job or in several that run in parallel.

Each image is read once and written in whole shards at its planned place. If some images turn out
to be unusable, rows are copied to close the gaps, and nothing is read again. With several jobs,
each writes a part with a contiguous share of the plan, and joining the parts copies rows as well.
So the bytes of the store depend neither on the number of parts nor on that of workers.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np

from probunet.errors import ProbunetError
from probunet.files import locked, remove, written_whole
from probunet.manifest import Unusable
from probunet.prepare.cluster import local_workers, run_tasks
from probunet.prepare.plan import Item, ItemT, Plan, Read, describe_reasons, usable
from probunet.store import (
    MAKE_AGAIN,
    SHARD,
    Part,
    PartAttributes,
    create_part,
    open_part,
    read_rows,
    seal,
    seal_part,
    take_images,
    write_shard,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")


def prepare(plan: Plan[ItemT], output: Path, workers: int = 1, on_error: str = "stop") -> None:
    """Make the store of a plan in one job, with `workers` processes.

    Unusable images are left out, and counted by reason in the store's attributes. `on_error` says
    what to do about a subject without a usable image: `stop`, or `skip` the subject.

    Raises
    ------
    ProbunetError
        If no image can be used, a subject has no usable image, or the disk is full.
    """
    plan.check(on_error)  # before any image is read
    with _output(output, workers) as (pool, aside):
        fill_store(pool, plan, aside, on_error)


def prepare_part(plan: Plan[ItemT], output: Path, part: int, parts: int, workers: int = 1) -> None:
    """Make part number `part`, from 0, of `parts`; it records which images are unusable."""
    if part >= parts:
        raise ProbunetError(f"--part {part}: of {parts} parts the last is {parts - 1}.")
    described = plan.attributes().model_dump(mode="json")
    items = plan.items[shares(plan.items, parts)[part]]
    with _output(output, workers) as (pool, aside):
        bad = _read_images(pool, plan, items, aside)
        left_out = tuple(item.model_dump(mode="json") for item in bad)
        seal_part(aside, PartAttributes(part=part, parts=parts, store=described, left_out=left_out))


def join(
    plan: Plan[ItemT], parts: Sequence[Path], output: Path, workers: int = 1, on_error: str = "stop"
) -> None:
    """Make the store from all of its parts, without reading an image again; as `prepare` does.

    Raises
    ------
    ProbunetError
        If a part is missing, incomplete, or was made for another store; and as `prepare` does.
    """
    opened = _open_parts(plan, parts)
    left_out = [item for part in opened for item in part.attributes.left_out]
    bad = [plan.unusable.model_validate_json(json.dumps(item)) for item in left_out]
    of_parts = [plan.items[share] for share in shares(plan.items, len(parts))]
    rows = [usable(items, bad) for items in of_parts]
    _warn(plan, bad)
    with _output(output, workers) as (pool, aside):
        _create(plan.without(bad), aside, on_error)
        paths = [part.path for part in opened]
        _copy_images(pool, list(zip(paths, rows, strict=True)), aside)
        seal(aside)


@contextmanager
def _output(path: Path, workers: int) -> Iterator[tuple[Executor, Path]]:
    """Yield worker processes and the folder that becomes `path`."""
    with locked(path), written_whole(path) as aside, local_workers(workers) as pool:
        yield pool, aside


def fill_store(workers: Executor, plan: Plan[ItemT], store: Path, on_error: str = "stop") -> None:
    """Make and seal the store with these worker processes."""
    planned = store / "planned"
    bad = _read_images(workers, plan, plan.items, planned)
    _create(plan.without(bad), store, on_error)
    if bad:
        _copy_images(workers, [(planned, usable(plan.items, bad))], store)
        remove(planned)
    else:
        take_images(planned, store)
    seal(store)


def shares(items: Sequence[Item], parts: int) -> list[slice]:
    """Split into near-equal parts without dividing a subject; a part can be empty."""
    subjects = groupby(range(len(items)), key=lambda i: items[i].subject)
    starts = [next(group) for _, group in subjects] + [len(items)]
    cuts = [min(starts, key=lambda at: abs(at * parts - i * len(items))) for i in range(parts + 1)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def _read_images(
    workers: Executor, plan: Plan[ItemT], items: Sequence[ItemT], path: Path
) -> list[Unusable]:
    """Write the images of `items` to an unsealed part; return the unusable ones."""
    create_part(path, len(items), plan.create_images)
    task = partial(_read_shard, path, plan.read)
    bad: dict[str | None, Unusable] = {}  # by path: a slice can have crops in two shards
    for found in run_tasks(workers, task, _shards(items), "prepare"):
        bad |= {item.path: item for item in found}
    ordered = sorted(bad.values(), key=lambda item: (item.subject, item.place))
    _warn(plan, ordered)
    return ordered


def _read_shard(
    path: Path, read: Read[ItemT], shard: tuple[int, Sequence[ItemT]]
) -> list[Unusable]:
    number, items = shard
    images, bad = read(items)
    write_shard(path, number, **images)
    return bad


def _create(plan: Plan[ItemT], store: Path, on_error: str) -> None:
    plan.check(on_error)
    if plan.lost:
        logger.warning("%s without a usable %s: %s", plan.subjects, plan.noun, ", ".join(plan.lost))
    plan.create(store)


def _copy_images(workers: Executor, parts: Sequence[tuple[Path, list[int]]], store: Path) -> None:
    """Write the rows of all parts to an unsealed store of as many images."""
    rows = [(path, row) for path, chosen in parts for row in chosen]
    run_tasks(workers, partial(_copy_shard, store), _shards(rows), "join")


def _copy_shard(store: Path, shard: tuple[int, Sequence[tuple[Path, int]]]) -> None:
    number, rows = shard
    by_part = groupby(rows, key=itemgetter(0))
    pieces = [read_rows(path, [row for _, row in group]) for path, group in by_part]
    images = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    write_shard(store, number, **images)


def _shards(rows: Sequence[T]) -> list[tuple[int, Sequence[T]]]:
    return [(first // SHARD, rows[first : first + SHARD]) for first in range(0, len(rows), SHARD)]


def _open_parts(plan: Plan[ItemT], paths: Sequence[Path]) -> list[Part]:
    """Return the parts in order; raise ProbunetError unless all parts of the plan are there."""
    parts = sorted((open_part(path) for path in paths), key=lambda part: part.attributes.part)
    for part in parts:
        if part.attributes.parts != len(parts):
            raise ProbunetError(
                f"{part.path}: is one of {part.attributes.parts} parts, but --join has "
                f"{len(parts)}; name all parts, made with the same `--parts`."
            )
    expected = plan.attributes().model_dump(mode="json")
    for number, (part, share) in enumerate(zip(parts, shares(plan.items, len(parts)), strict=True)):
        found = part.attributes
        if found.part != number:
            raise ProbunetError(
                f"{part.path}: is part {found.part}, and part {number} is missing; name each part "
                "once."
            )
        differing = [key for key, value in expected.items() if found.store.get(key) != value]
        if differing or part.images != share.stop - share.start:
            raise ProbunetError(
                f"{part.path}: was made for another store, with different "
                f"{', '.join(differing) or 'number of images'}; {MAKE_AGAIN}"
            )
    return parts


def _warn(plan: Plan[ItemT], bad: Sequence[Unusable]) -> None:
    if bad:
        logger.warning("%ss left out%s", plan.noun, describe_reasons(bad, plan.noun))
