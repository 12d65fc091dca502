"""The learning rate of each step."""

import math

from probunet.config import Training


def learning_rate(step: int, training: Training) -> float:
    """Return the learning rate of a step, counted from 1.

    `phases` are of equal length (Kohl et al. 2018, appendix H.1); `cosine` is Loshchilov and Hutter
    2017, "SGDR", equation 5, without restarts, and with `warm_up` one cycle as in Smith 2018.

    >>> training = Training(steps=4, learning_rates=(0.1, 0.01))
    >>> [learning_rate(step, training) for step in (1, 2, 3, 4)]
    [0.1, 0.1, 0.01, 0.01]
    """
    rates, steps, warm_up = training.learning_rates, training.steps, training.warm_up
    if training.schedule == "cosine":
        first, last = rates
        share = max(0, step - warm_up) / (steps - warm_up)
        rate = last + (first - last) * (1 + math.cos(math.pi * share)) / 2
    else:
        rate = rates[(step - 1) * len(rates) // steps]
    return rate * step / warm_up if step < warm_up else rate
