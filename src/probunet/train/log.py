"""The training log: JSON lines, TensorBoard events, and a progress bar or plain lines."""

import json
import logging
import sys
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from probunet.files import written_whole

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
        self._file = path.open("a")
        self._events = _open_events(events, step)
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not sys.stderr.isatty())

    def step(self) -> None:
        """Count a step."""
        self._bar.update()

    def write(self, step: int, **values: float) -> None:
        """Write the values of a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if self._events is not None:
                self._events.add_scalar(name, value, step)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar.disable:
            logger.info("step %d of %d: %s", step, self._bar.total, shown)
        else:
            self._bar.set_postfix_str(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._file.close()
        if self._events is not None:
            self._events.close()


def _drop_after(path: Path, step: int) -> None:
    """Remove incomplete lines and lines of steps after `step`."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            break  # a killed process was writing this line
    with written_whole(path) as aside:
        aside.write_text("".join(kept))


def _open_events(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("tensorboard is not installed; the curves are in training.jsonl only.")
        return None
    return SummaryWriter(folder, purge_step=step + 1)
