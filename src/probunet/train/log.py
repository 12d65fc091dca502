"""The training log: JSON lines, TensorBoard events, and a progress bar or plain lines."""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from probunet.errors import ProbunetError
from probunet.files import open_own, read_file, written_whole

logger = logging.getLogger(__name__)


class TrainingLog:
    """Writes each line to a JSON lines file, to TensorBoard and to the terminal or the log.

    Parameters
    ----------
    path
        The JSON lines file. Lines of steps after `step` are removed.
    events
        The folder for TensorBoard.
    step, steps
        Number of completed steps and of all steps.
    """

    def __init__(self, path: Path, events: Path, step: int, steps: int) -> None:
        _drop_after(path, step)
        self._lines = _Pieces(path)
        self._events = _open_events(events, step)
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not sys.stderr.isatty())

    def step(self) -> None:
        """Count a step."""
        self._bar.update()

    def write(self, step: int, **values: float) -> None:
        """Write the values of a step."""
        self._lines.write((json.dumps({"step": step, **values}) + "\n").encode())
        if self._events is not None:
            self._events.write(step, values)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar.disable:
            logger.info("step %d of %d: %s", step, self._bar.total, shown)
        else:
            self._bar.set_postfix_str(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._lines.close()
        if self._events is not None:
            self._events.close()


def _drop_after(path: Path, step: int) -> None:
    """Remove incomplete lines and lines of steps after `step`."""
    if not path.exists():
        if step > 0:
            logger.warning("%s: is missing: the log of the steps up to %d is lost", path, step)
        return
    kept, damaged = [], 0
    lines = read_file(path, "no such log.").decode(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        logged = _step_of(line)
        if logged is None:
            damaged += number < len(lines)  # a killed process was writing the last line
        elif logged <= step:
            kept.append(line + "\n")
    if damaged:
        logger.warning("%s: %d damaged lines are removed", path, damaged)
    with written_whole(path) as aside:
        aside.write_text("".join(kept), encoding="utf-8")


def _step_of(line: str) -> int | None:
    """Return the step of a line; None if it is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if type(step) is int else None


class _Pieces:
    """A file that grows by whole pieces: one that the disk has no room for leaves nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_own(path, "ab")

    def write(self, piece: bytes) -> None:
        """Append a piece, or raise ProbunetError."""
        handle, left = self._file.fileno(), memoryview(piece)
        size = os.fstat(handle).st_size
        try:
            while left:
                left = left[os.write(handle, left) :]
        except OSError as error:
            os.ftruncate(handle, size)
            raise ProbunetError(
                f"{self._path}: cannot be written ({error.strerror}); free some space and run the "
                "same command again: the training goes on from its last checkpoint."
            ) from None

    def close(self) -> None:
        self._file.close()


class _Events:
    """A file of TensorBoard's events.

    TensorBoard's own writer is not used: it writes in a thread, whose errors arrive late or never,
    and leaves half an event on a full disk.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # names that sort by time, as TensorBoard reads them
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = _Pieces(folder / name)
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        # an earlier run's events of later steps are not shown
        self._add(step=step, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        from torch.utils.tensorboard.summary import scalar

        for name, value in values.items():
            self._add(step=step, summary=scalar(name, value))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._file.close()

    def _add(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())


def _open_events(folder: Path, step: int) -> _Events | None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        logger.info("tensorboard is not installed; the curves are in training.jsonl only.")
        return None
    return _Events(folder, step + 1)
