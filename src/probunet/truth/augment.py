"""Random deformation of training images and their labels by the same sampling field.

The output pixel at u = (x, y), relative to the output's centre, has the value of the stored image
at

    p(u) = centre + t + A M u + e(u)

with A = rotation, shear and scale, M = mirroring, e = elastic displacement, t = translation. For
LIDC the paper lists elastic deformation, rotation, shearing, scaling and a random crop without
magnitudes (Kohl et al. 2018, appendix H.1); for Cityscapes the authors' released code has
mirroring, elastic deformation, rotation, scaling and gamma. The magnitudes are settings, see
`config.training.Augmentation`.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from probunet.models.device import sent

if TYPE_CHECKING:  # benchmarks/accelerator.py has torch and NumPy only
    from probunet.config import Augmentation, Size


class Deformation(NamedTuple):
    """Random numbers that define the deformation of a batch."""

    affine: Tensor  # (B, 2, 2), A M, applied to (x, y)
    translation: Tensor  # (B, 2), x and y, from 0 to 1: share of the possible range
    # (B, 2, rows, columns), displacement of the control points, pixels; the first and last ones are
    # on the output's edges
    elastic: Tensor

    def centred(self) -> "Deformation":
        """Return the deformation without translation."""
        return self._replace(translation=torch.full_like(self.translation, 0.5))

    def to(self, device: torch.device) -> "Deformation":
        """Return the deformation on a device."""
        return Deformation(*(sent(part, device) for part in self))


def draw_deformation(
    settings: "Augmentation", batch: int, size: "Size", generator: Generator
) -> Deformation:
    """Return a random deformation for each image of a batch of output size `size`.

    It is drawn on the CPU, so that all devices use the same numbers.
    """
    rows, columns = (math.ceil((length - 1) / settings.elastic_grid) + 1 for length in size)
    affine = _affine(settings, batch, generator)
    translation = torch.rand(batch, 2, generator=generator)
    elastic = torch.randn(batch, 2, rows, columns, generator=generator) * settings.elastic
    mirrored = torch.rand(batch, generator=generator) < settings.mirror
    affine[..., 0] *= torch.where(mirrored, -1.0, 1.0)[:, None]  # the column that multiplies x
    return Deformation(affine, translation, elastic)


def sampling_field(deformation: Deformation, stored: "Size", size: "Size") -> Tensor:
    """Return the position in the stored image of each output pixel: (B, h, w, 2), x then y, pixels.

    `stored` is the size of the stored image, `size` = (h, w) that of the output. The translation is
    a uniform number of whole pixels that keeps the rotated, sheared and scaled rectangle inside the
    stored image; if all magnitudes are zero, the result is a random crop. The translation is at
    most a quarter of the output, so that small crops contain the central lesion (the paper's crop
    of 128 of 180 pixels is not affected).
    """
    affine, translation, elastic = deformation
    (height, width), device = size, affine.device
    x = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=device)[:, None] - (height - 1) / 2
    a = affine[..., None, None]  # a matrix product may have reduced precision on a GPU
    field = torch.stack([a[:, 0, 0] * x + a[:, 0, 1] * y, a[:, 1, 0] * x + a[:, 1, 1] * y], dim=-1)
    centre = sent(torch.tensor([(stored[1] - 1) / 2, (stored[0] - 1) / 2]), device)
    largest = sent(torch.tensor([width // 4, height // 4]), device)
    reach = field.abs().amax(dim=(1, 2))  # (B, 2), from the centre of the rectangle to its edge
    slack = (centre - reach + 1e-3).clamp(min=0).minimum(largest).floor()
    shift = (translation * (2 * slack + 1)).floor() - slack
    smooth = F.interpolate(elastic, size=size, mode="bicubic", align_corners=True)
    return field + (centre + shift)[:, None, None] + smooth.movedim(1, -1)


def deform(image: Tensor, label: Tensor, field: Tensor, outside: int = 0) -> tuple[Tensor, Tensor]:
    """Return image (B, C, h, w) and label (B, ..., h, w) int64, sampled at a field's positions.

    The image (B, C, H, W) float32 is interpolated linearly; outside, its border is repeated. The
    label (B, ..., H, W) float32, one or several per image, takes the nearest pixel; outside, it is
    `outside`.
    """
    height, width = label.shape[-2:]
    scale = sent(torch.tensor([2 / (width - 1), 2 / (height - 1)]), field.device)
    grid = field * scale - 1  # -1 and 1 are the centres of border pixels
    image = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
    labels = label.reshape(len(label), -1, height, width) - outside
    labels = F.grid_sample(
        labels, grid, mode="nearest", padding_mode="zeros", align_corners=True
    ).reshape(*label.shape[:-2], *grid.shape[1:3])
    return image, labels.to(torch.int64) + outside


def change_gamma(settings: "Augmentation", image: Tensor, generator: Generator) -> Tensor:
    """Return images (B, C, H, W) with values from 0 to 1, some channels raised to a power.

    A channel's exponent is uniform in `settings.gamma` with `settings.gamma_probability`, else 1.
    """
    if settings.gamma_probability == 0:
        return image
    low, high = settings.gamma
    gamma = low + (high - low) * torch.rand(image.shape[:2], generator=generator)
    chosen = torch.rand(image.shape[:2], generator=generator) < settings.gamma_probability
    exponent = sent(torch.where(chosen, gamma, 1.0), image.device)
    return image.clamp(0, 1) ** exponent[..., None, None]


def _affine(settings: "Augmentation", batch: int, generator: Generator) -> Tensor:
    """Return the products of rotation, shear and scale, (batch, 2, 2)."""

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
