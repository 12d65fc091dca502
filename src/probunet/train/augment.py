"""Random deformation of training crops: image and mask move together, in one field.

An output pixel at u (row, column, from the crop's middle) is read from the stored crop at

    p(u) = middle + t + A u + e(u)

with A = rotation, shear and scale, e elastic, t the random translation (Kohl et al. 2018,
appendix H.1 names these five and no magnitudes; they are `augmentation` in the configuration).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from probunet.config import Augmentation


class Deformation(NamedTuple):
    """The few random numbers behind a batch's deformation."""

    affine: Tensor  # (B, 2, 2), A: acts on (x, y)
    translation: Tensor  # (B, 2), from 0 to 1 of what is possible, x and y
    elastic: Tensor  # (B, 2, points, points), displacements of the control points, pixels

    def to(self, device: torch.device) -> "Deformation":
        """Return the same on a device."""
        return Deformation(*(part.to(device) for part in self))


def draw_deformation(
    settings: Augmentation, batch: int, crop: int, generator: Generator
) -> Deformation:
    """Return a random deformation for each crop of a batch.

    Drawn on the CPU, whatever the device, so that all devices see the same crops.
    """
    points = math.ceil((crop - 1) / settings.elastic_grid) + 1
    return Deformation(
        _affine(settings, batch, generator),
        torch.rand(batch, 2, generator=generator),
        torch.randn(batch, 2, points, points, generator=generator) * settings.elastic,
    )


def sampling_field(deformation: Deformation, size: int, crop: int) -> Tensor:
    """Return where each output pixel is read from: (B, crop, crop, 2), x then y, pixels.

    `size` is the stored crop's side. The translation is uniform over what keeps the rotated,
    sheared and scaled square inside the stored crop, in whole pixels: with all magnitudes zero
    this is a plain random crop. It is at most a quarter of the crop, so that small crops keep
    the lesion, which lies in the middle (the paper's 128 of 180 pixels stay within that).
    """
    affine, translation, elastic = deformation
    u = torch.arange(crop, dtype=torch.float32, device=affine.device) - (crop - 1) / 2
    x, y = u, u[:, None]
    a = affine[..., None, None]  # no matrix product: those may run in fewer bits on a GPU
    field = torch.stack([a[:, 0, 0] * x + a[:, 0, 1] * y, a[:, 1, 0] * x + a[:, 1, 1] * y], dim=-1)
    reach = field.abs().amax(dim=(1, 2))  # (B, 2), of the square from its middle
    slack = ((size - 1) / 2 - reach + 1e-3).clamp(min=0, max=crop // 4).floor()
    shift = (translation * (2 * slack + 1)).floor() - slack
    smooth = F.interpolate(elastic, size=(crop, crop), mode="bicubic", align_corners=True)
    return field + ((size - 1) / 2 + shift)[:, None, None] + smooth.movedim(1, -1)


def deform(image: Tensor, mask: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Return image (B, 1, h, w) and mask (B, h, w) int64 as read along a field.

    The image (B, H, W) float32 is interpolated linearly and goes on beyond its border as it ends
    there; the mask (B, H, W) float32 takes the nearest pixel, and is 0 outside.
    """
    grid = field * (2 / (image.shape[-1] - 1)) - 1  # -1 and 1 are the middles of border pixels
    image = F.grid_sample(
        image[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    mask = F.grid_sample(
        mask[:, None], grid, mode="nearest", padding_mode="zeros", align_corners=True
    )
    return image, mask[:, 0].to(torch.int64)


def _affine(settings: Augmentation, batch: int, generator: Generator) -> Tensor:
    """Return rotation times shear times scale, (batch, 2, 2)."""

    def uniform(largest: float) -> Tensor:
        return (2 * torch.rand(batch, generator=generator) - 1) * largest

    angle = uniform(math.radians(settings.rotation))
    shear = torch.tan(uniform(math.radians(settings.shear)))
    scale = 1 + uniform(settings.scale)
    one, zero = torch.ones(batch), torch.zeros(batch)
    rotation = _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
    return rotation @ _matrix(one, shear, zero, one) * scale[:, None, None]


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], dim=-1), torch.stack([c, d], dim=-1)], dim=-2)
