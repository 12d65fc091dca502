"""The images of a data set -> its store, in one job or in several that run side by side.

Each image is read once, and written in whole shards where it was planned. If some of them turn out
to be unusable those behind them move up: rows are copied, and nothing is read again. A part of
several is the same for a contiguous share of the plan, and to join them is to copy as well. So the
store's bytes depend on neither the number of parts nor that of workers.
"""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from probunet.errors import ProbunetError
from probunet.files import locked, remove, written_whole
from probunet.manifest import Unusable
from probunet.prepare.cluster import local_client, run_tasks
from probunet.prepare.left_out import told
from probunet.prepare.plan import Item, ItemT, Plan, Read, usable
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

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)
T = TypeVar("T")


def prepare(plan: Plan[ItemT], output: Path, workers: int = 1, on_error: str = "stop") -> None:
    """Make the store of a plan in one job.

    An image that cannot be used is left out and counted by reason in the store's attributes.

    Parameters
    ----------
    plan
        What to make.
    output
        The store to write, a folder.
    workers
        Processes that read images and write shards.
    on_error
        What to do about a subject with not one usable image: `stop`, or `skip` the subject.

    Raises
    ------
    ProbunetError
        If there is nothing to store, a subject has no usable image, or the disk is full.
    """
    plan.check(on_error)  # before any image is read
    with locked(output), written_whole(output) as aside, local_client(workers) as client:
        fill_store(client, plan, aside, on_error)


def prepare_part(plan: Plan[ItemT], output: Path, part: int, parts: int, workers: int = 1) -> None:
    """Make one of several parts of the store, number `part` from 0 on.

    What cannot be used is noted in the part; a subject that is lost by it is the joining job's.
    """
    if part >= parts:
        raise ProbunetError(f"--part {part}: of {parts} parts the last is {parts - 1}.")
    with locked(output), written_whole(output) as aside, local_client(workers) as client:
        fill_part(client, plan, aside, part, parts)


def join(
    plan: Plan[ItemT], parts: Sequence[Path], output: Path, workers: int = 1, on_error: str = "stop"
) -> None:
    """Make the store from all of its parts, without reading an image again; as `prepare` does.

    Raises
    ------
    ProbunetError
        If a part is missing, not whole, or was made for another store; and as `prepare` does.
    """
    opened = _open_parts(plan, parts)
    with locked(output), written_whole(output) as aside, local_client(workers) as client:
        join_parts(client, plan, opened, aside, on_error)


def fill_store(client: "Client", plan: Plan[ItemT], store: Path, on_error: str = "stop") -> None:
    """Make and seal the store with the workers of `client`; as `prepare` otherwise."""
    planned = store / "planned"
    bad = _read_images(client, plan, plan.items, planned)
    made = plan.without(bad)
    _create(made, store, on_error)
    if bad:
        _copy_images(client, [(planned, usable(plan.items, bad))], store)
        remove(planned)
    else:
        take_images(planned, store)
    seal(store)


def fill_part(client: "Client", plan: Plan[ItemT], path: Path, part: int, parts: int) -> None:
    """Make and seal a part with the workers of `client`; as `prepare_part` otherwise."""
    described = plan.attributes().model_dump(mode="json")
    share = shares(plan.items, parts)[part]
    bad = _read_images(client, plan, plan.items[share], path)
    seal_part(path, PartAttributes(part=part, parts=parts, store=described, left_out=tuple(bad)))


def join_parts(
    client: "Client", plan: Plan[ItemT], parts: Sequence[Part], store: Path, on_error: str = "stop"
) -> None:
    """Make and seal the store from parts 0 to the last; as `join` otherwise."""
    bad = [item for part in parts for item in part.attributes.left_out]
    _warn(plan, bad)
    made = plan.without(bad)
    _create(made, store, on_error)
    of_parts = [plan.items[share] for share in shares(plan.items, len(parts))]
    rows = [usable(items, bad) for items in of_parts]
    paths = [part.path for part in parts]
    _copy_images(client, list(zip(paths, rows, strict=True)), store)
    seal(store)


def shares(items: Sequence[Item], parts: int) -> list[slice]:
    """Return which items each part has: as equal shares as go without parting a subject's.

    Each cut lies where a subject's items begin, nearest to where equal shares would have it. A part
    can be empty.
    """
    subjects = groupby(range(len(items)), key=lambda i: items[i].subject)
    starts = [next(own) for _, own in subjects] + [len(items)]
    cuts = [min(starts, key=lambda at: abs(at * parts - i * len(items))) for i in range(parts + 1)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def _read_images(
    client: "Client", plan: Plan[ItemT], items: Sequence[ItemT], path: Path
) -> list[Unusable]:
    """Write the images of `items` to an unsealed part; return what cannot be used."""
    create_part(path, len(items), plan.create_images)
    task = partial(_read_shard, path, plan.read)
    bad: dict[str | None, Unusable] = {}  # a slice can have crops in two shards
    for found in run_tasks(client, task, _shards(items), "prepare"):
        bad |= {item.path: item for item in found}
    once = sorted(bad.values(), key=lambda item: (item.subject, item.place))
    _warn(plan, once)
    return once


def _read_shard(
    path: Path, read: Read[ItemT], shard: tuple[int, Sequence[ItemT]]
) -> list[Unusable]:
    number, items = shard
    images, bad = read(items)
    write_shard(path, number, **images)
    return bad


def _create(made: Plan[ItemT], store: Path, on_error: str) -> None:
    made.check(on_error)
    if made.lost:
        names = ", ".join(made.lost)
        logger.warning("%s without one usable %s: %s", made.subjects, made.noun, names)
    made.create(store)


def _copy_images(client: "Client", parts: Sequence[tuple[Path, list[int]]], store: Path) -> None:
    """Write rows of parts, one after the other, to an unsealed store of as many images."""
    rows = [(path, row) for path, chosen in parts for row in chosen]
    for _ in run_tasks(client, partial(_copy_shard, store), _shards(rows), "join"):
        pass


def _copy_shard(store: Path, shard: tuple[int, Sequence[tuple[Path, int]]]) -> None:
    number, rows = shard
    by_part = groupby(rows, key=itemgetter(0))
    pieces = [read_rows(path, [row for _, row in own]) for path, own in by_part]
    images = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    write_shard(store, number, **images)


def _shards(rows: Sequence[T]) -> list[tuple[int, Sequence[T]]]:
    return [(first // SHARD, rows[first : first + SHARD]) for first in range(0, len(rows), SHARD)]


def _open_parts(plan: Plan[ItemT], paths: Sequence[Path]) -> list[Part]:
    """Return the parts in their order; all must be there, and made for the plan's store."""
    parts = sorted((open_part(path) for path in paths), key=lambda part: part.attributes.part)
    for part in parts:
        if part.attributes.parts != len(parts):
            raise ProbunetError(
                f"{part.path}: is one of {part.attributes.parts} parts, and {len(parts)} were "
                "given; give all of them, made with the same `--parts`."
            )
    expected = plan.attributes().model_dump(mode="json")
    for number, (part, share) in enumerate(zip(parts, shares(plan.items, len(parts)), strict=True)):
        if part.attributes.part != number:
            raise ProbunetError(
                f"{part.path}: is part {part.attributes.part} where part {number} is missing; give "
                "each part once."
            )
        own = part.attributes.store
        other = [key for key, value in expected.items() if own.get(key) != value]
        if other or part.images != share.stop - share.start:
            raise ProbunetError(
                f"{part.path}: was made for another store, of another "
                f"{', '.join(other) or 'number of images'}; {MAKE_AGAIN}"
            )
    return parts


def _warn(plan: Plan[ItemT], bad: Sequence[Unusable]) -> None:
    if bad:
        logger.warning("%ss left out%s", plan.noun, told(bad, plan.noun))
