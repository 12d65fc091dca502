"""Train a model on batches that are drawn without end, for tasks whose best answer is known."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from probunet.config import Settings
from probunet.models import Model, build
from probunet.seeding import seed_of
from probunet.train.average import Average
from probunet.train.schedule import learning_rate


def trained_on(
    batch: Callable[[Generator, int], tuple[Tensor, Tensor]],
    name: str,
    settings: Settings,
    classes: int = 2,
    seed: int = 0,
    graders: int = 4,
) -> Model:
    """Return a model, trained on the images and masks that `batch` returns.

    Its second argument is the number of masks of an image: `graders` for models that need those of
    all graders.
    """
    settings = settings.of_model(name)
    model = build(name, settings.architecture_of(name), classes=classes, seed=seed)
    average = Average(model, settings.training.ema)
    optimiser = torch.optim.Adam(model.parameters())
    for step in range(1, settings.training.steps + 1):
        generator = Generator().manual_seed(seed_of(seed, "batch", step))
        image, masks = batch(generator, graders if model.all_masks else 1)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, settings.training)
        loss = model.loss(image, masks, beta=1.0, generator=generator)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        average.update(step)
    return average.model.eval()
