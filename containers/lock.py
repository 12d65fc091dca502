"""`make lock`: the exact versions, with hashes, of the images and of their conda twins.

The versions are those of requirements.lock. Written are, in containers/, `data.lock` and
`torch.lock` (what an image holds; pip checks the hashes), `cuda.lock` and `cpu.lock` (torch with
and without CUDA's packages: an image's `accelerator` says which), and in envs/ the environments.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = "3.11"
KINDS = {"data": [], "torch": ["torch"]}  # the extras that a kind of step needs besides
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
# of torch's build for CPUs: Linux x86-64, CPython 3.11
CPU_HASH = "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
HEAD = "# Made by `make lock` from pyproject.toml and requirements.lock; not to be edited.\n"


def main() -> None:
    """Write all of them."""
    for kind, extras in KINDS.items():
        pinned = compile_lock(["build", *extras])
        host = {name: text for name, text in pinned.items() if not CUDA.match(name)}
        always = [text for name, text in host.items() if name != "torch"]
        write(ROOT / f"containers/{kind}.lock", always)
        if "torch" in host:
            version = host["torch"].split()[0]
            cuda = [text for name, text in pinned.items() if CUDA.match(name)]
            write(ROOT / "containers/cuda.lock", [host["torch"], *cuda])
            write(ROOT / "containers/cpu.lock", [f"{version}+cpu \\\n    --hash={CPU_HASH}"])
        twin = f"The conda twin of containers/{kind}.def"
        write_environment(kind, twin, always)
    what = "What builds the images, beside Apptainer itself"
    write_environment("image", what, compile_lock(["build", "image"]).values())


def compile_lock(extras: list[str]) -> dict[str, str]:
    """Return name -> requirement with hashes, of the package with these extras on Linux."""
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", "--constraint", "requirements.lock"]
    command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28"]
    command += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run(
        [*command, "pyproject.toml"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    pins = re.split(r"\n(?=\S)", done.stdout.strip())
    return {pin.partition("==")[0]: pin for pin in pins}


def write(path: Path, pins: list[str]) -> None:
    """Write one lock."""
    path.write_text(HEAD + "\n".join(pins) + "\n", encoding="utf-8")


def write_environment(kind: str, what: str, pins: Iterable[str]) -> None:
    """Write a conda environment that holds what a lock holds."""
    lines = [
        HEAD
        + f"# {what}; {kind}.post-deploy.sh adds the package"
        + (", and torch as this machine needs it." if kind == "torch" else "."),
        "# All by pip: conda-forge builds torch in its own way and has no pylidc.",
        f"name: probunet-{kind}",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *("      - " + " ".join(pin.replace("\\\n", "").split()) for pin in pins),
    ]
    (ROOT / f"envs/{kind}.yaml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
