"""MoSE: a mixture of stochastic experts, which learns from all graders of an image at once.

    p(y | x) = sum_k pi_k(x) p_k(y | x),   y = f(x, z),   z ~ N(mu_k, diag sigma_k^2) of expert k

    L = min over T of sum_ij T_ij d(s_i, y_j) + beta / N KL(sum_j T_ij || pi_i),   i = 1 ... N

N = K S samples, S of each of the K experts, have the weights pi_i = pi_k(x) / S. T is a transport
of the graders' masks, of equal weights, to the samples, each of which takes at most the share gamma
(see `transport`); the gate pi learns where the graders' mass goes. d is 1 minus the soft IoU with 1
added to both numbers of pixels, mean over all classes but the first; or the cross-entropy, mean
over pixels.

From Gao et al. 2023 ("Modeling Multimodal Aleatoric Uncertainty in Segmentation with Mixture of
Stochastic Experts", arXiv 2212.07328) and the authors' release: the mixture, with 4 experts of 4
samples; a latent space of one dimension with sigma = 1/8 at the start; a U-Net of 32, 64, 128 and
four times 192 channels with batch normalisation; the gate, from pooled features by two hidden
layers; the join of features and noise, (f + W z + b) (V z + c + 1e-5), followed by 1x1
convolutions; the loss, its greedy transport, the mean of its KL over the samples, gamma = 1/2,
which becomes 1 once the loss stands still. The release has beta = 1, and 10 for training on one
grader; 35 experts of one sample, 5 latent dimensions, the cross-entropy and gamma = 1/32 on
Cityscapes.
Chosen: the decoder has the encoder's channels, and the 1x1 convolutions are those of f_comb of the
Probabilistic U-Net, without the release's batch normalisation, which would mix samples, and would
also follow the logits. The gate sees the coarsest features (the release's are those of its fifth
scale), and starts with a hundredth of the drawn weights in its last layer: near equal shares. The
mu_k start at K evenly spaced values from 0 to 1 in each dimension, in random order. As released,
the factor of the expert at 0 starts near 0: it has one answer for all pixels, from which nothing is
soon learnt, where the others would have to unlearn what they see. A pixel that a grader ignores has
no part in the distance to this grader. The loss stands still if its moving average has no new
lowest value for `patience` steps; the release counts epochs.

Samples are weighted: of each K samples, one is from each expert and counts pi_k. Fewer samples than
experts are drawn from the mixture, and count equally; both are the paper's. The order of the
experts is random, the next one being chosen with its share of the weight that is left, so that the
first sample alone is a draw from the mixture. The first n samples have the mixture's weights if n
is 1 or a multiple of K. The deterministic segmentation is that of the mean probability over the
experts at their mu_k, with their weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from probunet.flips import IGNORE
from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.segmentation import most_likely, sampled
from probunet.models.transport import Limit, transport
from probunet.models.unet import UNet

SMALL = 0.01  # times the weights that `Model.initialise` draws
SIGMA = 1 / 8  # of the experts at the start
_SCALE = 1e-5  # added to the factor of the features, as released
_LOG = 1e-8  # added to probabilities before their logarithm, as released


class Condition(NamedTuple):
    """What an image contributes to each of its samples; computed once."""

    features: Tensor  # (B, H, W, channels[0]) float32
    weights: Tensor  # (B, experts) float32, pi; their sum is 1


class MoSE(Model):
    """U-Net, gate, experts and the join of features and noise.

    Parameters
    ----------
    latent_dim
        Dimensions of the latent space.
    head_convolutions
        1x1 convolutions after the join, before the one that gives the logits.
    experts
        K.
    loss_samples
        S, samples of each expert for the loss.
    cost
        "iou" or "cross_entropy".
    limit
        gamma, the largest share of the graders' mass that a sample takes at first.
    patience
        Steps without a lower loss until gamma is 1.
    """

    all_masks = True

    def __init__(
        self,
        architecture: Architecture,
        *,
        latent_dim: int,
        head_convolutions: int,
        experts: int,
        loss_samples: int,
        cost: str,
        limit: float,
        patience: int,
    ) -> None:
        super().__init__()
        self.experts, self.loss_samples, self.cost = experts, loss_samples, cost
        self.round = experts
        self.unet = UNet(architecture, normalise=True)
        self.gate = Gate(architecture.channels[-1], experts)
        self.mean = nn.Parameter(torch.zeros(experts, latent_dim))  # mu
        self.log_sigma = nn.Parameter(torch.full((experts, latent_dim), SIGMA).log())
        self.join = Join(
            architecture.channels[0], latent_dim, head_convolutions, architecture.classes
        )
        self.limit = Limit(limit, patience)

    @torch.no_grad()
    def initialise(self, how: str, generator: Generator) -> None:
        """Draw all weights; spread the experts, and let all have similar shares."""
        super().initialise(how, generator)
        self.gate.last.weight *= SMALL
        for weight in (self.join.shift.weight, self.join.scale.weight):
            nn.init.xavier_uniform_(weight, generator=generator)
        for values in self.mean.unbind(1):
            order = torch.randperm(self.experts, generator=generator)
            values.copy_(order / max(1, self.experts - 1))

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the cost of the transport, and the KL of its masses and the gate's weights."""
        shape = (len(image), self.experts, self.loss_samples, self.mean.shape[1])
        noise = sent(torch.randn(shape, generator=generator), image.device)
        masks = mask.view(len(image), -1, *mask.shape[1:])
        costs, weights = self(image, masks, noise)
        there = (masks != IGNORE).flatten(2).any(dim=2)
        masses = transport(costs.detach(), there, self.limit.value)  # (B, G, N)
        cost = (masses * costs).sum(dim=(1, 2)).mean()
        each = (weights / self.loss_samples).repeat_interleave(self.loss_samples, dim=1)
        wanted = masses.sum(dim=1)
        kl = (torch.xlogy(wanted, wanted) - wanted * (each + _LOG).log()).mean()
        total = cost + beta * kl
        self.limit.see(total.detach())
        return Loss(total, cost, kl)

    def forward(self, image: Tensor, masks: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distances of graders and samples (B, G, K S), and the weights (B, K).

        Parameters
        ----------
        masks : (B, G, H, W) int64
        noise : (B, K, S, latent_dim)
            Standard normal.
        """
        features, weights = self.condition(image)
        with torch.autocast(image.device.type, enabled=False):
            z = self.mean[:, None] + self.log_sigma.exp()[:, None] * noise
            logits = self.join(features, z.flatten(1, 2))
            measure = _soft_iou if self.cost == "iou" else _mean_cross_entropy
            return measure(logits, masks.flatten(2)), weights

    def condition(self, image: Tensor) -> Condition:
        """Return what all samples of images (B, in_channels, H, W) share."""
        scales = self.unet.encoder(image)
        features = self.unet.decoder(scales).movedim(1, -1).float()
        return Condition(features, self.gate(scales[-1]))

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n samples, with their weights, and the segmentation of the mixture's mean."""
        features, weights = self.condition(image)
        orders, noise = [], []
        for own, generator in zip(weights, generators, strict=True):
            expert, one = self._choose(own, n, generator)
            orders.append(expert)
            noise.append(one)
        experts, deviations = torch.stack(orders, dim=1), torch.stack(noise, dim=1)  # (n, B, ...)
        counts: Tensor | None = None  # (B, n)
        if n >= self.experts:
            counts = weights.gather(1, experts.T)
            counts = counts / counts.mean(dim=1, keepdim=True)
        samples = []
        for i in range(n):  # one by one: features of all samples need much memory
            at = experts[i]
            z = self.mean[at] + self.log_sigma[at].exp() * deviations[i]
            own_weights = None if counts is None else counts[:, i]
            samples.append(sampled(self._segment(features, z), see, -1, own_weights))
        mean: Tensor | float = 0.0
        for k in range(self.experts):
            z = self.mean[k].expand(len(image), -1)
            mean = mean + weights[:, k, None, None, None] * self._segment(features, z).softmax(-1)
        assert isinstance(mean, Tensor)
        return Hypotheses(torch.stack(samples), most_likely(mean, dim=-1), sample_weights=counts)

    def _choose(self, weights: Tensor, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return the experts of an image's samples (n,) int64, and their noise (n, latent_dim).

        `weights` (experts,) are those of the image.
        """
        experts, noise = [], []
        # a round has each expert once; of fewer samples than experts, each is a round's first
        taken = self.experts if n >= self.experts else 1
        for _ in range(-(-n // taken)):
            waiting = torch.empty(self.experts).exponential_(generator=generator)
            of_experts = torch.randn(self.experts, self.mean.shape[1], generator=generator)
            # the smallest of the times waiting_k / pi_k is that of k with probability pi_k
            order = (weights / sent(waiting, weights.device)).argsort(descending=True, stable=True)
            experts.append(order[:taken])
            noise.append(sent(of_experts, weights.device)[order[:taken]])
        return torch.cat(experts)[:n], torch.cat(noise)[:n]

    def _segment(self, features: Tensor, z: Tensor) -> Tensor:
        """Return the logits (B, H, W, classes) of a sample of each image at z, (B, latent_dim)."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.join(features, z[:, None])
        return logits.view(*features.shape[:3], -1)


class Gate(nn.Module):
    """The weights of the experts, from the coarsest features."""

    def __init__(self, features: int, experts: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features), nn.ReLU()
        )
        self.last = nn.Linear(features, experts, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return weights (B, experts) float32, whose sum is 1, of features (B, C, h, w)."""
        x = features.mean(dim=(2, 3), dtype=torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            return torch.softmax(self.last(self.hidden(x)), dim=1)


class Join(nn.Module):
    """Joins features and noise, (f + W z + b) (V z + c + 1e-5); 1x1 convolutions give logits.

    The first convolution is linear, hence A ((f + r) s) + a = (A diag(s)) f + (A (r s) + a): a
    sample has its own matrix, which acts on the features that all samples share, and the joined
    features are never in memory. A 1x1 convolution is one matrix product over all pixels, as in
    `probabilistic_unet.FComb`.
    """

    def __init__(self, features: int, latent_dim: int, convolutions: int, classes: int) -> None:
        super().__init__()
        self.shift = nn.Linear(latent_dim, features)  # W and b
        self.scale = nn.Linear(latent_dim, features)  # V and c
        self.first = nn.Linear(features, features)
        self.rest = nn.ModuleList(nn.Linear(features, features) for _ in range(convolutions - 1))
        self.logits = nn.Linear(features, classes)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """Return logits (B, H W, N, classes) of features (B, H, W, C) and z, (B, N, latent_dim)."""
        scale = self.scale(z) + _SCALE  # (B, N, C)
        matrix = (self.first.weight * scale[:, :, None]).flatten(1, 2)  # (B, N C', C)
        constant = self.first(self.shift(z) * scale).flatten(1)[:, None]  # (B, 1, N C')
        x = torch.baddbmm(constant, features.flatten(1, 2), matrix.mT)
        x = F.relu_(x).view(-1, self.first.out_features)
        for layer in self.rest:
            x = F.relu_(layer(x))
        logits: Tensor = self.logits(x)
        return logits.view(len(z), -1, z.shape[1], logits.shape[-1])


def _soft_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - soft IoU of samples (B, pixels, N, classes) and masks (B, G, pixels): (B, G, N).

    Per class (intersection + 1) / (union + 1), mean over all classes but the first.
    """
    probabilities = logits.softmax(dim=-1)
    counted = (masks != IGNORE).to(logits.dtype)
    total: Tensor | float = 0.0
    for k in range(1, logits.shape[-1]):
        of_samples, of_graders = probabilities[..., k], (masks == k).to(logits.dtype)
        both = of_graders @ of_samples
        union = of_graders.sum(dim=2, keepdim=True) + counted @ of_samples - both
        total = total + (both + 1) / (union + 1)
    assert isinstance(total, Tensor)
    return 1 - total / (logits.shape[-1] - 1)


def _mean_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the cross-entropy of samples and masks, mean over pixels; shapes as `_soft_iou`."""
    logs = F.log_softmax(logits, dim=-1)
    total: Tensor | float = 0.0
    for k in range(logits.shape[-1]):
        total = total - (masks == k).to(logits.dtype) @ logs[..., k]
    assert isinstance(total, Tensor)
    return total / (masks != IGNORE).sum(dim=2, keepdim=True).clamp(min=1)
