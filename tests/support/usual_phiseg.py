"""PHiSeg's loss written out as in its paper and code, level by level, from a model's own weights.

Level l = 0 is the finest with a latent map. Weights are taken by name; nothing else of the model is
used. Maps are (B, channels, h, w), contiguous.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class UsualPHiSeg:
    """The loss of a model's weights, in training mode."""

    def __init__(self, weights: dict[str, Tensor], scales: int, levels: int, convolutions: int):
        self.weights = {name: value.contiguous() for name, value in weights.items()}
        self.scales, self.levels, self.convolutions = scales, levels, convolutions

    def conv(self, x: Tensor, name: str) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return F.conv2d(x, weight, self.weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def unit(self, x: Tensor, block: str, index: int = 0) -> Tensor:
        """A convolution, batch normalisation and a ReLU: three modules of a block."""
        x = self.conv(x, f"{block}.{index}")
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        scale, offset = (self.weights[f"{block}.{index + 1}.{part}"] for part in ("weight", "bias"))
        return F.relu(x * scale[:, None, None] + offset[:, None, None])

    def units(self, x: Tensor, block: str, count: int) -> Tensor:
        for k in range(count):
            x = self.unit(x, block, 3 * k)
        return x

    def maps(
        self, part: str, x: Tensor, choose: list[Tensor] | None, noise: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return z, mean and sigma of each level, finest first; z is `choose` if there is one."""
        features = []
        for scale in range(self.scales):
            x = F.avg_pool2d(x, 2) if scale else x
            x = self.units(x, f"{part}.encoder.{scale}", self.convolutions)
            features.append(x)
        difference = self.scales - self.levels
        z, mean, sigma = ([torch.empty(0)] * self.levels for _ in range(3))
        for level in reversed(range(self.levels)):
            order = self.levels - 1 - level  # in the model, coarsest first
            x = features[level + difference]
            if level < self.levels - 1:
                above = self.units(double(z[level + 1]), f"{part}.above.{order - 1}", 2)
                x = self.units(torch.cat([x, above], 1), f"{part}.join.{order - 1}", 2)
            mean[level] = self.conv(x, f"{part}.heads.{order}.mean")
            sigma[level] = F.softplus(self.conv(x, f"{part}.heads.{order}.sigma"))
            z[level] = mean[level] + sigma[level] * noise[level]
            if choose is not None:
                z[level] = choose[level]
        return z, mean, sigma

    def logits(self, z: list[Tensor]) -> list[Tensor]:
        """Return each level's logits at full resolution, finest first."""
        difference = self.scales - self.levels
        context: list[Tensor] = [torch.empty(0)] * self.levels
        for level in reversed(range(self.levels)):
            order = self.levels - 1 - level
            x = self.units(z[level], f"likelihood.first.{order}", 2)
            for times in range(difference):
                x = self.unit(double(x), f"likelihood.grow.{order * difference + times}")
            if level < self.levels - 1:
                above = self.unit(double(context[level + 1]), f"likelihood.above.{order - 1}")
                x = self.units(torch.cat([x, above], 1), f"likelihood.join.{order - 1}", 2)
            context[level] = x
        return [
            F.interpolate(
                self.conv(x, f"likelihood.logits.{self.levels - 1 - level}"),
                scale_factor=2**level,
                mode="nearest",
            )
            for level, x in enumerate(context)
        ]

    def loss(self, image: Tensor, mask: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy summed over levels and the weighted KL; noise finest first."""
        classes = self.weights["likelihood.logits.0.weight"].shape[0]
        one_hot = F.one_hot(mask, classes).movedim(-1, 1).float()
        seen = torch.cat([image, one_hot - 0.5], dim=1)
        z, mean, sigma = self.maps("posterior", seen, None, noise)
        _, prior_mean, prior_sigma = self.maps("prior", image, z, noise)
        logits, total = self.logits(z), torch.zeros(())
        for level in reversed(range(self.levels)):
            accumulated = torch.stack(logits[level:]).sum(dim=0)
            total = total + F.cross_entropy(accumulated, mask, reduction="sum") / len(image)
        kl = torch.zeros(())
        for level in range(self.levels):
            a, b = (one[level].square() + 1e-10 for one in (sigma, prior_sigma))
            distance = (mean[level] - prior_mean[level]).square()
            each = ((a + distance) / b + b.log() - a.log() - 1) / 2
            kl = kl + 4**level * each.sum(dim=(1, 2, 3)).mean()
        return total, kl


def double(x: Tensor) -> Tensor:
    """Return x with twice the height and width, bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
