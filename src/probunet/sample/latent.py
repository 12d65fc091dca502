"""Segmentations over a plane of the latent space, as in the figures of Kohl et al. 2018.

The plane is spanned by the two latent dimensions a and b with the largest effect: the number of
pixels whose class differs between z = mean - 2 sigma_d e_d and z = mean + 2 sigma_d e_d, with mean
and sigma of the image's prior. The grid is z = mean + s_i sigma_a e_a + s_j sigma_b e_b for steps s
from -3 to 3.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.models.probabilistic_unet import Condition, ProbabilisticUNet
from probunet.store import Latent
from probunet.truth.base import Sampled

LATENT_IMAGES = 4
STEPS = np.linspace(-3, 3, 7, dtype=np.float32)  # in standard deviations of the prior
_EFFECT = 2.0  # distance from the mean at which the effect is measured, standard deviations


def explore_latent(
    model: ProbabilisticUNet, images: Sampled, rows: NDArray[np.int64]
) -> Latent | None:
    """Return the latent space around evenly spaced images; None if it has one dimension only."""
    if model.latent_dim < 2:
        return None
    spread = np.linspace(0, len(rows) - 1, min(LATENT_IMAGES, len(rows))).round().astype(int)
    chosen = rows[spread]
    device = next(model.parameters()).device
    directions, grids = [], []
    posterior: dict[str, list[NDArray[np.float32]]] = {"mean": [], "log_sigma": []}
    for row in chosen:
        image, masks = images.load(np.array([row]), device)
        condition = model.condition(image)
        pair = strongest_directions(model, condition)
        directions.append(pair.cpu().numpy())
        grids.append(images.stored(_grid(model, condition, pair)))
        with torch.no_grad():
            by_mask = [model.encode(image, mask) for mask in masks.unbind(1)]
        missing = ~images.given(int(row))
        for name, values in posterior.items():
            value = torch.cat([getattr(one, name) for one in by_mask]).cpu().numpy()
            value[missing] = np.nan
            values.append(value)
    return Latent(
        rows=chosen,
        directions=np.stack(directions),
        steps=STEPS,
        grid=np.stack(grids),
        posterior_mean=np.stack(posterior["mean"]),
        posterior_log_sigma=np.stack(posterior["log_sigma"]),
    )


def strongest_directions(model: ProbabilisticUNet, condition: Condition) -> Tensor:
    """Return the two latent dimensions with the largest effect on one image, (2,) int64."""
    changed = []
    for direction in torch.eye(model.latent_dim, device=condition.mixed.device):
        low, high = (
            model.segment(condition, condition.prior.at(step * direction[None]))
            for step in (-_EFFECT, _EFFECT)
        )
        changed.append((low != high).sum())
    return torch.stack(changed).argsort(descending=True, stable=True)[:2]


def _grid(model: ProbabilisticUNet, condition: Condition, pair: Tensor) -> Tensor:
    """Return the segmentations of one image over the plane of two directions, (g, g, H, W)."""
    device = condition.mixed.device
    first, second = torch.eye(model.latent_dim, device=device)[pair]
    steps = torch.from_numpy(STEPS).to(device)
    lines = []
    for step in steps:  # one line at a time, to save memory
        noise = step * first + steps[:, None] * second  # (g, latent_dim)
        lines.append(model.segment(condition, condition.prior.at(noise)))
    return torch.stack(lines)
