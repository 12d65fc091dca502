"""The output folder of predictions: one folder for each input, complete or absent.

<output>/settings.json            weights, samples, seed and places of all results in the folder
<output>/<input>/result.json      a line about the samples
<output>/<input>/sample-000 ...   label maps, and the other maps, see `files.py`
<output>/predictions.jsonl        the lines of all results
"""

import json
import logging
from pathlib import Path
from typing import Any

from probunet.errors import ProbunetError, printable
from probunet.files import check_links, read_file, written_whole
from probunet.predict.base import DISCLAIMER, UnusableError

SETTINGS, RESULT, LINES = "settings.json", "result.json", "predictions.jsonl"

logger = logging.getLogger(__name__)


def check_output(output: Path, about: dict[str, Any]) -> None:
    """Check that results with these settings may be written to a folder.

    Raises
    ------
    ProbunetError
        If it is no folder, cannot be read, holds other files, or results of other settings.
    """
    check_links(output)
    try:
        for folder in (output, *output.parents):
            if folder.exists() and not folder.is_dir():
                raise ProbunetError(f"{folder}: is a file; name a folder with --output.")
        names = [one.name for one in output.iterdir()] if output.exists() else []
    except OSError as error:
        raise ProbunetError(f"{output}: cannot be read ({error.strerror}).") from None
    if SETTINGS not in names:
        if any(not name.startswith(".") for name in names):
            raise ProbunetError(
                f"{output}: holds other files than results of predict; choose another --output."
            )
        return
    found = _read(output / SETTINGS)
    if found is None or not about.keys() <= found.keys():
        raise ProbunetError(
            f"{output / SETTINGS}: is damaged or not of predict; choose another --output."
        )
    if not _results(output):  # of a run that wrote nothing, perhaps because an option was wrong
        return
    for name, value in about.items():
        if found.get(name) != value:
            before, now = (printable(one, 200) for one in (found.get(name), value))
            raise ProbunetError(
                f"{output}: holds results of another run ({name}: {before}, now {now}); choose "
                "another --output, or remove this one."
            )


def write_settings(output: Path, about: dict[str, Any]) -> None:
    """Write what all results in the folder have in common."""
    with written_whole(output / SETTINGS) as aside:
        aside.write_text(json.dumps({"use": DISCLAIMER, **about}) + "\n", encoding="utf-8")


def is_finished(output: Path, name: str, digest: str) -> bool:
    """Return whether an input's results are there; tell if they are of another input.

    Raises
    ------
    UnusableError
        If results of other inputs are in its folder or around it.
    """
    folder = output / name
    around = [one for one in folder.parents if one != output and one.is_relative_to(output)]
    has_others = folder.exists() and not (folder / RESULT).exists()
    if has_others or any((one / RESULT).exists() for one in around):
        raise UnusableError(
            f"{folder}: results of other inputs are in this folder or around it; choose another "
            "--output."
        )
    if not folder.exists():
        return False
    same = bool((_read(folder / RESULT) or {}).get("input") == digest)
    if not same:
        logger.warning("%s: of an input that has changed since; predicted again", folder)
    return same


def collect(output: Path) -> None:
    """Write the lines of all results into one file."""
    with written_whole(output / LINES) as aside:
        lines = [read_file(path, "is gone").strip() for path in _results(output)]
        aside.write_bytes(b"".join(line + b"\n" for line in lines))


def _results(output: Path) -> list[Path]:
    """Return the lines of finished inputs, without those that a killed run left."""
    found = sorted(output.rglob(RESULT))
    return [path for path in found if not path.parent.match(".*.partial")]


def _read(path: Path) -> dict[str, Any] | None:
    """Return the object in a file; None if there is none."""
    try:
        found = json.loads(read_file(path, "is gone"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
