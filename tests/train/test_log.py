"""The training log on a full disk, and what TensorBoard reads of it."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

from probunet.errors import ProbunetError
from probunet.train.log import TrainingLog


def test_tensorboard_shows_the_curves_of_a_resumed_training(tmp_path):
    path, events = tmp_path / "training.jsonl", tmp_path / "tensorboard"
    with TrainingLog(path, events, 0, 9) as log:
        for step in (1, 2, 3):
            log.write(step, loss=step / 2, kl=0.5)
    with TrainingLog(path, events, 2, 9) as log:  # step 3 was after the checkpoint
        log.write(3, loss=7.0)
    shown = EventAccumulator(str(events)).Reload().Scalars("loss")
    assert [(one.step, one.value) for one in shown] == [(1, 0.5), (2, 1.0), (3, 7.0)]
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def fill(path, events):
    """Log until the disk is full."""
    with TrainingLog(path, events, 0, 9) as log:
        for step in range(1, 10_000):
            log.write(step, loss=0.5)


def test_a_full_disk_is_one_sentence_and_leaves_no_half_event(tmp_path, small_disk):
    events = small_disk("size=16k") / "tensorboard"
    with pytest.raises(ProbunetError, match=r"tfevents.*No space left on device.*free some space"):
        fill(tmp_path / "training.jsonl", events)
    [file] = events.iterdir()
    records = list(RawEventFileLoader(str(file)).Load())
    assert len(records) > 100
    assert file.stat().st_size == sum(16 + len(record) for record in records)


def test_a_full_disk_leaves_no_half_line(tmp_path, small_disk):
    path = small_disk("size=8k") / "training.jsonl"
    with pytest.raises(ProbunetError, match=r"training.jsonl: cannot be written \(No space left"):
        fill(path, tmp_path / "tensorboard")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, len(lines) + 1))
