"""When to stop early: a signal, or a time limit that draws near."""

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_START = 120.0  # seconds at most that a job's start may have taken, before this process began
_SAVING = 5.0  # seconds that writing a checkpoint may take, until one was timed


class Stopper:
    """Says when to stop, early enough to save; asked between steps and validation batches.

    Parameters
    ----------
    time_limit
        Seconds that the job has, of which a tenth, at most two minutes, may have gone into starting
        it (a container, imports); None for no limit.
    """

    def __init__(self, time_limit: float | None) -> None:
        self.reason: str | None = None
        self._deadline = None
        if time_limit is not None:
            self._deadline = time.monotonic() + time_limit - min(_START, time_limit / 10)
        self._asked: float | None = None
        self._between: deque[float] = deque(maxlen=100)  # seconds from one question to the next
        self._saving = _SAVING
        self._told = math.inf  # when the first signal came

    def __call__(self) -> bool:
        """Return whether to stop now."""
        now = time.monotonic()
        if self._asked is not None:
            self._between.append(now - self._asked)
        self._asked = now
        if self.reason is None and self._deadline is not None:
            margin = 2 * max(self._between, default=0.0) + 2 * self._saving
            if now + margin > self._deadline:
                self.reason = "the time limit draws near"
        return self.reason is not None

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time the writing of a checkpoint, which the margin counts by."""
        started = time.monotonic()
        yield
        self._saving = time.monotonic() - started
        self._asked = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as the wish to stop.

        One wish often comes as several signals: SLURM sends SIGTERM to every process of a job, and
        a container hands it on once more. So only SIGINT, a second or more later, ends the process
        at once: a person who will not wait for the checkpoint. SLURM itself has SIGKILL for that.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may listen
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if number == signal.SIGINT and now - self._told >= 1:
                restore()
                raise KeyboardInterrupt
            self.reason = signal.Signals(number).name
            self._told = min(self._told, now)

        for number in _SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
