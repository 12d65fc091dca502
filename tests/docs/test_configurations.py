"""Every block of YAML in the README and docs/ is a valid configuration or profile."""

import json
import re

import pytest
import yaml

from probunet.config import check
from probunet.study import Config
from support.pages import NAMES, ROOT, blocks

ELSEWHERE = "docs/how-to/add-a-data-set.md"  # its data set exists only in test_add_a_data_set.py
PIECES = [(name, text) for name in NAMES if name != ELSEWHERE for text in blocks(name, "yaml")]
LEAST = {"datasets": {"lidc": {"source": "phantom"}}}
RULES = {
    rule
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for rule in re.findall(r"^(?:use )?rule (?:\w+ as )?(\w+)", file.read_text(), re.M)
}
OF_RULES = {"set-resources", "set-threads"}  # keys of a profile that name rules
PROFILE = OF_RULES | {"default-resources", "resources", *yaml.safe_load(
    (ROOT / "slurm/config.yaml").read_text()
)}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), PIECES)
def test_a_block_is_valid(name: str, text: str) -> None:
    piece = yaml.safe_load(text)
    if not PROFILE & piece.keys():
        check(Config, LEAST | piece, name)
        return
    assert set(piece) <= PROFILE
    named = {rule for key in OF_RULES & piece.keys() for rule in piece[key]}
    assert named <= RULES


@pytest.mark.parametrize("name", NAMES)
def test_json_is_json(name: str) -> None:
    for text in blocks(name, "json"):
        json.loads(text)
