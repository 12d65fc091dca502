"""The lock, the conda environments and the package's metadata name the same versions."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(re.split(r"==| ;", line)[:2] for line in lines)


def test_lock_satisfies_the_metadata() -> None:
    locked = lock()
    wanted = [Requirement(text) for text in sum(EXTRAS.values(), PROJECT["dependencies"])]
    outside = [
        str(item)
        for item in wanted
        if not item.specifier.contains(locked[canonicalize_name(item.name)])
    ]
    assert outside == []


def test_lock_leaves_the_machines_own_cuda_to_torch() -> None:
    assert [name for name in lock() if re.match("nvidia|cuda|triton", name)] == []


@pytest.mark.parametrize(("kind", "extra"), [("data", []), ("torch", EXTRAS["torch"])])
def test_conda_environment_is_pinned_as_the_lock(kind: str, extra: list[str]) -> None:
    environment = yaml.safe_load((ROOT / f"envs/{kind}.yaml").read_text())
    pins = [Requirement(text) for text in environment["dependencies"][-1]["pip"]]
    wanted = {Requirement(text).name for text in PROJECT["dependencies"] + extra}
    assert {pin.name for pin in pins} == wanted
    assert all(str(pin.specifier) == f"=={lock()[pin.name]}" for pin in pins)
