"""Tell early that the results of many inputs will not fit on the disk."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from probunet.predict.inputs import Input

logger = logging.getLogger(__name__)


class Room:
    """Expects that results of further inputs are as large, by their files, as those before."""

    def __init__(self, output: Path, inputs: Sequence[Input]) -> None:
        self.output = output
        self.inputs = {one.name: sum(_sizes(one.path)) for one in inputs}  # not seen yet, bytes
        self.read = self.written = 0  # bytes of inputs, and of their results
        self.warned = False

    def see(self, one: Input) -> None:
        """Count an input that is finished or left out; warn once if the others need too much."""
        size, written = self.inputs.pop(one.name), sum(_sizes(self.output / one.name))
        if written:  # else it was left out
            self.read += size
            self.written += written
        needed = sum(self.inputs.values()) * self.written // max(1, self.read)
        free = shutil.disk_usage(self.output).free
        if needed > free and not self.warned:
            self.warned = True
            logger.warning(
                "%s: the results of the other %d inputs need about %d MiB, and %d MiB are free; "
                "free some space, or stop and name fewer inputs: finished ones are kept.",
                self.output,
                len(self.inputs),
                needed >> 20,
                free >> 20,
            )


def _sizes(path: Path) -> Iterator[int]:
    """Yield the bytes of a file, or of the files in a folder."""
    with suppress(OSError):
        for file in path.iterdir() if path.is_dir() else [path]:
            if file.is_file():
                yield file.stat().st_size
