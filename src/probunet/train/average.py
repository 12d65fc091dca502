"""An exponential moving average of a model's weights over the steps of its training.

    average = k average + (1 - k) weights,   k = min(decay, (t - 1) / (t + 9)) at step t = 1, 2, ...

The smaller k of the first steps soon forgets the initial weights, as TensorFlow's average does.
Polyak and Juditsky 1992 show why an average of the last weights is better than each of them.
"""

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from probunet.models import Model


class Average:
    """The average of a model in training.

    Parameters
    ----------
    trained
        On its device, not yet compiled.
    decay
        0: no average.
    """

    model: Model  # has the average; with decay 0, the trained model itself

    def __init__(self, trained: Model, decay: float) -> None:
        self.decay, self.trained = decay, trained
        self.model = copy.deepcopy(trained).requires_grad_(False) if decay > 0 else trained

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after a step, counted from 1.

        Buffers are averaged, too: the statistics of batch normalisation belong to the weights.
        """
        if self.decay == 0:
            return
        keep = min(self.decay, (step - 1) / (step + 9))
        averages, values = self.model.state_dict(), self.trained.state_dict()
        moving = [name for name, value in values.items() if value.is_floating_point() and keep > 0]
        if moving:
            update = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
            update([averages[name] for name in moving], [values[name] for name in moving], 0)
        # copied: counters; and all at the first step, before which GECO's buffer is NaN
        for name in values.keys() - moving:
            averages[name].copy_(values[name])
