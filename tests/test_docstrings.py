"""The examples in the package's docstrings run, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import probunet

PACKAGE = Path(probunet.__file__).parent
WITH_EXAMPLES = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text()
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    module = importlib.import_module(name.removesuffix(".__init__"))
    failed, attempted = doctest.testmod(module)
    assert attempted, "an example is not in a docstring"
    assert not failed, "see the captured output"
