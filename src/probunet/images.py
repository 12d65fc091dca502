"""Container images: built from their definition and lock, with the package inside.

An image is whole or absent, and is made again only if something that goes into it has changed.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole
from probunet.job import code_commit

logger = logging.getLogger(__name__)

# what of the project goes into every image, besides its definition and locks
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "src/probunet")
LOCKS = {"data": ("data.lock",), "torch": ("torch.lock", "cuda.lock", "cpu.lock")}


class Ingredients(BaseModel):
    """All that an image is made of; equal ingredients are not built twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition_sha256: str
    lock_sha256: str
    source_sha256: str
    arguments: dict[str, str]


class ImageRecord(Ingredients):
    """What stands beside an image as `<kind>.json`."""

    kind: str
    image: str
    sha256: str
    commit: str | None  # of the code when it was built; equal code may have had other commits
    apptainer: str
    built: str


def build_image(
    kind: str, project: Path, output: Path, arguments: dict[str, str], bind: list[str]
) -> None:
    """Build the image of a kind of step, and its record beside it.

    If the image that is there was made of the same, and is still what was built, it is kept.

    Parameters
    ----------
    kind
        `data` or `torch`: the definition is `containers/<kind>.def` of the project.
    project
        The project's root, whose package goes into the image.
    output
        The image to write, a SIF file.
    arguments
        The definition's arguments that differ from its defaults: `base`, `bootstrap`, ...
    bind
        What of this machine the build sees, as `apptainer build --bind` takes it.

    Raises
    ------
    ProbunetError
        If there is no Apptainer, or the build fails; its output says why.
    """
    record = output.with_suffix(".json")
    ingredients = _ingredients(kind, project, arguments)
    with locked(output):
        if _is_made_of(output, record, ingredients):
            logger.info("%s: was built of the same definition, lock and code; kept", output)
            output.touch()
            return
        record.unlink(missing_ok=True)  # it would describe another image, were this one killed
        commit = code_commit()
        with written_whole(output) as aside:
            version = _build(kind, project, aside, arguments | {"commit": str(commit)}, bind)
            digest = sha256(aside)
        made = ImageRecord(
            **ingredients.model_dump(),
            kind=kind,
            image=output.name,
            sha256=digest,
            commit=commit,
            apptainer=version,
            built=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with written_whole(record) as aside:
            aside.write_text(made.model_dump_json(indent=2) + "\n")


def ingredient_files(kind: str, project: Path) -> list[Path]:
    """Return the project's files that go into the image of a kind of step."""
    names = (f"{kind}.def", *LOCKS[kind])
    return [project / "containers" / name for name in names] + _source_files(project)


def _ingredients(kind: str, project: Path, arguments: dict[str, str]) -> Ingredients:
    return Ingredients(
        definition_sha256=sha256(project / f"containers/{kind}.def"),
        lock_sha256=_digest(project, [project / "containers" / lock for lock in LOCKS[kind]]),
        source_sha256=_digest(project, _source_files(project)),
        arguments=arguments,
    )


def _source_files(project: Path) -> list[Path]:
    found = [project / name for name in SOURCE]
    files = [file for path in found for file in (path.rglob("*") if path.is_dir() else (path,))]
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _digest(project: Path, files: list[Path]) -> str:
    """Return one sha256 over files' names and contents."""
    lines = [f"{sha256(file)}  {file.relative_to(project).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_made_of(image: Path, record: Path, ingredients: Ingredients) -> bool:
    try:
        found = ImageRecord.model_validate_json(record.read_text())
    except (FileNotFoundError, ValidationError):
        return False
    names = set(Ingredients.model_fields)
    same = found.model_dump(include=names) == ingredients.model_dump()
    return same and image.exists() and sha256(image) == found.sha256


def _build(
    kind: str, project: Path, image: Path, arguments: dict[str, str], bind: list[str]
) -> str:
    """Build in a copy of what goes in, so that nothing else does; return Apptainer's version."""
    from spython.main import Client

    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        raise ProbunetError(
            "neither `apptainer` nor `singularity` is on this machine's PATH; load its module or "
            "install it, or name ready images with `containers` in config.yaml."
        )
    with tempfile.TemporaryDirectory(prefix="probunet-") as folder:
        context = Path(folder)
        (context / "bin").mkdir()
        (context / "bin/singularity").symlink_to(program)  # the one name that spython calls
        os.environ["PATH"] = f"{context / 'bin'}:{os.environ['PATH']}"
        for file in _source_files(project):
            _copy(file, context / "source" / file.relative_to(project))
        (context / "source/src/probunet/_commit").write_text(arguments["commit"] + "\n")
        for name in (f"{kind}.def", *LOCKS[kind]):
            _copy(project / "containers" / name, context / "containers" / name)
        options = ["--fakeroot"]
        options += [word for item in bind for word in ("--bind", item)]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        target = image.resolve()
        with contextlib.chdir(context):
            # it returns no name if the build failed, and raises nothing
            built = Client.build(
                recipe=f"containers/{kind}.def", image=str(target), sudo=False, options=options
            )
            version = str(Client.version())
    if built is None or not target.exists():
        raise ProbunetError(
            f"containers/{kind}.def: Apptainer could not build it; the lines above say why. "
            "Without an entry in /etc/subuid, or without network, build it on another machine and "
            "name its folder with `containers` in config.yaml."
        )
    return version


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
