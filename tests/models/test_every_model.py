"""What holds for every model of the registry."""

import math
from pathlib import Path
from typing import get_args

import pytest
import torch

from probunet.config import WITHOUT_KL, ModelName, Settings, check
from probunet.models import MODELS, Loss, Model, build
from probunet.models.weights import WeightsInfo, load_weights, save_weights

SETTINGS = check(
    Settings,
    {
        "architecture": {
            "channels": [8, 12, 16],
            "convolutions": 2,
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
WITHOUT_LOGITS: tuple[str, ...] = ()  # models whose samples are not the most likely classes
OTHER_LOSSES = ("ccdm", "mose")  # models whose loss is no cross-entropy; their own files test it
every_model = pytest.mark.parametrize("name", list(MODELS))


def small(name: str, classes: int = 2, in_channels: int = 1) -> Model:
    architecture = SETTINGS.architecture_of(name)
    # with seed 1, all untrained samples of this model are alike
    seed = 2 if name == "hierarchical_probabilistic_unet" else 1
    model = build(name, architecture, in_channels=in_channels, classes=classes, seed=seed)
    if name == "ccdm":  # whose logits are all zero at first, so that all samples are alike
        torch.nn.init.normal_(model.logits.weight, generator=generators(seed)[0])
    return model


def batch(
    size: int = 3, classes: int = 2, in_channels: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(size, in_channels, 16, 24, generator=generator)
    mask = torch.randint(classes, (size, 16, 24), generator=generator)
    return image, mask


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_registry_holds_the_names_of_the_configuration() -> None:
    known = set(MODELS) | {"unet_ensemble"}  # which is trained as so many U-Nets
    assert known == set(get_args(ModelName))
    assert known > WITHOUT_KL


@every_model
@pytest.mark.parametrize(("classes", "in_channels"), [(2, 1), (24, 3)])
def test_what_is_drawn_has_the_image_s_size(name: str, classes: int, in_channels: int) -> None:
    image, _ = batch(2, classes, in_channels)
    drawn = small(name, classes, in_channels).eval().draw(image, 5, generators(0, 1))
    assert drawn.samples.shape == (5, 2, 16, 24)
    assert drawn.deterministic.shape == (2, 16, 24)
    assert drawn.samples.dtype == drawn.deterministic.dtype == torch.uint8
    assert drawn.samples.max() < classes
    assert (drawn.prior_mean is None) == (drawn.prior_log_sigma is None)
    if drawn.prior_mean is not None:
        assert drawn.prior_mean.shape == drawn.prior_log_sigma.shape == (2, 3)


@every_model
@pytest.mark.parametrize("classes", [2, 5])
def test_the_logits_of_each_sample_are_shown_in_their_order(name: str, classes: int) -> None:
    seen: list[torch.Tensor] = []

    def show(logits: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        seen.append(logits)

    image, _ = batch(2, classes)
    drawn = small(name, classes).eval().draw(image, 5, generators(0, 1), show)
    assert (seen == []) == (name in WITHOUT_LOGITS)
    if seen:
        assert [logits.shape for logits in seen] == [(2, classes, 16, 24)] * 5
        assert torch.equal(torch.stack([logits.argmax(dim=1) for logits in seen]), drawn.samples)
    unseen = small(name, classes).eval().draw(image, 5, generators(0, 1))
    assert torch.equal(unseen.samples, drawn.samples)


@every_model
@pytest.mark.parametrize("classes", [2, 5])
def test_the_gradient_reaches_every_parameter(name: str, classes: int) -> None:
    model, (image, mask) = small(name, classes), batch(4, classes)
    dead = {key for key, _ in model.named_parameters()}
    for step in range(3):  # weights that are zero at first let no gradient through
        model.zero_grad()
        model.loss(image, mask, beta=1.0, generator=generators(step)[0]).total.backward()
        for key, weight in model.named_parameters():
            if weight.grad is not None and weight.grad.any():
                dead.discard(key)
                weight.data -= 1e-3 * weight.grad.sign()
    assert dead == set()


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OTHER_LOSSES])
def test_the_cross_entropy_is_summed_over_pixels_and_averaged_over_the_batch(name: str) -> None:
    model, (image, mask) = small(name, 5), batch(4, 5)
    for key, weight in model.named_parameters():
        layers = set(key.split("."))
        if layers & {"logits", "mean", "factor"}:
            torch.nn.init.zeros_(weight)
        elif "log_sigma" in layers:  # of the logits: no noise
            torch.nn.init.constant_(weight, -1e3)
    loss = model.loss(image, mask, beta=10.0, generator=generators(0)[0])
    levels = SETTINGS.phiseg.latent_scales if name == "phiseg" else 1  # each has a cross-entropy
    expected = levels * 16 * 24 * math.log(5)
    assert loss.reconstruction.item() == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(loss.total, loss.reconstruction + 10 * loss.kl)
    assert (loss.kl.item() == 0) == (name in WITHOUT_KL)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].several_masks])
def test_several_masks_of_an_image_give_the_mean_of_their_losses_by_one_u_net(name: str) -> None:
    image, _ = batch(3)
    masks = torch.randint(2, (3 * 4, 16, 24), generator=generators(5)[0])
    model = small(name)
    inner, calls = dict(model.named_modules())["unet.decoder"], []
    for module in (inner, *inner.modules()):  # the Dropout U-Net calls the parts
        if isinstance(module, torch.nn.Sequential):
            module.register_forward_hook(lambda *_: calls.append(1))
    drawn: list[torch.Tensor] = []

    def loss(chosen: torch.Tensor, noise: list[torch.Tensor]) -> Loss:
        """Return the loss with this noise of the masks; without any, noise is drawn and kept."""
        usual, given = torch.randn, iter(noise)

        def randn(*size: object, **kwargs: object) -> torch.Tensor:
            if noise:
                return next(given)
            drawn.append(usual(*size, **kwargs))
            return drawn[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", randn)
            return model.loss(image, chosen, beta=1.0, generator=generators(0)[0])

    together = loss(masks, [])
    together.total.backward()
    once = len(calls)
    gradients = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    # noise (..., masks, latent dimensions or rank), or (samples, masks, H, W, classes)
    axes = [0 if one.ndim == 2 else 1 for one in drawn]
    singles = []
    for g in range(4):
        own = [n.movedim(a, 0)[g::4].movedim(0, a) for n, a in zip(drawn, axes, strict=True)]
        singles.append(loss(masks[g::4], own))
        (singles[-1].total / 4).backward()
    assert len(calls) == 5 * once
    for part in range(3):
        mean = torch.stack([one[part] for one in singles]).mean()
        torch.testing.assert_close(together[part], mean, rtol=1e-5, atol=1e-5)
    for gradient, weight in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-2)


@every_model
def test_a_few_steps_lower_the_loss(name: str) -> None:
    model, (image, _) = small(name), batch(2)
    mask = (image[:, 0] > 0.5).long()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = model.loss(image, mask, beta=1.0, generator=generators(step)[0])
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@every_model
def test_the_same_generators_draw_the_same(name: str) -> None:
    model, (image, mask) = small(name), batch()
    one, again = (model.eval().draw(image, 6, generators(0, 1, 2)) for _ in range(2))
    assert torch.equal(one.samples, again.samples)
    other = model.draw(image, 6, generators(3, 4, 5))
    if name != "ccdm":  # whose best guess is that of its samples
        assert torch.equal(one.deterministic, other.deterministic)
    assert torch.equal(one.samples, other.samples) == (name == "unet")
    losses = [
        model.loss(image, mask, beta=1.0, generator=generators(seed)[0]).total for seed in (7, 7, 8)
    ]
    assert losses[0] == losses[1]
    assert (losses[0] == losses[2]) == (name in ("unet", "m_heads"))


@every_model
def test_what_is_drawn_for_an_image_does_not_depend_on_the_others(name: str) -> None:
    model, (image, _) = small(name), batch(3)
    together = model.eval().draw(image, 4, generators(0, 1, 2))
    alone = model.draw(image[1:2], 4, generators(1))
    assert (together.samples[:, 1:2] == alone.samples).float().mean() > 0.995  # rounding aside
    assert (together.deterministic[1:2] == alone.deterministic).float().mean() > 0.99


@every_model
def test_every_model_with_a_posterior_reconstructs(name: str) -> None:
    has_posterior = name not in WITHOUT_KL and name != "mose"  # whose KL is that of its gate
    model, (image, mask) = small(name), batch(2)
    rebuilt = model.eval().reconstruct(image, torch.stack([mask, mask, mask], dim=1))
    assert (rebuilt is None) != has_posterior
    assert rebuilt is None or rebuilt.shape == (2, 3, 16, 24)


@every_model
def test_the_loss_is_float32_under_bfloat16(name: str) -> None:
    model, (image, mask) = small(name), batch()
    with torch.no_grad():
        expected = model.loss(image, mask, beta=1.0, generator=generators(0)[0])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(image, mask, beta=1.0, generator=generators(0)[0])
    assert {part.dtype for part in loss} == {torch.float32}
    torch.testing.assert_close(loss.total, expected.total, rtol=2e-2, atol=0)


@every_model
def test_convolutions_answer_with_channels_last(name: str) -> None:
    model, (image, mask) = small(name), batch()
    layouts = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.register_forward_hook(
                lambda _layer, _inputs, output: layouts.append(
                    output.is_contiguous(memory_format=torch.channels_last)
                )
            )
    model.loss(image, mask, beta=1.0, generator=generators(0)[0])
    assert layouts
    assert all(layouts)


@every_model
def test_saved_weights_draw_the_same(name: str, tmp_path: Path) -> None:
    model, (image, _) = small(name), batch()
    info = WeightsInfo(
        model=name,
        architecture=SETTINGS.architecture_of(name),
        in_channels=1,
        classes=2,
        window=(-1000.0, 400.0),
        crop=16,
        run=f"lidc/{name}/beta-1/fold-0/seed-0",
        store="",
        step=1,
        validation_ged=None,
    )
    save_weights(tmp_path / "weights.pt", model, info)
    again, _ = load_weights(tmp_path / "weights.pt")
    drawn = [one.eval().draw(image, 3, generators(0, 1, 2)).samples for one in (model, again)]
    assert torch.equal(*drawn)


@every_model
@pytest.mark.parametrize("channels", [[4, 8], [4, 6, 8, 8, 8]])
def test_any_number_of_scales(name: str, channels: list[int]) -> None:
    architecture = Settings().architecture_of(name) | {"channels": channels, "convolutions": 1}
    model, (image, mask) = build(name, architecture, seed=1), batch(2)
    model.loss(image, mask, beta=1.0, generator=generators(0)[0]).total.backward()
    assert model.eval().draw(image[:, :, :, :16], 2, generators(0, 1)).samples.shape == (
        2,
        2,
        16,
        16,
    )
