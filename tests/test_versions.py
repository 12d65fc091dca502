"""The lock, the conda environments and the package's metadata name the same versions."""

import json
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


def test_lock_satisfies_the_metadata():
    locked = lock()
    wanted = [Requirement(text) for text in sum(EXTRAS.values(), PROJECT["dependencies"])]
    outside = [
        str(item)
        for item in wanted
        if not item.specifier.contains(locked[canonicalize_name(item.name)])
    ]
    assert outside == []


def test_lock_leaves_the_machines_own_cuda_to_torch():
    assert [name for name in lock() if re.match("nvidia|cuda|triton", name)] == []


def pins(name: str) -> dict[str, str]:
    """Return the versions of a lock with hashes, which every line must have."""
    text = (ROOT / "containers" / name).read_text()
    items = [item for item in re.split(r"\n(?=\S)", text) if not item.startswith("#")]
    assert all("--hash=sha256:" in item for item in items)
    return dict(re.match(r"(\S+)==(\S+)", item).groups() for item in items)  # type: ignore


KINDS = pytest.mark.parametrize(("kind", "extra"), [("data", []), ("torch", EXTRAS["torch"])])


def image(kind: str, accelerator: str = "cuda") -> dict[str, str]:
    """Return the versions in an image."""
    return pins(f"{kind}.lock") | (pins(f"{accelerator}.lock") if kind == "torch" else {})


def is_cuda(name: str) -> bool:
    return bool(re.match("nvidia|cuda|triton", name))


@KINDS
def test_image_is_pinned_as_the_lock(kind, extra):
    pinned = {name: text for name, text in image(kind).items() if not is_cuda(name)}
    assert {name: lock()[name] for name in pinned} == pinned
    wanted = PROJECT["dependencies"] + EXTRAS["build"] + extra
    assert {canonicalize_name(Requirement(text).name) for text in wanted} <= pinned.keys()
    assert f"{kind}.lock /build" in (ROOT / f"containers/{kind}.def").read_text()


def test_torch_is_in_its_own_image_with_cuda_or_without():
    assert not any(is_cuda(name) for name in image("data"))
    assert "torch" not in image("data")
    assert any(is_cuda(name) for name in image("torch", "cuda"))
    assert not any(is_cuda(name) for name in image("torch", "cpu"))
    assert image("torch", "cpu")["torch"] == image("torch", "cuda")["torch"] + "+cpu"


@KINDS
def test_conda_environment_is_pinned_as_the_image(kind, extra):
    environment = yaml.safe_load((ROOT / f"envs/{kind}.yaml").read_text())
    requirements = [Requirement(text) for text in environment["dependencies"][-1]["pip"]]
    versions = {pin.name: str(pin.specifier).removeprefix("==") for pin in requirements}
    assert versions == {name: text for name, text in image(kind).items() if not is_cuda(name)}


@KINDS
def test_image_and_conda_environment_have_one_python(kind, extra):
    definition = (ROOT / f"containers/{kind}.def").read_text()
    environment = yaml.safe_load((ROOT / f"envs/{kind}.yaml").read_text())
    python = environment["dependencies"][0].removeprefix("python=")
    assert f"base=python:{python}-slim" in definition


def test_npm_s_lock_has_the_exact_versions_and_no_host_of_a_registry():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in packages.items() if "resolved" in package] == []
