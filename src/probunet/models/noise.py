"""Noise as large as a feature map, drawn where the model is."""

import torch
from torch import Generator


def on_device(generator: Generator, device: torch.device) -> Generator:
    """Return a generator on the device, seeded with the next number of this one on the CPU.

    Millions of numbers per image would take longer to draw on the CPU and to copy than the model
    takes. The price: they are the same on equal kinds of device only.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return Generator(device).manual_seed(seed)
