"""From an image's own values to those that a network sees."""

import torch
from torch import Tensor


def windowed(values: Tensor, window: tuple[float, float]) -> Tensor:
    """Return images (n, H, W, C) as (n, C, H, W) float32, scaled to 0 to 1 and clipped."""
    low, high = window
    return (values.to(torch.float32) - low).div_(high - low).clamp_(0, 1).movedim(-1, 1)
