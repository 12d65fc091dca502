"""The explorer: test images with what the graders drew and what each run's samples are.

The images are data within the report, as many of them as fit; `explorer.js` draws them.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.config import WITHOUT_KL
from probunet.report import crops, labels, own, scenes
from probunet.report.choice import scored, spread
from probunet.report.runs import RunFolder
from probunet.report.view import About, View
from probunet.run import format_beta
from probunet.store import Crops, Data, Images, Samples, Scenes

SHOWN = 16  # samples per image, at most
PROBED = 12  # images that tell how large one of a data set is
BLOCK = 32  # images that are in memory at a time
# how to show a store, see `view`
KINDS: dict[type, ModuleType] = {Crops: crops, Scenes: scenes, Images: own}


@dataclass(frozen=True)
class Source:
    """A data set, its store and its runs."""

    name: str
    data: Data | None
    runs: Sequence[RunFolder]
    pairs: Sequence[tuple[str, float]]  # models and betas, the best one first


@dataclass(frozen=True)
class Explored:
    """What the page shows of one data set, and what it says of the choice."""

    name: str
    shown: int  # images
    available: int  # test images with a score
    wanted: int  # images that the configuration asks for
    document: dict[str, Any] | None  # what explorer.js reads; None: there is nothing to show

    @property
    def cut(self) -> bool:
        """Whether more images were wanted and there, and the file would have been too large."""
        return self.shown < min(self.available, self.wanted)


def explore(sources: Sequence[Source], *, examples: int, budget: int) -> list[Explored]:
    """Return the images of each data set, not picked by hand and the same for all runs of a fold.

    They are spread over the folds and over the GED of the best model there, see `choice.spread`.
    What the data sets may take is divided between them; where not all fits, fewer images are
    chosen in the same way.

    Parameters
    ----------
    sources
        The data sets, in the order in which they are offered.
    examples
        Images per data set, at most.
    budget
        Bytes of all images together, as JSON.
    """
    studies = [_study(source, examples) for source in sources]
    return [
        _explored(study, share)
        for study, share in zip(studies, _shares(studies, budget), strict=True)
    ]


@dataclass(frozen=True)
class _Study:
    """A data set on the way into the page."""

    source: Source
    usable: list[RunFolder]  # runs with samples that can be shown
    notes: list[str | None]  # by run of the source: why it cannot be, or what it lacks
    scores: dict[int, pd.DataFrame]  # by fold, of its best usable run: row, ged, subject
    wanted: int
    items: dict[tuple[int, int], str] = field(default_factory=dict)  # JSON by fold and row

    @property
    def available(self) -> int:
        return sum(len(table) for table in self.scores.values())

    def chosen(self, count: int) -> list[tuple[int, int]]:
        """Return folds and rows of `count` images, and see to it that `items` has them."""
        keys = spread(self.scores, count)
        missing = [key for key in keys if key not in self.items]
        self.items.update(_encoded(self, missing))
        return keys

    def bytes(self, keys: list[tuple[int, int]]) -> int:
        return sum(len(self.items[key]) + 1 for key in keys)


def _study(source: Source, examples: int) -> _Study:
    notes = [_unusable(run, source) for run in source.runs]
    usable = [run for run, note in zip(source.runs, notes, strict=True) if note is None]
    for k, run in enumerate(source.runs):
        if notes[k] is None and run.scores is None:
            notes[k] = "no scores of single images"
    by_rank = sorted(usable, key=lambda run: (_rank(run, source), run.run))
    scores: dict[int, pd.DataFrame] = {}
    for run in by_rank:
        if run.scores is not None and source.data is not None:
            table = scored(run.scores)
            subjects = source.data.subjects[table["row"].to_numpy()]
            scores.setdefault(run.run.fold, table.assign(subject=subjects))
    return _Study(source, usable, notes, dict(sorted(scores.items())), examples)


def _unusable(run: RunFolder, source: Source) -> str | None:
    """Return why a run's samples cannot be shown, or None."""
    if run.samples is None:
        return next(text for text in run.missing if text.startswith("no samples"))
    if source.data is None:
        return "the store of its images was not given"
    if run.samples.attributes.store != source.data.digest:
        return "its samples are of another store than the one that was given"
    sizes = [one.samples.attributes.size for one in source.runs if one.samples is not None]
    if run.samples.attributes.size != sizes[0]:
        return "its samples are of another size than those of the other runs"
    return None


def _rank(run: RunFolder, source: Source) -> int:
    pair = (run.run.model, run.run.beta)
    return source.pairs.index(pair) if pair in source.pairs else len(source.pairs)


def _shares(studies: Sequence[_Study], budget: int) -> list[int]:
    """Return what each data set may take: what it wants, or an even share of what is left."""
    needs = []
    for study in studies:
        keys = study.chosen(min(PROBED, study.wanted))
        count = min(study.wanted, study.available)
        needs.append(math.ceil(1.1 * study.bytes(keys) / len(keys) * count) if keys else 0)
    shares = [0] * len(studies)
    for done, k in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[k] = min(needs[k], budget // (len(needs) - done))
        budget -= shares[k]
    return shares


def _explored(study: _Study, share: int) -> Explored:
    count = min(study.wanted, study.available)
    probe = study.chosen(min(PROBED, count))
    if probe:
        count = min(count, int(share / study.bytes(probe) * len(probe)))
    keys = study.chosen(count)
    while (size := study.bytes(keys)) > share:
        count = min(count - 1, int(count * share / size))
        keys = study.chosen(count)
    return Explored(
        name=study.source.name,
        shown=len(keys),
        available=study.available,
        wanted=study.wanted,
        document=_document(study, keys) if keys else None,
    )


def _document(study: _Study, keys: list[tuple[int, int]]) -> dict[str, Any]:
    source = study.source
    about: About = KINDS[type(source.data)].about(source.data)
    samples = [run.samples for run in study.usable if run.samples is not None]
    order = sorted(range(len(source.runs)), key=lambda k: _rank(source.runs[k], source))
    return {
        "name": source.name,
        "title": labels.DATASETS.get(source.name, source.name),
        **asdict(about),
        "size": samples[0].attributes.size,
        "available": study.available,
        "runs": [_run(source.runs[k], k, study) for k in order],
        "images": [json.loads(study.items[key]) for key in keys],
    }


def _run(run: RunFolder, index: int, study: _Study) -> dict[str, Any]:
    """Return what the page says of a run; its segmentations stand with the images, by `index`."""
    of = run.run
    return {
        "index": index,
        "model": of.model,
        "name": labels.MODELS.get(of.model, of.model),
        "beta": None if of.model in WITHOUT_KL else format_beta(of.beta),
        "fold": of.fold,
        "seed": of.seed,
        "usable": any(run is one for one in study.usable),
        "note": study.notes[index],
        "n": None if run.scores is None else int(run.scores["n"].max()),
    }


def _encoded(study: _Study, keys: list[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Return images as JSON, by fold and row."""
    found = {}
    for fold in study.scores:
        rows = np.array(sorted(row for other, row in keys if other == fold), dtype=np.int64)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            for row, item in zip(block.tolist(), _block(study, fold, block), strict=True):
                found[fold, row] = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    return found


def _block(study: _Study, fold: int, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return these rows of the store, and what each run of the fold has drawn for them."""
    shown_as = KINDS[type(study.source.data)]
    size = next(run.samples.attributes.size for run in study.usable if run.samples is not None)
    views = shown_as.views(study.source.data, rows, size)
    items = [_image(view, row, fold) for view, row in zip(views, rows.tolist(), strict=True)]
    for index, run in enumerate(study.source.runs):
        if run.run.fold != fold or not any(run is one for one in study.usable):
            continue
        assert run.samples is not None
        values = _values(run, rows)
        for k, drawn, single in _segmentations(run.samples, rows):
            own = {"count": len(drawn)} | shown_as.drawn(views[k], drawn, single)
            items[k]["runs"][str(index)] = values.get(int(rows[k]), {}) | own
    return items


def _image(view: View, row: int, fold: int) -> dict[str, Any]:
    return {
        "row": row,
        "subject": view.subject,
        "name": view.name,
        "fold": fold,
        "area": round(view.area, 1),
        "disagreement": _rounded(view.disagreement),
        "annotations": view.annotations,
        "given": list(view.given),
        "box": view.box,
        "picture": view.picture,
        "truth": view.truth,
        "runs": {},
    }


def _values(run: RunFolder, rows: NDArray[np.int64]) -> Mapping[int, dict[str, float | None]]:
    """Return a run's GED and diversity of these rows that have any, at its greatest n."""
    if run.scores is None:
        return {}
    table = scored(run.scores)
    table = table[table["row"].isin(rows)]
    return {
        int(row): {"ged": _rounded(ged), "diversity": _rounded(diversity)}
        for row, ged, diversity in table[["row", "ged", "diversity"]].itertuples(index=False)
    }


def _segmentations(
    samples: Samples, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield the place in `rows`, samples and deterministic guess of those rows that there are."""
    places = np.flatnonzero(np.isin(rows, samples.rows))
    order = np.argsort(samples.rows)
    positions = order[np.searchsorted(samples.rows, rows[places], sorter=order)]
    if len(positions) == 0:
        return
    drawn = np.asarray(samples.samples.oindex[positions, slice(SHOWN)])
    single = np.asarray(samples.deterministic.oindex[positions])
    yield from zip(places.tolist(), drawn, single, strict=True)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)
