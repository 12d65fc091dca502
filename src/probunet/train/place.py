"""Choose where the images of a training are: on the device, in memory or on disk."""

import logging
from pathlib import Path

import torch

from probunet.config import DataPlace, Training
from probunet.models.device import free_memory, gigabytes

logger = logging.getLogger(__name__)

# of the free memory that `auto` gives to the images; the rest is for network and validation
SHARE = 0.5


def choose_place(training: Training, size: int, device: torch.device, store: Path) -> DataPlace:
    """Return the place of images of `size` bytes, and log it in one line.

    `training.data: auto` is the first of device, host and disk where they take at most `SHARE` of
    the free memory. The memory of a CPU is both that of the device and that of the host.
    """
    asked = training.data
    free = {"device": free_memory(device)}
    if device.type != "cpu":
        free["host"] = free_memory(torch.device("cpu"))
    fitting: list[DataPlace] = [
        place for place in ("device", "host") if size <= SHARE * free.get(place, -1)
    ]
    place = asked if asked != "auto" else (*fitting, "disk")[0]
    left = ", ".join(f"{gigabytes(free[name])} free on {name}" for name in free)
    logger.info(
        "%s: training images: %s, on %s (training.data: %s; %s)",
        store,
        gigabytes(size),
        place,
        asked,
        left,
    )
    return place
