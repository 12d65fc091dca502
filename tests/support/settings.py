"""Settings of networks that train in a second."""

from typing import Any

from probunet.config import Settings, check


def tiny_settings(**training: Any) -> Settings:
    """Return settings of a tiny network, with other values of `training` where asked for."""
    usual = {
        "steps": 6,
        "batch": 2,
        "crop": 32,
        "learning_rates": [1e-3, 1e-4],
        "validation_every": 3,
        "validation_images": 3,
        "validation_samples": 2,
        "checkpoint_every": 2,
        "log_every": 2,
    }
    keys = {
        "architecture": {"channels": [4, 8], "convolutions": 1, "latent_dim": 2},
        "phiseg": {"channels": None},
        "hierarchical_probabilistic_unet": {"channels": None, "blocks": 1},
        "mose": {"channels": None, "experts": 2, "loss_samples": 2},
        "ccdm": {"channels": None, "blocks": 1, "diffusion_steps": 20, "validation_steps": 4},
        "training": usual | training,
        "evaluation": {"crop": 32, "samples": 4, "n": [1, 4]},
    }
    return check(Settings, keys, "test")


def with_one_latent_scale(settings: Settings) -> Settings:
    """Return settings whose Hierarchical Probabilistic U-Net fits a network of two scales."""
    name = "hierarchical_probabilistic_unet"
    small = {"channels": None, "latent_scales": 1, "blocks": 1}
    own = dict(settings)[name].model_copy(update=small)
    return settings.model_copy(update={name: own})
