"""The container image of training: what its definition installs and tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEFINITION = (Path(__file__).parents[2] / "containers/torch.def").read_text()
ARGUMENTS = {"cpu_wheels": "/wheels", "wheels": "https://host/cu126"}


def section(name: str, **arguments: str) -> str:
    """Return a section's shell script."""
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", DEFINITION, re.M | re.S)
    assert found is not None
    script = found[1]
    for key, value in arguments.items():
        script = script.replace(f"{{{{ {key} }}}}", value)
    return script


@pytest.mark.parametrize(("compiler", "works"), [("g++", True), ("/nonexistent", False)])
def test_the_image_s_own_test_fails_without_a_compiler(
    tmp_path: Path, compiler: str, works: bool
) -> None:
    (command,) = re.findall(r"^ *python (-c \".*compile.*\")$", section("test"), re.M)
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} {command}"],
        env=os.environ | {"CXX": compiler, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == works, done.stderr


@pytest.mark.parametrize(
    ("accelerator", "installs"),
    [
        ("cuda", ["torch.lock --requirement LOCKS/cuda.lock"]),
        ("cpu", ["torch.lock --requirement LOCKS/cpu.lock"]),
        ("cu126", ["torch.lock", "--index-url https://host/cu126 torch==2.13.0"]),
    ],
)
@pytest.mark.parametrize("has", [True, False])
def test_what_the_image_installs(
    tmp_path: Path, accelerator: str, installs: list[str], has: bool
) -> None:
    """Run the section with stand-ins for the programs that it calls."""
    script = section("post", accelerator=accelerator, **ARGUMENTS)
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    (tmp_path / "Python.h").touch()
    include = tmp_path if has else tmp_path / "absent"
    for name in ("pip", "apt-get", *(["g++"] if has else [])):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n')
    (programs / "python").write_text(f"#!/bin/sh\necho {include}\n")
    for name in ("python3", "rm"):
        (programs / name).write_text("#!/bin/sh\n")
    (programs / "sed").symlink_to("/bin/sed")
    for program in programs.iterdir():
        program.chmod(0o755)
    locks = Path(__file__).parents[2] / "containers"
    script = script.replace("/usr/local/probunet/bin", str(programs)).replace("/build", str(locks))
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": str(programs)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = calls.read_text().splitlines()
    apt = [line for line in lines if line.startswith("apt-get")]
    assert [line.rpartition("--no-install-recommends")[2] for line in apt[1:]] == (
        [] if has else [" g++ python3-dev"]
    )
    pip = [line for line in lines if line.startswith("pip")]
    assert len(pip) == len(installs) + 1  # and the package itself
    for line, expected in zip(pip, installs, strict=False):
        assert line.endswith(expected.replace("LOCKS", str(locks)))
    assert "--require-hashes" in pip[0]
