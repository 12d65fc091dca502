"""Container images: built from a definition and locked versions, with the package inside.

An image is complete or absent, and is built again only if something that goes into it has changed.
"""

import contextlib
import hashlib
import logging
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from probunet.errors import ProbunetError
from probunet.files import link_or_copy, locked, sha256, written_whole
from probunet.image_record import ImageRecord, Ingredients
from probunet.job import code_commit

logger = logging.getLogger(__name__)

# the parts of the project that go into every image, besides its definition and locks
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "src/probunet")
LOCKS = {"data": ("data.lock",), "torch": ("torch.lock", "cuda.lock", "cpu.lock")}
KINDS = tuple(LOCKS)  # of steps, each with a container image


def build_image(
    kind: str, project: Path, output: Path, cache: Path, arguments: dict[str, str], bind: list[str]
) -> None:
    """Build the image of a kind of step, and its record beside it.

    The cache keeps the last image of each kind, to use it again if its ingredients are the same:
    Snakemake removes the output of a rule before the rule runs.

    Parameters
    ----------
    kind
        `data` or `torch`: the definition is `containers/<kind>.def` of the project.
    project
        The project's root, whose package goes into the image.
    output
        The image to write, a SIF file; `<kind>.json` beside it is its record.
    cache
        A folder for images that several studies can share.
    arguments
        The definition's arguments that differ from its defaults: `base`, `bootstrap`, ...
    bind
        Paths of this machine that the build can read, as `apptainer build --bind` takes them.

    Raises
    ------
    ProbunetError
        If there is no Apptainer, or the build fails; its output says why.
    """
    ingredients = _ingredients(kind, project, arguments)
    digest = hashlib.sha256(ingredients.model_dump_json().encode()).hexdigest()
    kept = cache / f"{kind}-{digest[:16]}.sif"
    with locked(cache / f"{kind}.sif"):
        if _is_whole(kept):
            logger.info("%s: has the same definition, locks and code; using it", kept)
        else:
            for old in cache.glob(f"{kind}-*"):
                old.unlink()
            _build_with_record(kind, project, kept, ingredients, bind)
        for file, suffix in ((kept, ".sif"), (kept.with_suffix(".json"), ".json")):
            with written_whole(output.with_suffix(suffix)) as aside:
                link_or_copy(file, aside)


def recipe_files(kind: str, project: Path) -> list[Path]:
    """Return the definition and the locks of the image of a kind of step."""
    return [project / "containers" / name for name in (f"{kind}.def", *LOCKS[kind])]


def source_digest(project: Path) -> str:
    """Return one sha256 over all files of the project that go into images."""
    return _digest(project, _source_files(project))


def _ingredients(kind: str, project: Path, arguments: dict[str, str]) -> Ingredients:
    return Ingredients(
        definition_sha256=sha256(project / f"containers/{kind}.def"),
        lock_sha256=_digest(project, [project / "containers" / lock for lock in LOCKS[kind]]),
        source_sha256=source_digest(project),
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


def _is_whole(image: Path) -> bool:
    try:
        record = ImageRecord.model_validate_json(image.with_suffix(".json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return False
    return image.exists() and sha256(image) == record.sha256


def _build_with_record(
    kind: str, project: Path, image: Path, ingredients: Ingredients, bind: list[str]
) -> None:
    commit = code_commit()
    arguments = ingredients.arguments | {"commit": str(commit)}
    with written_whole(image) as aside:
        version = _build(kind, project, aside, arguments, bind)
        digest = sha256(aside)
    made = ImageRecord(
        **ingredients.model_dump(),
        kind=kind,
        image=f"{kind}.sif",
        sha256=digest,
        commit=commit,
        apptainer=version,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with written_whole(image.with_suffix(".json")) as aside:
        aside.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _build(
    kind: str, project: Path, image: Path, arguments: dict[str, str], bind: list[str]
) -> str:
    """Build in a folder that holds only what goes in; return Apptainer's version."""
    from spython.utils import run_command

    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        raise ProbunetError(
            "neither `apptainer` nor `singularity` is on this machine's PATH; load its module or "
            "install it, or set `containers` in the configuration to a folder of ready images."
        )
    version = "".join(run_command([program, "--version"], quiet=True)["message"]).strip()
    known = "".join(run_command([program, "build", "--help"], quiet=True)["message"])
    command = [program, "build", "--fakeroot"]
    if "--mksquashfs-args" in known:  # since Apptainer 1.4
        # gzip's lowest level is much faster, and the image hardly larger
        command += ["--mksquashfs-args", "-comp gzip -Xcompression-level 1"]
    command += [word for item in bind for word in ("--bind", item)]
    command += [str(image.resolve()), f"containers/{kind}.def"]
    with tempfile.TemporaryDirectory(prefix="probunet-") as folder:
        context = Path(folder)
        for file in _source_files(project):
            _copy(file, context / "source" / file.relative_to(project))
        (context / "source/src/probunet/_commit").write_text(
            arguments["commit"] + "\n", encoding="utf-8"
        )
        for file in recipe_files(kind, project):
            _copy(file, context / file.relative_to(project))
        definition = context / f"containers/{kind}.def"
        definition.write_text(_filled(definition, arguments), encoding="utf-8")
        with contextlib.chdir(context):
            # not spython's Client.build, which does not check whether the build succeeds
            done = run_command(command, capture=False, quiet=True)
    print(*done["message"], sep="\n")
    if done["return_code"] or not image.exists():
        said = "".join(done["message"]).lower()
        about_users = any(word in said for word in ("subuid", "fakeroot", "user namespace"))
        cause = "You may need an entry in /etc/subuid. " if about_users else ""
        raise ProbunetError(
            f"containers/{kind}.def: {version} could not build it; the lines above say why. {cause}"
            "If it cannot be built on this machine, for instance without network, build it on "
            "another one and set `containers` in the configuration to its folder."
        )
    return version


def _filled(definition: Path, arguments: dict[str, str]) -> str:
    """Return the text of a definition with the values of its arguments.

    Apptainer does this itself since version 1.2 (`--build-arg`).
    """
    before, _, rest = definition.read_text(encoding="utf-8").partition("%arguments\n")
    section, _, after = rest.partition("\n\n")
    values = dict(line.strip().split("=", 1) for line in section.splitlines())
    if unknown := sorted(arguments.keys() - values.keys()):
        logger.warning("containers/%s: has no argument %s", definition.name, ", ".join(unknown))
    values |= arguments
    return re.sub(r"{{ (\w+) }}", lambda name: values[name[1]], before + after)


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
