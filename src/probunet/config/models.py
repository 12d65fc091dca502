"""The networks: the shared architecture and the settings of single models."""

from typing import Literal

from pydantic import Field

from probunet.config.base import Positive, Section

ModelName = Literal[
    "probabilistic_unet",
    "unet",
    "dropout_unet",
    "unet_ensemble",
    "m_heads",
    "image2image_vae",
    "stochastic_segmentation_network",
    "hierarchical_probabilistic_unet",
]
# models without a KL term: beta has no effect, so they are trained with the first beta only
WITHOUT_KL = frozenset(
    {"unet", "dropout_unet", "unet_ensemble", "m_heads", "stochastic_segmentation_network"}
)


class Architecture(Section):
    """The networks (paper, appendix H.1)."""

    channels: tuple[Positive, ...] = Field(
        (32, 64, 128, 256, 512),
        min_length=2,
        max_length=8,
        description="Channels of each scale, from full resolution to the coarsest.",
    )
    convolutions: Positive = Field(3, le=8, description="3x3 convolutions per scale.")
    latent_dim: Positive = Field(6, le=512, description="Dimensions of the latent space, N.")
    head_convolutions: Positive = Field(
        3, le=8, description="1x1 convolutions of f_comb before the one that returns logits."
    )
    initialisation: Literal["orthogonal", "he"] = Field(
        "he",
        description="Initial weights: `he` (the paper's for Cityscapes), or `orthogonal` (the "
        "paper's for LIDC-IDRI), with which training gets going late.",
    )


class DropoutUNet(Section):
    """The Dropout U-Net (paper, section 4)."""

    probability: float = Field(0.5, gt=0, lt=1, description="Probability that a value is dropped.")
    blocks: Positive = Field(
        3, description="Number of innermost blocks with dropout, in encoder and decoder each."
    )


class UNetEnsemble(Section):
    """The U-Net ensemble (paper, section 4)."""

    members: Positive = Field(
        16,
        le=1024,
        description="Number of U-Nets, each trained in its own job. Sample i is the prediction of "
        "member i; if there are more samples than members, the members repeat.",
    )


class MHeads(Section):
    """M-Heads (paper, section 4)."""

    heads: Positive = Field(16, le=1024, description="Number of heads, m.")
    others: float = Field(
        0.05, ge=0, lt=1, description="Share of the loss of all heads except the best one."
    )


class Image2ImageVAE(Section):
    """The Image2Image VAE (paper, section 4)."""

    latent_dim: Positive = Field(3, le=512, description="Dimensions of the latent space.")


class StochasticSegmentationNetwork(Section):
    """Stochastic Segmentation Networks (Monteiro et al. 2020)."""

    rank: Positive = Field(10, le=100, description="Rank of the logits' covariance.")
    loss_samples: Positive = Field(20, le=1000, description="Samples of the logits for one loss.")


class HierarchicalProbabilisticUNet(Section):
    """The Hierarchical Probabilistic U-Net (Kohl et al. 2019)."""

    latent_scales: Positive = Field(
        4, description="Number of scales with a latent map, from the coarsest."
    )
    blocks: Positive = Field(3, le=8, description="Residual blocks per scale.")
    objective: Literal["geco", "elbo"] = Field(
        "geco",
        description="`geco`: minimise the KL under a bound on the reconstruction loss of hard "
        "pixels; `elbo`: the evidence lower bound.",
    )
    kappa: float = Field(0.05, gt=0, description="GECO: bound on the loss per hard pixel, nats.")
    hard: float = Field(0.02, gt=0, le=1, description="GECO: share of hard pixels.")
    decay: float = Field(0.99, ge=0, lt=1, description="GECO: decay of the moving average.")
    channels: tuple[Positive, ...] | None = Field(
        (24, 48, 96, 192, 192, 192, 192, 192),
        min_length=2,
        max_length=8,
        description="Channels of each scale; those of the paper's code, which need crops whose "
        "sides are multiples of 128: the coarsest of its maps is one pixel then. `null`: those of "
        "`architecture`.",
    )
