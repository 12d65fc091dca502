"""What all models share: an architecture, a loss to train with, and hypotheses to draw."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from torch import Generator, Tensor, nn

# is shown the logits of a sample, (B, classes, H, W), and its weights (B,) if there are any
See = Callable[..., None]


@dataclass(frozen=True)
class Architecture:
    """The shape of a model's networks (Kohl et al. 2018, appendix H).

    The first argument of every model; parameters of a single model follow it.

    Parameters
    ----------
    in_channels
        Channels of an image.
    classes
        Classes of a segmentation.
    channels
        Channels of the features at each scale, from full resolution down.
    convolutions
        3x3 convolutions per scale.
    initialisation
        "orthogonal" or "he", see `Model.initialise`.
    """

    in_channels: int
    classes: int
    channels: Sequence[int]
    convolutions: int
    initialisation: str


class Loss(NamedTuple):
    """The loss of a batch and its two parts; float32 scalars."""

    total: Tensor
    # cross-entropy, summed over pixels, mean over the batch; of `phiseg` that of all its levels, of
    # `mose` the cost of the transport
    reconstruction: Tensor
    # KL(posterior || prior), summed over latent dimensions, mean over the batch, with PHiSeg's
    # weights of its levels; of `mose` that of its gate; or 0
    kl: Tensor

    @classmethod
    def without_kl(cls, reconstruction: Tensor) -> Self:
        """Return the loss of a model without a KL term."""
        return cls(reconstruction, reconstruction, reconstruction.new_zeros(()))


class Hypotheses(NamedTuple):
    """Segmentations drawn for a batch of images, as class ids."""

    samples: Tensor  # (n, B, H, W) uint8
    deterministic: Tensor  # (B, H, W) uint8, the single best guess
    # only of models with one latent vector per image
    prior_mean: Tensor | None = None  # (B, latent_dim) float32
    prior_log_sigma: Tensor | None = None  # (B, latent_dim) float32
    # how much each sample counts, (B, n) float32, on average 1 for an image; None: all the same
    sample_weights: Tensor | None = None


class Model(nn.Module):
    """The base class of every model in the registry; `models.build` creates them."""

    # how many different segmentations of an image the model can draw; 0: no limit
    population: int = 0
    # samples that complement each other: one of each expert of `mose`; 1: each stands for itself
    round: int = 1
    several_masks: ClassVar[bool] = False  # whether `loss` takes several masks of each image
    all_masks: ClassVar[bool] = False  # whether it needs those of all graders of an image
    # of models that draw a sample in steps: how many at most, and in validation; 0: at once
    most_steps: int = 0
    validation_steps: int | None = None
    # goes through these steps; a verb can show them as they come, or stop by an error
    through: Callable[[Sequence[Any]], Iterable[Any]] = staticmethod(iter)

    def initialise(self, how: str, generator: Generator) -> None:
        """Draw the weights and biases of all convolutions and matrices.

        Weights are `orthogonal` (gain 1; LIDC) or `he` (normal, fan-in; Cityscapes). Biases come
        from a normal distribution of sd 0.001, truncated at two sd (Kohl et al. 2018, appendix H).
        A model that starts with smaller weights in some layers overrides this method.

        Parameters
        ----------
        how
            "orthogonal" or "he".
        generator
            On the CPU.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                if how == "orthogonal":
                    nn.init.orthogonal_(layer.weight, generator=generator)
                else:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.trunc_normal_(
                        layer.bias, std=0.001, a=-0.002, b=0.002, generator=generator
                    )

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the training loss of a batch.

        Parameters
        ----------
        image : (B, C, H, W) float32
        mask : (B, H, W) int64
            Class ids, of one grader per image; pixels of `segmentation.IGNORE` do not count.
            With `several_masks` also (B * G, H, W), the G masks of an image one after another; the
            loss is then the mean over all masks. With `all_masks`, G is the largest number of
            graders of an image, and the mask of a missing one is `segmentation.IGNORE` everywhere.
        beta
            Weight of the KL term; a model without one ignores it.
        generator
            On the CPU, whatever the model's device, so that all devices draw the same numbers
            (except noise as large as a feature map, see `noise.on_device`).
        """
        raise NotImplementedError

    def draw(
        self, image: Tensor, n: int, generators: Sequence[Generator], see: See | None = None
    ) -> Hypotheses:
        """Return n hypotheses for each image.

        Parameters
        ----------
        image : (B, C, H, W) float32
        n
            Samples per image.
        generators
            One per image, on the CPU: the samples of an image do not depend on the other images
            of the batch.
        see
            Is shown the logits of each sample, one sample after the other, and its weights if
            samples have any; a model whose samples are not the most likely classes of logits does
            not call it.
        """
        raise NotImplementedError

    def sample_in(self, steps: int | None) -> None:
        """Draw later samples in so many steps, None: in all; a model that draws at once ignores it.

        Raises
        ------
        ProbunetError
            If a sample has fewer steps.
        """

    def remark(self, height: int, width: int) -> str | None:
        """Return what a user should know before training on images of this size; usually None."""
        return None

    def reconstruct(self, image: Tensor, masks: Tensor) -> Tensor | None:
        """Return the segmentation at the posterior's mean of each mask: (B, G, H, W) uint8.

        None if the model does not offer this.

        Parameters
        ----------
        image : (B, C, H, W) float32
        masks : (B, G, H, W) int64
            Class ids, of all graders.
        """
        return None
