"""MoSE: the loss and the weights against versions written out, and what it learns."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from probunet.config import Settings, check
from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.models import build, outline
from probunet.models.mose import MoSE


def small(classes: int = 2, seed: int = 1, **own: object) -> MoSE:
    keys = {"channels": None, "experts": 3, "loss_samples": 2, **own}
    shared = {"channels": [8, 12, 16], "convolutions": 2, "initialisation": "he"}
    settings = check(Settings, {"architecture": shared, "mose": keys}, "test")
    model = build("mose", settings.architecture_of("mose"), classes=classes, seed=seed)
    assert isinstance(model, MoSE)
    return model


def batch(graders: int = 4, classes: int = 2) -> tuple[Tensor, Tensor]:
    generator = Generator().manual_seed(2)
    image = torch.rand(3, 1, 16, 24, generator=generator)
    masks = torch.randint(classes, (3, graders, 16, 24), generator=generator)
    return image, masks


def loss_of(model: MoSE, image: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
    generator = Generator().manual_seed(4)
    return model.loss(image, masks.flatten(0, 1), beta=2.0, generator=generator)


def as_released(
    model: MoSE, image: Tensor, masks: Tensor, cost: str, limit: float
) -> tuple[Tensor, Tensor]:
    """The cost and the KL with all samples side by side, and the transport pair after pair."""
    experts, each = model.experts, model.loss_samples
    noise = torch.randn(
        len(image), experts, each, model.mean.shape[1], generator=Generator().manual_seed(4)
    )
    scales = model.unet.encoder(image)
    features, pooled = model.unet.decoder(scales), scales[-1].mean(dim=(2, 3))
    gate = model.gate.last(model.gate.hidden(pooled)).softmax(dim=1)
    costs = torch.zeros(len(image), experts * each, masks.shape[1])
    for b in range(len(image)):
        for k in range(experts):
            for s in range(each):
                z = model.mean[k] + model.log_sigma[k].exp() * noise[b, k, s]
                joined = features[b] + model.join.shift(z)[:, None, None]
                x = (joined * (model.join.scale(z) + 1e-5)[:, None, None]).movedim(0, -1)
                for layer in (model.join.first, *model.join.rest):
                    x = F.relu(layer(x))
                p = model.join.logits(x).softmax(dim=-1)  # (H, W, classes)
                for j, mask in enumerate(masks[b]):
                    counted = mask != IGNORE
                    if cost == "iou":
                        ious = []
                        for c in range(1, p.shape[-1]):
                            own, truth = p[..., c][counted], (mask == c)[counted].float()
                            both = (own * truth).sum()
                            ious.append((both + 1) / (own.sum() + truth.sum() - both + 1))
                        costs[b, k * each + s, j] = 1 - torch.stack(ious).mean()
                    elif counted.any():
                        costs[b, k * each + s, j] = F.nll_loss(p[counted].log(), mask[counted])
    total, kls = [], []
    for b in range(len(image)):
        there = [j for j, mask in enumerate(masks[b]) if (mask != IGNORE).any()]
        masses = torch.zeros(experts * each, masks.shape[1])
        for j in sorted(there, key=lambda j: costs[b, :, j].min().item()):
            left = 1 / len(there)
            for i in costs[b, :, j].argsort().tolist():
                masses[i, j] = max(0, min(left, limit - masses[i].sum().item()))
                left -= masses[i, j].item()
        total.append((masses * costs[b]).sum())
        wanted, own = masses.sum(dim=1), gate[b].repeat_interleave(each) / each
        kls.append(F.kl_div((own + 1e-8).log(), wanted, reduction="none").mean())
    return torch.stack(total).mean(), torch.stack(kls).mean()


@pytest.mark.parametrize(
    ("cost", "classes", "limit"),
    [("iou", 2, 0.5), ("iou", 4, 1.0), ("cross_entropy", 2, 1.0), ("cross_entropy", 4, 0.5)],
)
def test_the_loss_is_that_of_the_release_written_out(cost, classes, limit):
    model = small(classes, cost=cost, limit=limit)
    image, masks = batch(classes=classes)
    masks[1, 2] = masks[2, :3] = IGNORE  # graders who are not there
    masks[0, 1, :5] = IGNORE  # and pixels that a grader ignores
    found = loss_of(model, image, masks)
    expected = as_released(model, image, masks, cost, limit)
    torch.testing.assert_close(found[1], expected[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[2], expected[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[0], found[1] + 2 * found[2])
    gradients = []
    for total in (found[0], expected[0] + 2 * expected[1]):
        gradients.append(torch.autograd.grad(total, list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-5)


def test_the_order_of_the_graders_and_who_is_missing_change_nothing():
    model, (image, masks) = small().eval(), batch()
    missing = torch.full_like(masks[:, :1], IGNORE)
    plain = loss_of(model, image, masks)
    for other in (masks.flip(1), torch.cat([missing, masks, missing], dim=1)):
        for a, b in zip(plain, loss_of(model, image, other), strict=True):
            torch.testing.assert_close(a, b)


def test_parameters_of_the_published_channels_are_counted_by_hand():
    widths, pairs = [32, 64, 128, 192, 192, 192, 192], []
    for before, after in zip([1, *widths], widths, strict=False):
        pairs += [(before, after)] + 2 * [(after, after)]
    for fine, coarse in pairwise(widths):
        pairs += [(fine + coarse, fine)] + 2 * [(fine, fine)]
    unet = sum(9 * a * b + 2 * b for a, b in pairs)  # no biases, but two numbers per channel
    gate = 2 * (192 * 192 + 192) + 192 * 4
    join = 2 * (32 + 32) + 3 * (32 * 32 + 32) + 32 * 2 + 2
    model = outline(
        "mose", Settings().architecture_of("mose"), in_channels=1, classes=2, most=10**8
    )
    count = sum(one.numel() for one in model.parameters())
    assert count == unet + gate + join + 2 * 4  # mu and log sigma
    assert count == 9_314_506


def test_experts_start_apart_with_equal_weights():
    model = small(experts=5, latent_dim=2)
    expected = [0, 0.25, 0.5, 0.75, 1]
    for values in model.mean.detach().unbind(1):
        assert sorted(values.tolist()) == pytest.approx(expected)
    torch.testing.assert_close(model.log_sigma.exp(), torch.full((5, 2), 1 / 8))
    weights = model.condition(batch()[0]).weights
    torch.testing.assert_close(weights, torch.full_like(weights, 0.2), rtol=0.1, atol=0)


def with_weights(*weights: float) -> MoSE:
    """A model whose gate gives every image these weights."""
    model = small(experts=len(weights)).eval()
    logs = torch.tensor(weights).log()
    model.gate.forward = lambda features: logs.softmax(0).expand(len(features), -1)
    return model


def experts_of(model: MoSE, n: int, images: int) -> tuple[Tensor, Tensor]:
    """The experts of n samples (images, n), and their weights."""
    chosen: list[Tensor] = []
    usual = model._choose

    def choose(*arguments: object) -> tuple[Tensor, Tensor]:
        found = usual(*arguments)
        chosen.append(found[0])
        return found

    model._choose = choose
    generators = [Generator().manual_seed(i) for i in range(images)]
    drawn = model.draw(torch.zeros(images, 1, 8, 8), n, generators)
    model._choose = usual
    return torch.stack(chosen), drawn.sample_weights


def test_each_round_has_every_expert_with_the_weight_of_the_gate():
    weights = torch.tensor([0.5, 0.3, 0.2])
    experts, found = experts_of(with_weights(0.5, 0.3, 0.2), 7, images=200)
    for start in (0, 3):
        assert torch.equal(experts[:, start : start + 3].sort(dim=1).values[0], torch.arange(3))
        assert (experts[:, start : start + 3].sort(dim=1).values == torch.arange(3)).all()
    expected = weights[experts] / weights[experts].mean(dim=1, keepdim=True)
    torch.testing.assert_close(found, expected)
    first = torch.bincount(experts[:, 0], minlength=3) / 200
    torch.testing.assert_close(first, weights, atol=0.12, rtol=0)


def test_fewer_samples_than_experts_are_drawn_from_the_mixture_and_count_the_same():
    experts, found = experts_of(with_weights(0.5, 0.3, 0.2), 2, images=600)
    assert found is None
    for place in range(2):
        shares = torch.bincount(experts[:, place], minlength=3) / 600
        torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.08, rtol=0)
    assert (experts[:, 0] == experts[:, 1]).float().mean() > 0.2  # with replacement: 0.38


def test_a_gate_that_is_certain_leaves_usable_weights():
    _, found = experts_of(with_weights(1.0, 1e-40, 0.0), 6, images=20)
    assert torch.isfinite(found).all()
    assert (found[:, 0] > 0).all()


def test_the_first_samples_do_not_depend_on_how_many_are_drawn():
    model, image = small().eval(), batch()[0]
    few, many = (
        model.draw(image, n, [Generator().manual_seed(i) for i in range(3)]) for n in (4, 9)
    )
    assert torch.equal(few.samples, many.samples[:4])


def test_the_weights_that_are_shown_are_those_of_the_samples():
    model, image = small().eval(), batch()[0]
    seen: list[tuple[Tensor, ...]] = []
    generators = [Generator().manual_seed(i) for i in range(3)]
    drawn = model.draw(image, 6, generators, lambda *shown: seen.append(shown))
    assert torch.equal(torch.stack([weights for _, weights in seen], dim=1), drawn.sample_weights)
    torch.testing.assert_close(drawn.sample_weights.mean(dim=1), torch.ones(3))


def test_a_limit_that_the_samples_cannot_meet_is_refused():
    with pytest.raises(ProbunetError, match=r"mose: limit: 0\.1 is too small for 3 experts of 2"):
        small(limit=0.1)
    assert math.isclose(small(limit=1 / 6).limit.value.item(), 1 / 6, rel_tol=1e-6)
    assert np.isfinite(loss_of(small(limit=1 / 6), *batch())[0].item())
