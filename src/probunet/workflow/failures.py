"""The errors of failed jobs, from their logs."""

from collections.abc import Iterable
from pathlib import Path

from probunet.job import PREFIX, read_jobs

ERROR = "probunet: "  # begins an error's lines in a log
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
        tries = read_jobs(log)
        if not (tries and tries[-1].succeeded):
            errors.setdefault(_error(log, bool(tries)), []).append((rule, log))
    parts = []
    for error, failed in errors.items():
        (rule, log), others = failed[0], len(failed) - 1
        more = f" and {others} more job{'s' if others > 1 else ''}" if others else ""
        parts.append(f"{rule}{more} failed (configuration: {where}; log: {log}):\n{error}")
    if len(parts) > _ERRORS:
        parts[_ERRORS:] = [f"{len(parts) - _ERRORS} more errors are in the other jobs' logs."]
    return "\n\n".join(parts)


def _error(log: Path, has_begun: bool) -> str:
    """Return the lines of the last error in a log; else its last line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.rstrip() for line in lines if line.strip() and not line.startswith(PREFIX)]
    starts = [i for i, line in enumerate(said) if line.startswith(ERROR)]
    if starts:
        return "\n".join(said[starts[-1] :][-_LINES:]).removeprefix(ERROR)
    if said:
        return said[-1]
    if has_begun:
        return (
            "The job ended without a message: it was killed, perhaps for lack of memory, or its "
            "machine was lost."
        )
    return "The job did not begin; the lines above say why."
