"""Settings of training, sampling and scoring."""

from typing import Any, Self

from pydantic import Field

from probunet.config.base import Section
from probunet.config.evaluation import Evaluation
from probunet.config.models import (
    CCDM,
    Architecture,
    DropoutUNet,
    HierarchicalProbabilisticUNet,
    Image2ImageVAE,
    MHeads,
    MoSE,
    PHiSeg,
    StochasticSegmentationNetwork,
    UNetEnsemble,
)
from probunet.config.training import Augmentation, Intensity, Training


class Settings(Section):
    """Settings of one step; the section of a single model has the model's name."""

    intensity: Intensity = Field(Intensity(), description="LIDC-IDRI: scaling of HU.")
    architecture: Architecture = Field(Architecture(), description="The networks.")
    dropout_unet: DropoutUNet = Field(DropoutUNet(), description="Dropout U-Net only.")
    unet_ensemble: UNetEnsemble = Field(UNetEnsemble(), description="U-Net ensemble only.")
    m_heads: MHeads = Field(MHeads(), description="M-Heads only.")
    image2image_vae: Image2ImageVAE = Field(Image2ImageVAE(), description="Image2Image VAE only.")
    stochastic_segmentation_network: StochasticSegmentationNetwork = Field(
        StochasticSegmentationNetwork(),
        description="Stochastic Segmentation Network only.",
    )
    phiseg: PHiSeg = Field(PHiSeg(), description="PHiSeg only.")
    hierarchical_probabilistic_unet: HierarchicalProbabilisticUNet = Field(
        HierarchicalProbabilisticUNet(),
        description="Hierarchical Probabilistic U-Net only.",
    )
    mose: MoSE = Field(MoSE(), description="MoSE only.")
    ccdm: CCDM = Field(CCDM(), description="CCDM only.")
    augmentation: Augmentation = Field(Augmentation(), description="Random deformation.")
    training: Training = Field(Training(), description="The optimisation.")
    evaluation: Evaluation = Field(Evaluation(), description="Samples and scores.")

    def architecture_of(self, model: str) -> dict[str, Any]:
        """Return a model's parameters: the architecture, updated with the model's section.

        >>> Settings().architecture_of("image2image_vae")["latent_dim"]
        3
        """
        shared = self.architecture.model_dump(mode="json")
        section = dict(self).get(model)
        return shared | (section.model_dump(mode="json", exclude_none=True) if section else {})

    def of_model(self, model: str) -> Self:
        """Return the settings of a model's trainings: `training.steps` are those of the model.

        So is `training.ema` where it is 0, if the model has its own.

        >>> training = Training(steps=9, model_steps={"unet": 4})
        >>> settings = Settings(training=training)
        >>> [settings.of_model(model).training.steps for model in ("unet", "m_heads")]
        [4, 9]
        >>> [settings.of_model(model).training.ema for model in ("unet", "ccdm")]
        [0.0, 0.99995]
        """
        own = self.training.model_steps
        steps = {"steps": own[model]} if model in own else {}
        ema = self.training.ema or getattr(dict(self).get(model), "ema", 0.0)
        training = self.training.model_copy(update={"model_steps": {}, "ema": ema} | steps)
        return self.model_copy(update={"training": training})
