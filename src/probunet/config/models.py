"""The networks: the shared architecture and the settings of single models."""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from probunet.config.base import Positive, Section

ModelName = Literal[
    "probabilistic_unet",
    "unet",
    "dropout_unet",
    "unet_ensemble",
    "m_heads",
    "image2image_vae",
    "stochastic_segmentation_network",
    "phiseg",
    "hierarchical_probabilistic_unet",
    "mose",
    "ccdm",
]
# models without a KL term: beta has no effect, so they are trained with the first beta only
WITHOUT_KL = frozenset(
    {
        "unet",
        "dropout_unet",
        "unet_ensemble",
        "m_heads",
        "stochastic_segmentation_network",
        "ccdm",
    }
)


def drawn_elsewhere(model: str) -> bool:
    """Return whether the samples of a run are another code's: no model here has its name.

    >>> drawn_elsewhere("theirs"), drawn_elsewhere("unet")
    (True, False)
    """
    return model not in get_args(ModelName)


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


class PHiSeg(Section):
    """PHiSeg (Baumgartner et al. 2019)."""

    latent_scales: Positive = Field(
        5, description="Number of scales with a latent map, from the coarsest."
    )
    latent_channels: Positive = Field(2, le=64, description="Channels of each latent map.")
    channels: tuple[Positive, ...] | None = Field(
        (32, 64, 128, 192, 192, 192, 192),
        min_length=2,
        max_length=8,
        description="Channels of each scale; those of the paper's code, which need crops whose "
        "sides are multiples of 64. `null`: those of `architecture`.",
    )


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


class MoSE(Section):
    """The mixture of stochastic experts (Gao et al. 2023)."""

    experts: Positive = Field(4, le=1024, description="Number of experts, K.")
    loss_samples: Positive = Field(4, le=1024, description="Samples of each expert for one loss.")
    latent_dim: Positive = Field(1, le=512, description="Dimensions of the latent space.")
    cost: Literal["iou", "cross_entropy"] = Field(
        "iou",
        description="Distance of a sample and a mask: `iou`, 1 minus the soft IoU of all classes "
        "but the first; `cross_entropy`, the mean over pixels, in the paper for Cityscapes.",
    )
    limit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of the graders that one sample stands for at first; the samples "
        "of all experts together must reach 1.",
    )
    patience: Positive = Field(
        5_000,
        description="Steps without a lower loss after which `limit` becomes 1.",
    )
    channels: tuple[Positive, ...] | None = Field(
        (32, 64, 128, 192, 192, 192, 192),
        min_length=2,
        max_length=8,
        description="Channels of each scale; those of the paper's code, which need crops whose "
        "sides are multiples of 64. `null`: those of `architecture`.",
    )

    @model_validator(mode="after")
    def _all_mass_arrives(self) -> Self:
        samples = self.experts * self.loss_samples
        if samples * self.limit < 1:
            raise ValueError(
                f"limit: {self.limit:g} is too small for {self.experts} experts of "
                f"{self.loss_samples} samples: choose at least {1 / samples:.3g}"
            )
        return self


class CCDM(Section):
    """Conditional categorical diffusion (Zbinden et al. 2023)."""

    diffusion_steps: Positive = Field(
        250,
        le=10_000,
        description="Steps of the diffusion, T. A sample takes as many passes of the network, or "
        "`evaluation.sampling_steps`.",
    )
    validation_steps: Positive = Field(
        25, description="Steps of a sample in validation, spread evenly; at most all are taken."
    )
    blocks: Positive = Field(2, le=8, description="Residual blocks per scale.")
    channels: tuple[Positive, ...] | None = Field(
        (32, 64, 64, 128, 160),
        min_length=2,
        max_length=8,
        description="Channels of each scale; those of the paper, which need crops whose sides are "
        "multiples of 16. `null`: those of `architecture`.",
    )
    ema: float = Field(
        0.99995,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights (paper) where `training.ema` is "
        "0; 0: no average.",
    )
