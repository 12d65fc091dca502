"""Stop a training early: on a signal, or shortly before a time limit."""

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
_START = 120.0  # largest assumed time between the start of the job and of this process, seconds
_SAVING = 5.0  # assumed time to write the first checkpoint, seconds


class Stopper:
    """Decides when to stop, with enough time left to save; call it between steps.

    Parameters
    ----------
    time_limit
        Time limit of the job in seconds; None for no limit. A tenth of it, but at most two minutes,
        is reserved for the job's start before this process (a container, imports).
    """

    def __init__(self, time_limit: float | None) -> None:
        self.reason: str | None = None
        self._deadline = None
        if time_limit is not None:
            self._deadline = time.monotonic() + time_limit - min(_START, time_limit / 10)
        self._called: float | None = None  # time of the last call
        self._intervals: deque[float] = deque(maxlen=100)  # seconds between calls
        self._saving = _SAVING
        self._signalled = math.inf  # time of the first signal

    def __call__(self) -> bool:
        """Return whether to stop now."""
        now = time.monotonic()
        if self._called is not None:
            self._intervals.append(now - self._called)
        self._called = now
        if self.reason is None and self._deadline is not None:
            margin = 2 * max(self._intervals, default=0.0) + 2 * self._saving
            if now + margin > self._deadline:
                self.reason = "the time limit is near"
        return self.reason is not None

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure the time to write a checkpoint, for the next decision."""
        started = time.monotonic()
        yield
        self._saving = time.monotonic() - started
        self._called = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; a second SIGINT stops without a checkpoint.

        Signals within a second after the first count as one: SLURM signals every process of a job,
        and a container forwards the signal again. Later ones have no effect unless SIGINT.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread can handle signals
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if number == signal.SIGINT and now - self._signalled >= 1:
                restore()
                raise KeyboardInterrupt
            self.reason = signal.Signals(number).name
            self._signalled = min(self._signalled, now)

        for number in _SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
