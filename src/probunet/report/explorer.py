"""The explorer: test images with the graders' segmentations and each run's samples.

The images are data within the report, as many of them as fit; `explorer.js` draws them.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.datasets import find
from probunet.metrics.sample_weights import normalised
from probunet.report import labels
from probunet.report.choice import scored, spread
from probunet.report.runs import RunFolder
from probunet.run import format_beta
from probunet.store import Samples
from probunet.truth.base import Data

SHOWN = 16  # samples per image, at most
PROBED = 12  # images from which the size of one of a data set is estimated
BLOCK = 32  # images that are in memory at a time

Key = tuple[int, int]  # of an image: fold and row of the store


@dataclass(frozen=True)
class Source:
    """A data set, its store and its runs."""

    name: str
    data: Data | None
    runs: Sequence[RunFolder]
    pairs: Sequence[tuple[str, float]]  # models and betas, the best one first


@dataclass(frozen=True)
class Explored:
    """What the page shows of one data set, and of how many images."""

    name: str
    shown: int  # images
    available: int  # test images with a score
    wanted: int  # images that the configuration asks for
    document: dict[str, Any] | None  # what explorer.js reads; None: there is nothing to show

    @property
    def cut(self) -> bool:
        """Whether the limit of the file's size leaves out images."""
        return self.shown < min(self.available, self.wanted)


def explore(sources: Sequence[Source], *, examples: int, budget: int) -> list[Explored]:
    """Return the images of each data set, not picked by hand and the same for all runs of a fold.

    They are spread over the folds and over the GED of the best model there, see `choice.spread`.
    The data sets share the budget; if not all images fit, fewer are chosen in the same way.

    Parameters
    ----------
    sources
        The data sets, in the order in which the page lists them.
    examples
        Images per data set, at most.
    budget
        Bytes of all images together, as JSON.
    """
    studies = [_Study(source, examples) for source in sources]
    needs = [math.ceil(1.1 * study.bytes_each() * study.count) for study in studies]
    found: dict[int, Explored] = {}
    for k in sorted(range(len(needs)), key=needs.__getitem__):  # the smallest first
        share = min(needs[k], budget // (len(needs) - len(found)))
        found[k] = studies[k].explored(share)
        budget -= share
    return [found[k] for k in range(len(needs))]


class _Study:
    """A data set's runs that can be shown, and its images as JSON once they are chosen."""

    def __init__(self, source: Source, wanted: int) -> None:
        self.source = source
        self.wanted = wanted
        sizes = [run.samples.attributes.size for run in source.runs if run.samples is not None]
        self.size = sizes[0] if sizes else (0, 0)
        # by run of the source: why it cannot be shown, or what it lacks
        self.notes = [self._unusable(run) for run in source.runs]
        self.usable = [k for k, note in enumerate(self.notes) if note is None]
        # by fold, the test images of its best usable run: row, ged, subject
        self.scores: dict[int, pd.DataFrame] = {}
        for k in sorted(self.usable, key=lambda k: (self._rank(k), source.runs[k].run)):
            run = source.runs[k]
            if run.scores is None:
                self.notes[k] = "no scores of single images"
            elif source.data is not None:
                table = scored(run.scores)
                subjects = source.data.subjects[table["row"].to_numpy()]
                self.scores.setdefault(run.run.fold, table.assign(subject=subjects))
        self.scores = dict(sorted(self.scores.items()))
        self.available = sum(map(len, self.scores.values()))
        self.count = min(wanted, self.available)
        self._items: dict[Key, str] = {}

    def bytes_each(self) -> float:
        """Return how large one image is, on average over a few."""
        keys = self._chosen(min(PROBED, self.count))
        return self._bytes(keys) / len(keys) if keys else 0

    def explored(self, budget: int) -> Explored:
        """Return the images that fit into so many bytes."""
        each = self.bytes_each()
        count = min(self.count, int(budget / each)) if each else 0
        keys = self._chosen(count)
        while (size := self._bytes(keys)) > budget:
            count = min(count - 1, int(count * budget / size))
            keys = self._chosen(count)
        document = self._document(keys) if keys else None
        return Explored(self.source.name, len(keys), self.available, self.wanted, document)

    def _unusable(self, run: RunFolder) -> str | None:
        """Return why a run's samples cannot be shown, or None."""
        if run.samples is None:
            return next(text for text in run.missing if text.startswith("no samples"))
        if self.source.data is None:
            return "the store of its images was not given"
        if run.samples.attributes.store != self.source.data.digest:
            return "its samples are of another store than the one that was given"
        if run.samples.attributes.size != self.size:
            return "its samples are of another size than those of the other runs"
        return None

    def _rank(self, k: int) -> int:
        """Return the place of a run's model and beta, the best one first."""
        run, pairs = self.source.runs[k].run, self.source.pairs
        pair = (run.model, run.beta)
        return pairs.index(pair) if pair in pairs else len(pairs)

    def _chosen(self, count: int) -> list[Key]:
        """Return the keys of `count` images, which are encoded now if they were not before."""
        keys = spread(self.scores, count)
        for fold in self.scores:
            rows = [row for other, row in keys if other == fold and (fold, row) not in self._items]
            for start in range(0, len(rows), BLOCK):
                block = rows[start : start + BLOCK]
                for row, item in zip(block, self._encoded(fold, np.array(block)), strict=True):
                    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
                    self._items[fold, row] = text
        return keys

    def _bytes(self, keys: list[Key]) -> int:
        return sum(len(self._items[key]) + 1 for key in keys)

    def _document(self, keys: list[Key]) -> dict[str, Any]:
        """Return what explorer.js reads."""
        data, runs = self.source.data, self.source.runs
        assert data is not None  # there are images
        return {
            "name": self.source.name,
            "title": find(self.source.name).title,
            "subject": data.words.subject,
            "subjects": data.words.subjects,
            **asdict(data.shown().about()),
            "size": self.size,
            "available": self.available,
            "runs": [self._run(k) for k in sorted(range(len(runs)), key=self._rank)],
            "images": [json.loads(self._items[key]) for key in keys],
        }

    def _run(self, k: int) -> dict[str, Any]:
        """Return what the page says of a run; its segmentations are with the images."""
        run, scores = self.source.runs[k].run, self.source.runs[k].scores
        return {
            "index": k,
            "model": run.model,
            "name": labels.model_name(run.model),
            "beta": format_beta(run.beta) if labels.has_beta(run.model) else None,
            "fold": run.fold,
            "seed": run.seed,
            "usable": k in self.usable,
            "note": self.notes[k],
            "n": None if scores is None else int(scores["n"].max()),
        }

    def _encoded(self, fold: int, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return these rows of the store, and each run's segmentations of them."""
        assert self.source.data is not None  # there are images
        shown = self.source.data.shown()
        views, own = shown.views(rows, self.size), self.source.data.extents
        items: list[dict[str, Any]] = [
            {
                "row": row,
                "subject": view.subject,
                "name": view.name,
                "fold": fold,
                "area": round(view.area, 1),
                "disagreement": _rounded(view.disagreement),
                "annotations": view.annotations,
                "given": list(view.graders),
                "box": view.box,
                "picture": view.picture,
                "truth": view.truth,
                "runs": {},
                **({} if own is None else {"size": own[row].tolist()}),
            }
            for view, row in zip(views, rows.tolist(), strict=True)
        ]
        for index in self.usable:
            run = self.source.runs[index]
            if run.run.fold != fold or run.samples is None:
                continue
            scores = _scores(run, rows)
            for k, samples, single in _segmentations(run.samples, rows):
                items[k]["runs"][str(index)] = {
                    **scores.get(int(rows[k]), {}),
                    "count": len(samples),
                    **_weights(run.samples, int(rows[k]), len(samples)),
                    **shown.drawn(views[k], samples, single),
                }
        return items


def _scores(run: RunFolder, rows: NDArray[np.int64]) -> dict[int, dict[str, float | None]]:
    """Return a run's GED and diversity of those of the rows that have any, at its greatest n."""
    if run.scores is None:
        return {}
    table = scored(run.scores).set_index("row")
    return {
        int(row): {name: _rounded(table.loc[row, name]) for name in ("ged", "diversity")}
        for row in rows
        if row in table.index
    }


def _segmentations(
    samples: Samples, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield place in `rows`, samples and deterministic guess of those rows that were sampled."""
    places = np.flatnonzero(np.isin(rows, samples.rows))
    order = np.argsort(samples.rows)
    positions = order[np.searchsorted(samples.rows, rows[places], sorter=order)]
    if len(positions) == 0:
        return
    drawn = np.asarray(samples.samples.oindex[positions, slice(SHOWN)])
    single = np.asarray(samples.deterministic.oindex[positions])
    yield from zip(places.tolist(), drawn, single, strict=True)


def _weights(samples: Samples, row: int, count: int) -> dict[str, list[float]]:
    """Return the weights of an image's first samples, on average 1; nothing if they have none."""
    if samples.sample_weights is None:
        return {}
    first = samples.sample_weights[samples.rows == row]
    return {"weights": (count * normalised(first, count)[0]).round(3).tolist()}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)
