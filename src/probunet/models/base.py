"""What a model must do: a loss to train by, and hypotheses to draw."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Generator, Tensor, nn


class Loss(NamedTuple):
    """A batch's loss and its parts; scalars, float32."""

    total: Tensor
    reconstruction: Tensor  # cross-entropy, summed over pixels, mean over the batch
    kl: Tensor  # KL(posterior || prior), summed over latent dimensions, mean over the batch; or 0


class Hypotheses(NamedTuple):
    """Segmentations drawn for a batch of images, as class ids."""

    samples: Tensor  # (n, B, H, W) uint8
    deterministic: Tensor  # (B, H, W) uint8, the single best guess
    # of models with a latent vector per image
    prior_mean: Tensor | None = None  # (B, latent_dim) float32
    prior_log_sigma: Tensor | None = None  # (B, latent_dim) float32


class Model(nn.Module):
    """The base of every model in the registry."""

    def loss(self, image: Tensor, mask: Tensor, *, beta: float, generator: Generator) -> Loss:
        """Return the training loss of a batch.

        Parameters
        ----------
        image : (B, C, H, W) float32
        mask : (B, H, W) int64
            Class ids, of one grader per image; pixels of `segmentation.IGNORE` have no part.
        beta
            Weight of the KL term; models without one take no notice of it.
        generator
            On the CPU, whatever the model's device, so that all devices draw the same numbers
            (but for noise as large as a feature map, see `noise.on_device`).
        """
        raise NotImplementedError

    def draw(self, image: Tensor, n: int, generators: Sequence[Generator]) -> Hypotheses:
        """Return n hypotheses for each image (B, C, H, W).

        `generators` holds one generator per image, on the CPU: what is drawn for an image does
        not depend on the images beside it.
        """
        raise NotImplementedError

    def reconstruct(self, image: Tensor, masks: Tensor) -> Tensor | None:
        """Return what the posterior's mean makes of masks: (B, G, H, W) uint8, as class ids.

        None for a model that does not say.

        Parameters
        ----------
        image : (B, C, H, W) float32
        masks : (B, G, H, W) int64
            Class ids, of all graders.
        """
        return None
