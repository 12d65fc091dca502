"""Random deformation of training images: image and label move together, in one field.

An output pixel at u (x and y, from the output's middle) is read from the stored image at

    p(u) = middle + t + A M u + e(u)

with A = rotation, shear and scale, M = mirroring, e elastic, t the random translation. For LIDC
the paper names elastic deformation, rotation, shearing, scaling and a random crop, and no
magnitudes (Kohl et al. 2018, appendix H.1); for Cityscapes the authors' released code has
mirroring, elastic deformation, rotation, scaling and gamma. All are `augmentation` in the
configuration.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from probunet.config import Augmentation

Size = tuple[int, int]  # height and width, pixels


class Deformation(NamedTuple):
    """The few random numbers behind a batch's deformation."""

    affine: Tensor  # (B, 2, 2), A M: acts on (x, y)
    translation: Tensor  # (B, 2), from 0 to 1 of what is possible, x and y
    elastic: Tensor  # (B, 2, rows, columns), displacements of the control points, pixels

    def to(self, device: torch.device) -> "Deformation":
        """Return the same on a device."""
        return Deformation(*(part.to(device) for part in self))


def draw_deformation(
    settings: Augmentation, batch: int, size: Size, generator: Generator
) -> Deformation:
    """Return a random deformation for each image of a batch; `size` is that of the output.

    Drawn on the CPU, whatever the device, so that all devices see the same images.
    """
    rows, columns = (math.ceil((length - 1) / settings.elastic_grid) + 1 for length in size)
    affine = _affine(settings, batch, generator)
    translation = torch.rand(batch, 2, generator=generator)
    elastic = torch.randn(batch, 2, rows, columns, generator=generator) * settings.elastic
    mirrored = torch.rand(batch, generator=generator) < settings.mirror
    affine[..., 0] *= torch.where(mirrored, -1.0, 1.0)[:, None]  # the column that x goes through
    return Deformation(affine, translation, elastic)


def sampling_field(deformation: Deformation, stored: Size, size: Size) -> Tensor:
    """Return where each output pixel is read from: (B, h, w, 2), x then y, pixels.

    `stored` is the stored image's size, `size` = (h, w) the output's. The translation is uniform
    over what keeps the rotated, sheared and scaled rectangle inside the stored image, in whole
    pixels: with all magnitudes zero this is a plain random crop. It is at most a quarter of the
    output, so that small crops keep the lesion, which lies in the middle (the paper's 128 of 180
    pixels stay within that).
    """
    affine, translation, elastic = deformation
    (height, width), device = size, affine.device
    x = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=device)[:, None] - (height - 1) / 2
    a = affine[..., None, None]  # no matrix product: those may run in fewer bits on a GPU
    field = torch.stack([a[:, 0, 0] * x + a[:, 0, 1] * y, a[:, 1, 0] * x + a[:, 1, 1] * y], dim=-1)
    middle = torch.tensor([(stored[1] - 1) / 2, (stored[0] - 1) / 2], device=device)
    farthest = torch.tensor([width // 4, height // 4], device=device)
    reach = field.abs().amax(dim=(1, 2))  # (B, 2), of the rectangle from its middle
    slack = (middle - reach + 1e-3).clamp(min=0).minimum(farthest).floor()
    shift = (translation * (2 * slack + 1)).floor() - slack
    smooth = F.interpolate(elastic, size=size, mode="bicubic", align_corners=True)
    return field + (middle + shift)[:, None, None] + smooth.movedim(1, -1)


def deform(image: Tensor, label: Tensor, field: Tensor, outside: int = 0) -> tuple[Tensor, Tensor]:
    """Return image (B, C, h, w) and label (B, h, w) int64 as read along a field.

    The image (B, C, H, W) float32 is interpolated linearly and goes on beyond its border as it
    ends there; the label (B, H, W) float32 takes the nearest pixel, and is `outside` beyond.
    """
    height, width = label.shape[-2:]
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], device=field.device)
    grid = field * scale - 1  # -1 and 1 are the middles of border pixels
    image = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
    label = F.grid_sample(
        label[:, None] - outside, grid, mode="nearest", padding_mode="zeros", align_corners=True
    )
    return image, label[:, 0].to(torch.int64) + outside


def change_gamma(settings: Augmentation, image: Tensor, generator: Generator) -> Tensor:
    """Return images (B, C, H, W) of intensities from 0 to 1, some channels to a power of them.

    A channel's power is uniform in `settings.gamma` with `settings.gamma_probability`, else 1.
    """
    if settings.gamma_probability == 0:
        return image
    least, greatest = settings.gamma
    gamma = least + (greatest - least) * torch.rand(image.shape[:2], generator=generator)
    chosen = torch.rand(image.shape[:2], generator=generator) < settings.gamma_probability
    exponent = torch.where(chosen, gamma, 1.0).to(image.device)
    return image.clamp(0, 1) ** exponent[..., None, None]


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
