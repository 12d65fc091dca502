"""Released sets of crops through the six verbs, from their publishers' layouts to the report."""

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from probunet.datasets.lidc.series import read_series
from support.released import crop, write_hpunet_crop, write_slices_crop
from support.studies import study

SPLIT = {"train": 6, "val": 2, "test": 2}  # patients


def hpunet(root: Path) -> dict[str, Any]:
    splits = [split for split, count in SPLIT.items() for _ in range(count)]
    for number, split in enumerate(splits, start=1):
        for z in ("-1.0", "2.5"):
            write_hpunet_crop(root, split, f"LIDC-IDRI-{number:04}", z)
    return {"source": "hpunet", "path": str(root)}


def knegt(root: Path) -> dict[str, Any]:
    crops = {}
    for number, series in enumerate(list(read_series())[:10]):
        image, masks = crop(128, number)
        entry = {"image": image / 255, "masks": [*masks.astype(float)], "series_uid": series}
        crops[str(number)] = entry
    root.mkdir()
    (root / "data_lidc.pickle").write_bytes(pickle.dumps(crops))
    return {"source": "knegt", "path": str(root / "data_lidc.pickle")}


def slices(root: Path) -> dict[str, Any]:
    for number in range(6):
        write_slices_crop(root, f"LIDC-IDRI-{number:04}", 0, 0)
    return {"source": "slices", "path": str(root)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "folds", "split", "tested"),
    [
        (hpunet, 1, "published", {"4"}),
        (knegt, 1, "series", {"2"}),
        (slices, 2, "patients", {"3"}),
    ],
)
def test_a_released_set_goes_through_the_six_verbs(tmp_path, layout, folds, split, tested):
    source = layout(tmp_path / "set")
    results = study(tmp_path / "study", {"lidc": source})
    written = json.loads((results / "lidc/folds.json").read_text())
    assert (len(written["folds"]), written["split"]) == (folds, split)
    for name in ("scores", "summary"):
        with (results / f"{name}.csv").open() as file:
            table = list(csv.DictReader(file))
        found = {(row["protocol"], row["split"]) for row in table}
        assert found == {(source["source"], split)}
    with (results / "scores.csv").open() as file:
        assert {row["images"] for row in csv.DictReader(file)} == tested
    page = (results / "report.html").read_text()
    assert f"source <code>{source['source']}</code>" in page
    assert "the released set has" in page
