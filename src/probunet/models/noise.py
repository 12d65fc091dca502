"""Noise that does not depend on the device or on the other images of a batch."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from probunet.models.device import sent


def normal_per_image(
    n: int, size: int, generators: Sequence[Generator], device: torch.device
) -> Tensor:
    """Return standard normal noise (n, B, size), each image's drawn by its generator on the CPU."""
    noise = [torch.randn(n, size, generator=generator) for generator in generators]
    return sent(torch.stack(noise, dim=1), device)


def on_device(generator: Generator, device: torch.device) -> Generator:
    """Return a generator on the device, seeded with the next number of this one on the CPU.

    It is for noise as large as a feature map: drawing millions of numbers per image on the CPU and
    copying them would take longer than the model itself. The price is that these numbers are the
    same only on devices of the same kind.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return Generator(device).manual_seed(seed)
