"""Ignored pixels, and how each model's loss is reduced."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probunet.config import WITHOUT_KL, Settings, check
from probunet.flips import IGNORE
from probunet.models import MODELS, Model, build
from probunet.models.probabilistic_unet import FComb
from probunet.models.segmentation import as_input, cross_entropy

CLASSES, HEIGHT, WIDTH = 5, 16, 24
SETTINGS = check(
    Settings,
    {
        "architecture": {
            "channels": [8, 12, 16],
            "convolutions": 1,
            "latent_dim": 3,
            "initialisation": "he",
        },
        "dropout_unet": {"blocks": 1},
        "m_heads": {"heads": 3},
        "stochastic_segmentation_network": {"rank": 4, "loss_samples": 5},
        "phiseg": {"channels": None, "latent_scales": 2},
        "hierarchical_probabilistic_unet": {
            "channels": None,
            "latent_scales": 2,
            "blocks": 1,
            "objective": "elbo",
        },
        "ccdm": {"channels": None, "blocks": 1, "diffusion_steps": 20},
        "mose": {"channels": None, "experts": 3, "loss_samples": 2},
    },
    "test",
)
# `mose` has logits of many samples at once, and `phiseg` those of several scales: see their files
by_pixel = pytest.mark.parametrize("name", [n for n in MODELS if n not in ("mose", "phiseg")])
LEVELS = {"phiseg": 2}  # with a cross-entropy each
# what gives a model's logits, or the distribution of them, at full resolution
OUTPUTS = ("logits", "f_comb", "mean", "log_sigma", "factor")
OTHER_LOSSES = ("ccdm", "mose")  # models whose loss is no cross-entropy; their own files test it
every_model = pytest.mark.parametrize("name", list(MODELS))
by_cross_entropy = pytest.mark.parametrize(
    "name", [name for name in MODELS if name not in OTHER_LOSSES]
)


def small(name: str) -> Model:
    model = build(name, SETTINGS.architecture_of(name), in_channels=3, classes=CLASSES, seed=1)
    if name == "ccdm":  # whose logits are all zero at first
        nn.init.normal_(model.logits.weight, generator=torch.Generator().manual_seed(1))
    return model


def batch(ignored: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(3, 3, HEIGHT, WIDTH, generator=generator)
    mask = torch.randint(CLASSES, (3, HEIGHT, WIDTH), generator=generator)
    if ignored:  # another part of each image, of the second one all
        mask[0, :5] = mask[1] = mask[2, :, 7:9] = IGNORE
    return image, mask


def loss_of(model: Model, image: Tensor, mask: Tensor, beta: float = 1.0) -> tuple[Tensor, ...]:
    return model.loss(image, mask, beta=beta, generator=torch.Generator().manual_seed(4))


@contextmanager
def at_outputs(model: Model, change: Callable[[Tensor], Tensor]) -> Iterator[list[Tensor]]:
    """Pass each output (B, H, W, channels) through `change`; yield what comes of it."""
    seen: list[Tensor] = []

    def hook(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if isinstance(layer, FComb):  # whose channels come last already
            seen.append(change(output))
            return seen[-1]
        seen.append(change(output.movedim(1, -1)))
        return seen[-1].movedim(-1, 1)

    handles = [
        getattr(model, name).register_forward_hook(hook) for name in OUTPUTS if hasattr(model, name)
    ]
    yield seen
    for handle in handles:
        handle.remove()


def make_indifferent(model: Model) -> None:
    """Make all classes equally probable, without noise."""
    for key, weight in model.named_parameters():
        layer = [part for part in key.split(".")[:-1] if not part.isdigit()][-1]
        if layer in ("logits", "mean", "factor"):
            nn.init.zeros_(weight)
        elif layer == "log_sigma":
            nn.init.constant_(weight, -1e3)


@by_pixel
def test_what_logits_say_under_ignored_pixels_changes_nothing(name: str) -> None:
    model, (image, mask) = small(name), batch()
    noise = torch.randn(mask.shape, generator=torch.Generator().manual_seed(5))
    plain = loss_of(model, image, mask)
    away = 10 * noise * (mask == IGNORE)
    with at_outputs(model, lambda output: output + away[..., None]):
        changed = loss_of(model, image, mask)
    assert all(torch.equal(a, b) for a, b in zip(plain, changed, strict=True))
    with at_outputs(model, lambda output: output * (1 + noise[..., None])):  # this does
        assert not torch.equal(plain[1], loss_of(model, image, mask)[1])


@by_pixel
def test_no_gradient_at_ignored_pixels(name: str) -> None:
    model, (image, mask) = small(name), batch()

    def kept(output: Tensor) -> Tensor:
        output.retain_grad()
        return output

    with at_outputs(model, kept) as outputs:
        loss_of(model, image, mask)[0].backward()
    assert outputs
    for output in outputs:
        assert output.grad is not None
        assert not output.grad[mask == IGNORE].any()
        assert output.grad[mask != IGNORE].any(dim=-1).float().mean() > 0.9


@by_cross_entropy
def test_the_cross_entropy_counts_the_pixels_that_are_not_ignored(name: str) -> None:
    model, (image, mask) = small(name), batch()
    make_indifferent(model)
    counted = int((mask != IGNORE).sum())
    expected = LEVELS.get(name, 1) * counted * math.log(CLASSES) / len(mask)
    assert loss_of(model, image, mask)[1].item() == pytest.approx(expected, rel=1e-4)


@every_model
def test_a_batch_of_ignored_pixels_alone_is_finite(name: str) -> None:
    model, (image, mask) = small(name), batch()
    total, reconstruction, _ = loss_of(model, image, torch.full_like(mask, IGNORE))
    total.backward()
    assert reconstruction.item() == 0
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


@by_cross_entropy
def test_the_cross_entropy_is_no_mean_over_pixels(name: str) -> None:
    model, (image, mask) = small(name), batch(ignored=False)
    make_indifferent(model)
    of_pixel = LEVELS.get(name, 1) * math.log(CLASSES)
    small_part = loss_of(model, image[..., :8, :8], mask[..., :8, :8])[1]
    assert small_part.item() == pytest.approx(8 * 8 * of_pixel, rel=1e-4)
    whole = loss_of(model, image, mask)[1]
    assert whole.item() == pytest.approx(HEIGHT * WIDTH * of_pixel, rel=1e-4)


@pytest.mark.parametrize("latent_dim", [1, 6])
@pytest.mark.parametrize("name", ["probabilistic_unet", "image2image_vae"])
def test_the_kl_is_no_mean_over_latent_dimensions(name: str, latent_dim: int) -> None:
    architecture = SETTINGS.architecture_of(name) | {"latent_dim": latent_dim}
    model = build(name, architecture, in_channels=3, classes=CLASSES, seed=1)
    for part in ("prior", "posterior"):
        if hasattr(model, part):
            head = getattr(model, part).head
            nn.init.zeros_(head.weight)
            # every dimension: mean 0 and 1, sigma 1: a KL of 1/2 each
            nn.init.zeros_(head.bias)
            if part == "posterior":
                nn.init.ones_(head.bias[:latent_dim])
    for size in (1, 3):
        image, mask = (tensor[:size] for tensor in batch())
        loss = model.loss(image, mask, beta=4.0, generator=torch.Generator())
        assert loss.kl.item() == pytest.approx(latent_dim / 2, rel=1e-5)
        torch.testing.assert_close(loss.total, loss.reconstruction + 4 * loss.kl)


def test_models_with_a_kl_are_those_whose_kl_is_tested() -> None:
    """Those of latent maps are compared with torch's own in their files, summed over pixels."""
    tested = {"probabilistic_unet", "image2image_vae", "hierarchical_probabilistic_unet", "phiseg"}
    assert set(MODELS) - WITHOUT_KL == tested | {"mose"}  # the KL of its gate: see test_mose


def test_cross_entropy_is_that_of_the_pixels_that_are_left() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, CLASSES, HEIGHT, WIDTH, generator=generator)
    _, mask = batch()
    for one, truth, found in zip(logits, mask, cross_entropy(logits, mask), strict=True):
        left = truth != IGNORE
        expected = F.cross_entropy(one[:, left].T, truth[left], reduction="sum")
        torch.testing.assert_close(found, expected)


def test_an_ignored_pixel_is_shown_as_no_class() -> None:
    mask = torch.tensor([[[0, 2], [IGNORE, 1]]])
    shown = as_input(mask, 3, torch.float32)
    assert shown.shape == (1, 3, 2, 2)
    assert shown[0, :, 0, 0].tolist() == [0.5, -0.5, -0.5]
    assert shown[0, :, 0, 1].tolist() == [-0.5, -0.5, 0.5]
    assert shown[0, :, 1, 0].tolist() == [-0.5, -0.5, -0.5]
    assert shown[0, :, 1, 1].tolist() == [-0.5, 0.5, -0.5]
