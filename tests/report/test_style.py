import re
from pathlib import Path

import numpy as np

import probunet.report
from probunet.config import ModelName
from probunet.metrics.bits import MOST_GRADERS
from probunet.report import labels
from probunet.report.style import DASHES, MODELS, OTHERS, looks

LOOKS = 8  # colours and dashes of graders
KNOWN = [(model, 1.0) for model in ModelName.__args__]


def test_every_model_has_a_name_a_colour_and_a_marker_of_its_own() -> None:
    assert {model for model, _ in KNOWN} == set(MODELS) <= set(labels.MODELS)
    both = [*MODELS.values(), *OTHERS]
    for one in zip(*both, strict=True):
        assert len(set(one)) == len(both)
    assert all(min(bytes.fromhex(colour[1:])) < 153 for colour, _ in both)  # none is pale


def test_a_model_looks_the_same_whatever_stands_beside_it() -> None:
    alone = looks([("m_heads", 1.0)])
    assert looks(KNOWN)["m_heads", 1.0] == alone["m_heads", 1.0]
    assert alone["deterministic (m_heads)", 1.0] == alone["m_heads", 1.0]


def test_betas_share_a_colour_and_differ_in_line() -> None:
    found = looks([("probabilistic_unet", beta) for beta in (10.0, 0.1, 1.0)])
    assert len({look.colour for look in found.values()}) == 1
    assert [found["probabilistic_unet", beta].dash for beta in (0.1, 1, 10)] == list(DASHES[:3])


def test_models_of_one_s_own_differ() -> None:
    found = looks([("mine", 1.0), ("yours", 1.0), ("deterministic (mine)", 1.0), ("empty", np.nan)])
    assert found["mine", 1.0].colour != found["yours", 1.0].colour
    assert set(found) == {
        (model, 1.0) for own in ("mine", "yours") for model in (own, f"deterministic ({own})")
    }


def test_a_beta_has_one_line_whatever_the_model_and_a_single_one_is_whole() -> None:
    found = looks([("mine", 1.0), ("mine", 10.0), ("yours", 10.0), ("yours", 0.1), ("unet", 10.0)])
    assert found["mine", 10.0].dash == found["yours", 10.0].dash == DASHES[2]
    assert found["unet", 10.0].dash == DASHES[0]


def test_graders_look_the_same_everywhere_and_all_of_them_different() -> None:
    files = Path(probunet.report.__file__).parent
    sheet = re.findall(r"\.g(\d) \{\s+color: (#\w+);", (files / "report.css").read_text())
    lines = re.findall(
        r'colour: "(#\w+)", (dash: \[.*\])', (files / "explorer-drawing.js").read_text()
    )
    assert [int(grader) for grader, _ in sheet] == list(range(LOOKS))
    assert [colour for _, colour in sheet] == [colour for colour, _ in lines]
    for parts in zip(*lines, strict=True):
        assert len(set(parts)) == LOOKS
    # as `lookOf` in explorer-drawing.js has them
    both = {(g % LOOKS, (g + g // LOOKS) % LOOKS) for g in range(MOST_GRADERS)}
    assert len(both) == MOST_GRADERS
