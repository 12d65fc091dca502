"""A real Apptainer and a base image on a Debian machine without an image registry, for the tests.

Debian stable has no Apptainer. That of Debian's unstable wants a newer C library than stable's, and
gets one in a folder of its own: nothing of the system is changed. All is kept between runs.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("apptainer", "libc6", "libgcc-s1", "libseccomp2", "libsqlite3-0")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
PROGRAMS = ("usr/bin/apptainer", f"{LIBRARIES}/apptainer/bin/starter")
# Python and what pip needs; docker.io/python:3.11-slim-bookworm has the same. And the compiler that
# the image of torch installs where the base has none: the build may reach no mirror of Debian.
BASE = "python3,python3-venv,python3-pip,ca-certificates,python3-dev,g++"


class ApptainerError(Exception):
    """Apptainer or the base image cannot be had here."""


def bin_folder(cache: Path) -> Path:
    """Return a folder to put on the PATH, with `apptainer` in it."""
    found = shutil.which("apptainer")
    if found:
        return Path(found).parent
    root = cache / "apptainer"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for package in _download(root):
            _run("dpkg", "-x", package, root)
        _make_relocatable(root)
        (root / "complete").touch()
    return root / "usr/bin"


def base_image(cache: Path) -> Path:
    """Return a minimal Debian with Python as a folder, which stands in for a registry's image."""
    root = cache / "base-with-compiler"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        made = cache / "base.partial"
        shutil.rmtree(made, ignore_errors=True)
        _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE}", "bookworm", made)
        # device nodes, and folders of apt's own user, cannot be copied by a build without rights
        for content in (made / "dev").iterdir():
            _remove(content)
        for private in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
            _remove(made / private)
        (made / "complete").touch()
        made.rename(root)
    return root


def build_settings(base: Path) -> dict[str, object]:
    """Return the `container_build` section of config.yaml with which images build here.

    The build sees this machine's certificates and, if pip has one, its folder of wheels.
    """
    arguments = {"bootstrap": "localimage", "base": str(base), "accelerator": "cpu"}
    bind = ["/etc/ssl/certs"]
    wheels = Path(_pip_settings().get("find-links", ""))
    if wheels.is_absolute() and wheels.is_dir():
        (base / wheels.relative_to("/")).mkdir(parents=True, exist_ok=True)
        arguments["cpu_wheels"] = str(wheels)
        bind.append(str(wheels))
    return {"arguments": arguments, "bind": bind}


def environment(cache: Path) -> dict[str, str]:
    """Return the variables with which Apptainer runs and builds here."""
    variables = {"PATH": f"{bin_folder(cache)}:{os.environ['PATH']}"}
    if os.geteuid() == 0:
        # root in a container of its own may lack capabilities that Apptainer asks for
        variables["APPTAINER_USERNS"] = "1"
        for file in ("/etc/subuid", "/etc/subgid"):
            _allow_fakeroot(Path(file))
    return variables


def _download(root: Path) -> list[Path]:
    """Download Debian unstable's packages from the mirror that this machine uses for stable."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    known = [line.split() for line in _run(*targets, "Created-By: Packages").splitlines()]
    mirrors = [uri for uri, name, component in known if (name, component) == ("bookworm", "main")]
    if not mirrors:
        raise ApptainerError("apt knows no mirror of Debian bookworm; is this Debian 12?")
    for folder in ("lists/partial", "archives", "packages"):
        (root / folder).mkdir(parents=True)
    keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    (root / "sources.list").write_text(f"deb {keys} {mirrors[0]} sid main\n")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={root}/sources.list"]
    apt += ["-o", "Dir::Etc::SourceParts=-", "-o", f"Dir::State::Lists={root}/lists"]
    apt += ["-o", f"Dir::Cache={root}", "-o", "APT::Sandbox::User=root"]
    _run(*apt, "update")
    _run(*apt, "download", *PACKAGES, cwd=root / "packages")
    shutil.rmtree(root / "lists")
    return sorted((root / "packages").iterdir())


def _make_relocatable(root: Path) -> None:
    """Let the programs use the C library beside them, and find each other and their settings."""
    loader = root / LIBRARIES / "ld-linux-x86-64.so.2"
    for program in PROGRAMS:
        at = ["--set-interpreter", loader, "--set-rpath", root / LIBRARIES]
        _run("patchelf", "--force-rpath", *at, root / program)
    # each takes another folder for its prefix: that above bin, and that above libexec
    (root / "var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
    for name in ("etc", "var"):
        (root / "usr" / name).symlink_to(f"../{name}")
        (root / "usr/lib" / name).symlink_to(f"../../{name}")


def _pip_settings() -> dict[str, str]:
    listed = _run(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = [re.fullmatch(r"(?:\w+|:env:)\.([a-z-]+)='(.*)'", line) for line in listed]
    return {pair[1]: pair[2] for pair in pairs if pair}


def _allow_fakeroot(file: Path) -> None:
    lines = file.read_text().splitlines() if file.exists() else []
    if not any(line.startswith("root:") for line in lines):
        file.write_text("\n".join([*lines, "root:100000:65536", ""]))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(*words: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        command = shlex.join(str(word) for word in words[:4])
        raise ApptainerError(f"{command} ...: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
