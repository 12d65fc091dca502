"""When training stops for its time limit."""

import os
import signal
import time

import pytest

from probunet.train import stopping
from probunet.train.stopping import Stopper


@pytest.mark.parametrize(("limit", "start"), [(60.0, 6.0), (86400.0, 120.0)])
def test_stops_early_enough_for_the_job_s_start_and_for_saving(monkeypatch, limit, start):
    now = 1000.0
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    stopper = Stopper(limit)
    latest = 1000.0 + limit - start - 2 * 5.0  # twice the time that saving may take
    now = latest - 0.5
    assert not stopper()
    now = latest + 0.5
    assert stopper()
    assert stopper.reason == "the time limit is near"


def test_no_limit_is_none(monkeypatch):
    stopper = Stopper(None)
    assert not stopper()


def test_one_wish_may_come_as_several_signals():
    stopper = Stopper(None)
    with stopper.listening():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        assert stopper()
        assert stopper.reason in ("SIGTERM", "SIGINT")


def test_a_person_need_not_wait(monkeypatch):
    stopper = Stopper(None)
    with stopper.listening():
        os.kill(os.getpid(), signal.SIGINT)
        later = time.monotonic() + 1.5
        monkeypatch.setattr(stopping.time, "monotonic", lambda: later)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
