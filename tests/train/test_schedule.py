"""The learning rate of each step, against the schedules' definitions."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.config import Training, check
from probunet.errors import ProbunetError
from probunet.train.schedule import learning_rate


def rates(**training: object) -> list[float]:
    """Return the learning rates of all steps."""
    chosen = check(Training, training, "test")
    return [learning_rate(step, chosen) for step in range(1, chosen.steps + 1)]


def test_phases_are_of_equal_length() -> None:
    phases = [3.0] * 3 + [2.0] * 3 + [1.0] * 3
    assert rates(steps=9, learning_rates=[3.0, 2.0, 1.0]) == phases
    assert rates(steps=1, learning_rates=[3.0, 2.0, 1.0]) == [3.0]


def test_one_rate_is_constant() -> None:
    assert rates(steps=5, learning_rates=[0.1]) == [0.1] * 5


def test_the_papers_decay_is_the_default() -> None:
    usual = Training()
    assert (learning_rate(1, usual), learning_rate(240_000, usual)) == (1e-4, 1e-6)


@settings(deadline=None)
@given(st.integers(1, 200), st.floats(1e-7, 1e-1), st.floats(1e-7, 1e-1), st.data())
def test_a_cosine_rises_for_the_warm_up_then_goes_from_the_first_to_the_last_rate(
    steps: int, first: float, last: float, data: st.DataObject
) -> None:
    warm_up = data.draw(st.integers(0, steps - 1))
    found = rates(steps=steps, schedule="cosine", learning_rates=[first, last], warm_up=warm_up)
    for step in range(1, warm_up):
        assert found[step - 1] == pytest.approx(first * step / warm_up)
    falling = found[warm_up:]
    for index, rate in enumerate(falling, start=1):
        turned = math.pi * index / len(falling)
        assert rate == pytest.approx((first + last) / 2 + (first - last) / 2 * math.cos(turned))
    assert falling[-1] == pytest.approx(last)
    if warm_up:
        assert found[warm_up - 1] == pytest.approx(first)


def test_phases_can_be_warmed_up() -> None:
    found = rates(steps=6, learning_rates=[4.0, 1.0], warm_up=4)
    assert found == [1.0, 2.0, 3.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"schedule": "cosine"}, "schedule: cosine: learning_rates has 6 rates; write the first"),
        ({"schedule": "cosine", "learning_rates": [1e-4]}, "learning_rates has 1 rates?; write"),
        ({"warm_up": 9, "steps": 9}, "warm_up: 9 must be less than steps, 9"),
        ({"schedule": "linear"}, "schedule: Input should be 'phases' or 'cosine'"),
        ({"ema": 1.0}, "ema: Input should be less than 1"),
        ({"graders_per_image": 0}, "graders_per_image: Input should be greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_told(training: dict[str, object], message: str) -> None:
    with pytest.raises(ProbunetError, match=message):
        check(Training, training, "test")


def test_keys_at_their_defaults_repeat_no_finished_training() -> None:
    new = {"schedule": "phases", "warm_up": 0, "ema": 0.0, "graders_per_image": 1}
    assert not new.keys() & Training().model_dump(mode="json").keys()
    assert check(Training, new, "test") == Training()
