"""The U-Net of diffusion models: residual blocks that are told the time, and self-attention.

    time = W_2 silu(W_1 (cos w t, sin w t)),   w = 10000^(-i / half)
    block: x + conv(silu(norm(conv(silu(norm(x))) + W time)))
    attention: x + W softmax(q k^T / sqrt(d)) v

Ho et al. 2020 ("Denoising Diffusion Probabilistic Models") and Dhariwal and Nichol 2021 ("Diffusion
Models Beat GANs"), as released with CCDM: the encoder keeps what the first convolution, each block
and each step down return, and each block of the decoder sees one of them; strided convolutions
down, nearest neighbours and a convolution up; group normalisation with 32 groups; attention after
the blocks of the scales with an eighth of the pixels a side or less, and in the middle, with 32
channels a head.
Chosen: widths that are no multiples of 32 have up to four groups, and one head.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ATTENTION_FROM = 3  # the first scale with attention, from full resolution, which is 0
HEAD = 32  # channels of an attention head
GROUPS = 32  # of the normalisation
PERIOD = 10_000  # of the slowest wave of the time, divided by 2 pi


class AttentionUNet(nn.Module):
    """From images and times to features at full resolution, without logits.

    Parameters
    ----------
    in_channels
        Channels of an image.
    channels
        Channels of the features at each scale, from full resolution down.
    blocks
        Residual blocks per scale; the decoder has one more.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        width, known = channels[0], 4 * channels[0]
        self.waves = max(1, width // 2)
        self.time = nn.Sequential(
            nn.Linear(2 * self.waves, known), nn.SiLU(), nn.Linear(known, known), nn.SiLU()
        )
        encoder: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1)]
        kept = [width]  # channels of what the decoder sees again
        for scale, own in enumerate(channels):
            if scale > 0:
                encoder.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                kept.append(width)
            for _ in range(blocks):
                encoder.append(Block(width, own, known, scale >= ATTENTION_FROM))
                width = own
                kept.append(width)
        decoder: list[nn.Module] = []
        for scale, own in reversed(list(enumerate(channels))):
            for _ in range(blocks + 1):
                decoder.append(Block(width + kept.pop(), own, known, scale >= ATTENTION_FROM))
                width = own
            if scale > 0:
                decoder.append(nn.Conv2d(width, width, 3, padding=1))
        last = channels[-1]
        middle = [Block(last, last, known, attends) for attends in (True, False)]
        self.encoder, self.middle = nn.ModuleList(encoder), nn.ModuleList(middle)
        self.decoder = nn.ModuleList(decoder)
        self.norm = _normalisation(width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return features (B, channels[0], H, W).

        Parameters
        ----------
        x : (B, in_channels, H, W)
        t : (B,) or (1,) float32
            The time of each image, or of all.
        """
        time = self.time(self._waves_of(t))
        x = x.contiguous(memory_format=torch.channels_last)
        kept = []
        for layer in self.encoder:  # blocks, and convolutions: the first one, and steps down
            x = layer(x, time) if isinstance(layer, Block) else layer(x)
            kept.append(x)
        for block in self.middle:
            x = block(x, time)
        for layer in self.decoder:  # blocks, and steps up
            if isinstance(layer, Block):
                x = layer(torch.cat([x, kept.pop()], dim=1), time)
            else:
                x = layer(F.interpolate(x, size=kept[-1].shape[-2:], mode="nearest"))
        return F.silu(self.norm(x))

    def _waves_of(self, t: Tensor) -> Tensor:
        """Return cosines and sines of times (B,), (B, 2 * waves)."""
        steps = torch.arange(self.waves, device=t.device) * (-math.log(PERIOD) / self.waves)
        angles = t[:, None] * steps.exp()
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class Block(nn.Module):
    """Two convolutions beside a connection, the time added between them, and maybe attention."""

    def __init__(self, before: int, after: int, known: int, attends: bool) -> None:
        super().__init__()
        self.norm = _normalisation(before)
        self.convolution = nn.Conv2d(before, after, 3, padding=1)
        self.time = nn.Linear(known, after)
        self.last_norm = _normalisation(after)
        self.last = nn.Conv2d(after, after, 3, padding=1)
        self.beside = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = Attention(after) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return features (B, after, H, W) of (B, before, H, W) and of the time."""
        inner = self.convolution(F.silu(self.norm(x))) + self.time(time)[..., None, None]
        inner = self.last(F.silu(self.last_norm(inner)))
        result: Tensor = self.attention(self.beside(x) + inner)
        return result


class Attention(nn.Module):
    """Self-attention over all pixels of a feature map, beside a connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD if channels % HEAD == 0 else 1
        self.norm = _normalisation(channels)
        self.asked = nn.Conv2d(channels, 3 * channels, 1)  # queries, keys and values
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features like x, (B, C, H, W)."""
        batch, channels, height, width = x.shape
        asked = self.asked(self.norm(x)).movedim(1, -1)  # (B, H, W, 3 C)
        asked = asked.reshape(batch, height * width, 3, self.heads, channels // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)  # each (B, heads, H W, d)
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        found = found.reshape(batch, height, width, channels).movedim(-1, 1)
        result: Tensor = x + self.last(found)
        return result


def _normalisation(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS if channels % GROUPS == 0 else math.gcd(channels, 4), channels)
