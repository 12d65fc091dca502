"""The page that adds a data set: followed as written, and run by Snakemake through six verbs."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from support.pages import ROOT, blocks

from .changed import changed, probunet, python

PAGE = "docs/how-to/add-a-data-set.md"
PLATES, VIEWS, SIDE = 6, 2, 16
TINY = {
    "beta": [1],
    "architecture": {"channels": [4, 8], "convolutions": 1, "initialisation": "he"},
    "training": {
        "steps": 4,
        "batch": 2,
        "learning_rates": [1e-3],
        "validation_every": 2,
        "validation_images": 2,
        "validation_samples": 2,
    },
    "evaluation": {"samples": 4, "n": [1, 4]},
    "report": {"examples": 2},
}


def write_plates(folder: Path) -> None:
    """Write plates with a bright disc each, which the second reader outlines wider."""
    y, x = np.ogrid[:SIDE, :SIDE]
    for plate in range(1, PLATES + 1):
        for view in range(VIEWS):
            distance = np.hypot(y - 8, x - 6 - plate % 4)
            pictures = {
                "images": np.where(distance < 3, 200, 60),
                "reader_1": 255 * (distance < 3),
                "reader_2": 255 * (distance < 4),
            }
            for name, pixels in pictures.items():
                path = folder / name / f"p{plate}_{view}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.slow
def test_the_page_s_data_set_goes_through_six_verbs(tmp_path: Path) -> None:
    project = changed(PAGE, tmp_path / "changed")
    for name in ("Snakefile", "config.yaml", "workflow", "envs", "containers", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("*.sif", "cache"))
        else:
            shutil.copy2(source, project / name)
    schema = python(project, "-m", "probunet.study")  # as `make schema` does
    (project / "workflow/schemas/config.schema.json").write_text(schema)

    study = tmp_path / "study"
    write_plates(study / "plates")
    config = yaml.safe_load(blocks(PAGE, "yaml")[0])
    config["datasets"]["plates"] |= {"path": str(study / "plates"), "size": [SIDE, SIDE]}
    (study / "config.yaml").write_text(yaml.safe_dump(config | TINY))
    python(
        project, "-m", "snakemake", "--snakefile", project / "Snakefile", "--directory", study,
        "--configfile", study / "config.yaml", "--cores", "2",
    )  # fmt: skip

    scores = pd.read_csv(study / "results/scores.csv")
    assert set(scores["dataset"]) == {"plates"}
    assert set(scores["fold"].dropna()) == {0}
    trained = scores.query("model == 'probabilistic_unet'")
    assert sorted(trained["n"]) == [1, 4]
    assert trained["ged"].between(0, 2).all()
    assert set(trained["subjects"]) == {2}  # p5 and p6, the publisher's test plates
    report = (study / "results/report.html").read_text()
    assert "Plates" in report
    said = probunet(project, "fetch", "--dataset", "plates", "--plan", "--folder", study / "raw",
                    "--settings", study / "config.yaml")  # fmt: skip
    assert "nothing is downloaded" in said


def test_the_page_touches_five_files_at_most() -> None:
    diffs = "".join(blocks(PAGE, "diff"))
    edited = set(re.findall(r"^--- a/(\S+)$", diffs, re.M))
    generated = {"workflow/schemas/config.schema.json", "docs/reference/config.md"}
    assert edited == {"src/probunet/datasets/__init__.py", "src/probunet/study.py"}
    assert len(edited | generated) <= 5
