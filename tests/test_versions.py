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


def pins(path: str) -> dict[str, str]:
    """Return the versions of a lock with hashes, which every requirement must have."""
    items = re.split(r"\n(?=\S)", (ROOT / path).read_text())
    items = [item for item in items if not item.startswith("#")]
    assert all("--hash=sha256:" in item for item in items)
    return dict(re.match(r"(\S+)==(\S+)", item).groups() for item in items)  # type: ignore


def lock() -> dict[str, str]:
    """Return the versions of everything but CUDA, which are torch's own."""
    [torch] = [Requirement(text) for text in EXTRAS["torch"] if text.startswith("torch==")]
    return pins("requirements.lock") | {"torch": str(torch.specifier).removeprefix("==")}


def test_lock_satisfies_the_metadata():
    locked = lock()
    wanted = [Requirement(text) for text in sum(EXTRAS.values(), PROJECT["dependencies"])]
    outside = [
        str(item)
        for item in wanted
        if not item.specifier.contains(locked[canonicalize_name(item.name)])
    ]
    assert outside == []


def test_lock_leaves_torch_and_its_cuda_to_the_machine():
    assert [name for name in pins("requirements.lock") if is_cuda(name) or name == "torch"] == []


def test_what_makes_the_table_of_series_is_pinned_as_the_lock():
    series = pins("workflow/scripts/lidc_series.lock")
    assert series.keys() == {"idc-index-data", "pyarrow"}
    assert series["pyarrow"] == lock()["pyarrow"]


KINDS = pytest.mark.parametrize(("kind", "extra"), [("data", []), ("torch", EXTRAS["torch"])])


def image(kind: str, accelerator: str = "cuda") -> dict[str, str]:
    """Return the versions in an image."""
    pinned = pins(f"containers/{kind}.lock")
    return pinned | (pins(f"containers/{accelerator}.lock") if kind == "torch" else {})


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
    lines = environment["dependencies"][-1]["pip"]
    assert all(" --hash=sha256:" in line for line in lines)
    versions = dict(line.split()[0].split("==") for line in lines)
    assert versions == pins(f"containers/{kind}.lock")


@KINDS
def test_image_and_conda_environment_have_one_python(kind, extra):
    definition = (ROOT / f"containers/{kind}.def").read_text()
    environment = yaml.safe_load((ROOT / f"envs/{kind}.yaml").read_text())
    python = environment["dependencies"][0].removeprefix("python=")
    assert re.search(r"base=python@sha256:[0-9a-f]{64}\n", definition)
    assert f"python:{python}-slim" in definition


def test_npm_s_lock_has_the_exact_versions_and_no_host_of_a_registry():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in packages.items() if "resolved" in package] == []
