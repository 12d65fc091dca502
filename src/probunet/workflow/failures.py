"""The errors of failed jobs, from their logs."""

from collections.abc import Iterable
from pathlib import Path

from probunet.errors import printable
from probunet.job import PREFIX, parse_line

ERROR = "probunet: "  # begins an error's lines in a log
_BOX = "│╭╮╰╯─ "  # drawn by Typer around an error in a command's options
_LINES = 20  # of an error
_ERRORS = 10


def describe_failures(jobs: Iterable[tuple[str, Path]], where: str) -> str:
    """Return the error of each failed job, the last lines of which say what to do.

    Jobs with the same error are told together.

    Parameters
    ----------
    jobs
        Rule and log of each job that may have failed; jobs whose log says that they succeeded are
        left out.
    where
        The names of the configuration's files.
    """
    errors: dict[str, list[tuple[str, Path]]] = {}
    for rule, log in jobs:
        if error := _error(log):
            errors.setdefault(error, []).append((rule, log))
    parts = []
    for error, failed in errors.items():
        (rule, log), others = failed[0], len(failed) - 1
        more = f" and {others} more job{'s' if others > 1 else ''}" if others else ""
        parts.append(f"{rule}{more} failed (configuration: {where}; log: {log}):\n{error}")
    if len(parts) > _ERRORS:
        parts[_ERRORS:] = [f"{len(parts) - _ERRORS} more errors are in the other jobs' logs."]
    return "\n\n".join(parts)


def _error(log: Path) -> str | None:
    """Return the error of the last try in a log; None if that succeeded."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
        lines = [printable(line.rstrip()) for line in text.split("\n")]
    except OSError:
        lines = []
    starts = [i for i, line in enumerate(lines) if parse_line(line).get("event") == "start"]
    lines = lines[starts[-1] :] if starts else lines
    codes = [parse_line(line)["exit_code"] for line in lines if "exit_code" in parse_line(line)]
    if codes == [0]:
        return None
    said = [line for line in lines if line and not line.startswith(PREFIX)]
    errors = [i for i, line in enumerate(said) if line.startswith(ERROR)]
    if errors:
        return "\n".join(said[errors[-1] :][-_LINES:]).removeprefix(ERROR)
    if starts and not codes:
        last = f" Its last line: {said[-1]}" if said else ""
        return (
            "The job ended without a message: it was killed, perhaps for lack of memory, or its "
            f"machine was lost.{last}"
        )
    words = [text for line in said if (text := line.strip(_BOX))]
    return words[-1] if words else "The job did not begin; the lines above say why."
