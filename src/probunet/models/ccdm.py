"""CCDM: categorical diffusion of label maps, conditioned on the image.

    q(x_t | x_0) = Cat(a_t x_0 + (1 - a_t) / L),   t = 1 ... T,   a_T nearly 0
    q(x_s | x_t, x_0) ~ (r x_t + (1 - r) / L) (a_s x_0 + (1 - a_s) / L),   r = a_t / a_s,   s < t

    L = KL(q(x_{t-1} | x_t, x_0) || sum_c p(x_0 = c | x_t, image) q(x_{t-1} | x_t, x_0 = c))

Each pixel of a label map of L classes keeps its class with probability a_t, and has any class
otherwise. A network that sees x_t, the image and t returns p(x_0) for each pixel; at t = 1 the loss
is its cross-entropy. A sample begins with any classes, x_T, and draws x_s given x_t for one s after
another; the last step takes the most likely class.

From Zbinden et al. 2023 ("Stochastic Segmentation with Conditional Categorical Diffusion Models",
arXiv 2303.08888) and the authors' release: T = 250; the cosine schedule of Nichol and Dhariwal 2021
with s = 0.008; the loss, with probabilities of 1e-12 at least, summed over classes and pixels for
one t, drawn uniformly; the network (`attention_unet`) of 32, 64, 64, 128 and 160 channels with two
residual blocks a scale, a last convolution of 3x3, and zeros in the last convolution of each block,
of attention and of the network; images from -1 to 1; an exponential moving average of the weights,
0.99995, which is sampled.
Chosen: a_t is the product of 1 - beta up to t, so that all a_t fit together; the release takes the
cosine itself, which is 0 at T, where the product keeps a thousandth of a_{T-1}. Fewer steps than T
are spread evenly from T to 1, and r follows from the formula above. Weights are drawn as in all
models, but for the zeros. Pixels that are ignored are noise in x_t, whatever t is. The single best
guess is the class with the largest mean probability over the samples that are drawn: there is no
mean latent vector, and the loss hardly depends on p(x_0 | x_T). All samples of the images take each
step together, as many of them at a time as `PIXELS` allows.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.models.attention_unet import Attention, AttentionUNet, Block
from probunet.models.base import Architecture, Hypotheses, Loss, Model, See
from probunet.models.device import sent
from probunet.models.noise import on_device
from probunet.models.segmentation import Logits, most_likely, one_hot

LEAST = 1e-12  # probability under a logarithm
# approximate largest number that the network sees at a time; a CPU gains nothing from more
PIXELS, CPU_PIXELS = 64 * 128 * 128, 8 * 128 * 128


class CCDM(Model):
    """The network, and the shares a_t.

    Parameters
    ----------
    blocks
        Residual blocks per scale.
    diffusion_steps
        T.
    validation_steps
        Steps of a sample in validation; at most T are taken.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        blocks: int,
        diffusion_steps: int,
        validation_steps: int,
    ) -> None:
        super().__init__()
        channels, self.classes = architecture.channels, architecture.classes
        self.most_steps = self.sampling_steps = diffusion_steps
        self.validation_steps = min(validation_steps, diffusion_steps)
        self.kept = shares_kept(diffusion_steps)
        self.unet = AttentionUNet(architecture.in_channels + self.classes, channels, blocks)
        self.logits = Logits(channels[0], self.classes, 3)

    def initialise(self, how: str, generator: Generator) -> None:
        """Draw all weights; set those of the last convolutions to zero."""
        super().initialise(how, generator)
        inner = [part.last for part in self.modules() if isinstance(part, Block | Attention)]
        for layer in (*inner, self.logits):
            for weight in layer.parameters():
                nn.init.zeros_(weight)

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the KL of one step, drawn for each mask; beta has no effect."""
        t = torch.randint(1, self.most_steps + 1, (len(mask),), generator=generator)
        there = on_device(generator, image.device)
        level = torch.rand(mask.shape, generator=there, device=image.device)
        x = torch.randint(self.classes, mask.shape, generator=there, device=image.device)
        kept = torch.tensor(self.kept, dtype=torch.float64)  # on the CPU, as t
        values = (t, kept[t], kept[t - 1], kept[t] / kept[t - 1])
        time, now, before, ratio = (
            sent(value.float()[:, None, None, None], image.device) for value in values
        )
        x = torch.where((level < now[:, 0]) & (mask != IGNORE), mask, x)
        return Loss.without_kl(self(image, mask, x, time, before, ratio).mean())

    def forward(
        self, image: Tensor, mask: Tensor, x: Tensor, time: Tensor, before: Tensor, ratio: Tensor
    ) -> Tensor:
        """Return the KL of the step from t to t - 1, summed over classes and pixels: (B,).

        Parameters
        ----------
        image : (B, C, H, W)
        mask, x : (B, H, W) int64
            Class ids of x_0 and x_t.
        time, before, ratio : (B, 1, 1, 1)
            t, a_{t-1} and a_t / a_{t-1}.
        """
        noisy, truth = (one_hot(ids, self.classes, torch.float32) for ids in (x, mask))
        believed = self._logits(image, noisy, time.flatten()).softmax(dim=1)
        wanted, found = (posterior(noisy, p, before, ratio) for p in (truth, believed))
        # a pixel of IGNORE has no class, so that all that is wanted of it is 0
        kl = wanted * (wanted.clamp(min=LEAST).log() - found.clamp(min=LEAST).log())
        return kl.sum(dim=(1, 2, 3))

    def _logits(self, image: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of p(x_0).

        Parameters
        ----------
        image : (B, C, H, W)
            Values from 0 to 1.
        noisy : (B, classes, H, W)
            x_t, one-hot.
        time : (B,) or (1,)
        """
        logits: Tensor = self.logits(self.unet(torch.cat([noisy, 2 * image - 1], dim=1), time))
        return logits

    def sample_in(self, steps: int | None) -> None:
        """Draw later samples in so many steps; None: in all T."""
        if steps is not None and not 1 <= steps <= self.most_steps:
            raise ProbunetError(
                f"sampling_steps: {steps} is more than the {self.most_steps} diffusion steps that "
                f"the model was trained with; choose 1 to {self.most_steps}."
            )
        self.sampling_steps = steps or self.most_steps

    @torch.no_grad()
    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n samples of each image, all of which go through each step together."""
        images, (height, width) = len(image), image.shape[-2:]
        # a generator for each sample, one after the other: the first samples do not depend on n
        own = [on_device(one, image.device) for _ in range(n) for one in generators]
        x = torch.stack([self._any_classes(height, width, one) for one in own])
        of_image = torch.arange(n * images, device=image.device) % images
        each = _at_once(image)
        unseen = torch.empty(0, self.classes, height, width, device=image.device)
        total: Tensor | float = 0.0  # of the samples' probabilities, (B, classes, H, W)
        for t, s in self.through(self._steps()):
            for start in range(0, n * images, each):
                part = slice(start, start + each)
                noisy = one_hot(x[part], self.classes, torch.float32)
                logits = self._logits(image[of_image[part]], noisy, _at(t, image))
                if s > 0:
                    x[part] = self._before(noisy, logits, t, s, own[part])
                    continue
                x[part] = most_likely(logits)
                unseen = torch.cat([unseen, logits])
                while len(unseen) >= images:  # whole samples, in their order
                    total = total + unseen[:images].softmax(dim=1)
                    if see is not None:
                        see(unseen[:images])
                    unseen = unseen[images:]
        assert isinstance(total, Tensor)
        return Hypotheses(x.view(n, images, height, width), most_likely(total))

    def _steps(self) -> list[tuple[int, int]]:
        """Return t and s of each step, from T to 1 and then 0."""
        most, steps = self.most_steps, self.sampling_steps
        times = [most - i * (most - 1) // max(1, steps - 1) for i in range(steps)]
        return list(zip(times, [*times[1:], 0], strict=True))

    def _before(
        self, noisy: Tensor, logits: Tensor, t: int, s: int, own: Sequence[Generator]
    ) -> Tensor:
        """Return x_s, drawn given x_t: (B, H, W) uint8."""
        kept = self.kept
        probabilities = posterior(noisy, logits.softmax(dim=1), kept[s], kept[t] / kept[s])
        shape = noisy.shape[-2:]
        level = torch.stack([torch.rand(shape, generator=one, device=noisy.device) for one in own])
        x = torch.zeros_like(level, dtype=torch.uint8)
        below = torch.zeros_like(level)  # the probability of the classes so far
        for probability in probabilities.unbind(1)[:-1]:
            below = below + probability
            x += below <= level
        return x

    def _any_classes(self, height: int, width: int, generator: Generator) -> Tensor:
        """Return x_T of one sample, (H, W) uint8."""
        return torch.randint(
            self.classes,
            (height, width),
            generator=generator,
            device=generator.device,
            dtype=torch.uint8,
        )


def shares_kept(steps: int) -> list[float]:
    """Return a_t for t = 0 ... T, with a_0 = 1.

    >>> [round(share, 4) for share in shares_kept(4)]
    [1.0, 0.847, 0.4938, 0.1443, 0.0001]
    """
    cosine = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(steps + 1)]
    shares = [1.0]
    for t in range(1, steps + 1):
        shares.append(shares[-1] * max(cosine[t] / cosine[t - 1], 1 - 0.999))
    return shares


def posterior(
    noisy: Tensor, truth: Tensor, before: Tensor | float, ratio: Tensor | float
) -> Tensor:
    """Return the probabilities of x_s given x_t, on average over x_0: (B, classes, H, W).

    Parameters
    ----------
    noisy : (B, classes, H, W)
        x_t, one-hot.
    truth : (B, classes, H, W)
        Probabilities of x_0.
    before, ratio : (B, 1, 1, 1) or float
        a_s and a_t / a_s.
    """
    classes = noisy.shape[1]
    arrives = ratio * noisy + (1 - ratio) / classes  # q(x_t | x_s) for each x_s
    share = truth / (before * arrives + (1 - before) / classes)  # by q(x_t | x_0) for each x_0
    return arrives * (before * share + (1 - before) / classes * share.sum(dim=1, keepdim=True))


def _at_once(image: Tensor) -> int:
    """Return how many images of this size and on this device the network sees at a time."""
    most = CPU_PIXELS if image.device.type == "cpu" else PIXELS
    return max(1, most // (image.shape[-2] * image.shape[-1]))


def _at(t: int, like: Tensor) -> Tensor:
    """Return a time for all images, (1,) float32, on the device of `like`."""
    return torch.full((1,), float(t), device=like.device)
