"""The latent space around a few test images of a Probabilistic U-Net.

As in Kohl et al. 2018, whose figures show segmentations over a plane of the latent space. The plane
is spanned by the two latent dimensions of largest effect: for each dimension d, the pixels are
counted whose class differs between z = mean - 2 sigma_d e_d and z = mean + 2 sigma_d e_d, with mean
and sigma of the image's prior. The grid lies at z = mean + (s_i sigma_a e_a + s_j sigma_b e_b) for
the steps s from -3 to 3, a having the largest effect and b the second largest.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.models.probabilistic_unet import Condition, ProbabilisticUNet
from probunet.sample.masks import MaskImages
from probunet.sample.scenes import SceneImages
from probunet.store import Latent

LATENT_IMAGES = 4
STEPS = np.linspace(-3, 3, 7, dtype=np.float32)  # sigmas of the prior
_EFFECT = 2.0  # sigmas to either side, between which pixels that change are counted


def explore_latent(
    model: ProbabilisticUNet, images: MaskImages | SceneImages, rows: NDArray[np.int64]
) -> Latent | None:
    """Return the latent space around images that are spread evenly over the rows.

    None if it has one dimension only, and no plane.
    """
    if model.latent_dim < 2:
        return None
    spread = np.linspace(0, len(rows) - 1, min(LATENT_IMAGES, len(rows))).round().astype(int)
    chosen = rows[spread]
    device = next(model.parameters()).device
    directions, grids = [], []
    means: list[NDArray[np.float32]] = []
    log_sigmas: list[NDArray[np.float32]] = []
    for row in chosen:
        image, truths = images.load(np.array([row]), device)
        condition = model.condition(image)
        pair = strongest_directions(model, condition)
        directions.append(pair.cpu().numpy())
        grids.append(images.stored(_grid(model, condition, pair)))
        with torch.no_grad():
            posteriors = [model.encode(image, truth) for truth in truths.unbind(1)]
        unseen = ~images.given(int(row))
        for of_images, name in ((means, "mean"), (log_sigmas, "log_sigma")):
            values = torch.cat([getattr(one, name) for one in posteriors]).cpu().numpy()
            values[unseen] = np.nan
            of_images.append(values)
    return Latent(
        rows=chosen,
        directions=np.stack(directions),
        steps=STEPS,
        grid=np.stack(grids),
        posterior_mean=np.stack(means),
        posterior_log_sigma=np.stack(log_sigmas),
    )


def strongest_directions(model: ProbabilisticUNet, condition: Condition) -> Tensor:
    """Return the two latent dimensions of largest effect on one image, (2,) int64."""
    changed = []
    for direction in torch.eye(model.latent_dim, device=condition.mixed.device):
        low, high = (
            model.segment(condition, condition.prior.at(step * direction[None]))
            for step in (-_EFFECT, _EFFECT)
        )
        changed.append((low != high).sum())
    return torch.stack(changed).argsort(descending=True, stable=True)[:2]


def _grid(model: ProbabilisticUNet, condition: Condition, pair: Tensor) -> Tensor:
    """Return the segmentations of one image over the plane of two dimensions, (g, g, H, W)."""
    device = condition.mixed.device
    first, second = torch.eye(model.latent_dim, device=device)[pair]
    steps = torch.from_numpy(STEPS).to(device)
    lines = []
    for step in steps:  # a line at a time: many classes at full size are much memory
        noise = step * first + steps[:, None] * second  # (g, latent_dim)
        lines.append(model.segment(condition, condition.prior.at(noise)))
    return torch.stack(lines)
