"""Categorical diffusion, against Bayes' rule with whole matrices, and on tasks of known answer."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.flips import IGNORE
from probunet.models import build, ccdm, outline
from probunet.models.attention_unet import Attention
from probunet.models.ccdm import CCDM, posterior, shares_kept
from probunet.models.segmentation import one_hot
from probunet.sample.cost import Macs

PUBLISHED = Settings().architecture_of("ccdm")


def tiny(classes: int = 2, diffusion_steps: int = 20, **changes: object) -> CCDM:
    own = {"channels": [4, 8], "blocks": 1, "diffusion_steps": diffusion_steps}
    model = build("ccdm", PUBLISHED | own | changes, classes=classes)
    assert isinstance(model, CCDM)
    torch.nn.init.normal_(model.logits.weight, generator=Generator().manual_seed(1))
    return model


def generators(count: int, first: int = 0) -> list[Generator]:
    return [Generator().manual_seed(first + i) for i in range(count)]


def images(count: int, side: int = 8) -> Tensor:
    return torch.rand(count, 1, side, side, generator=Generator().manual_seed(9))


def matrix(kept: float, classes: int) -> np.ndarray[Any, Any]:
    """Return the probability of each class (column) after each class (row)."""
    return kept * np.eye(classes) + (1 - kept) / classes


def known(model: CCDM, monkeypatch: pytest.MonkeyPatch, prior: list[float]) -> None:
    """Let the network know of x_0 what x_t says, of pixels that have these classes as often."""

    def logits(image: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        forward = torch.from_numpy(matrix(model.kept[int(time)], len(prior))).float()
        likely = torch.einsum("ct,bthw->bchw", forward, noisy)
        return (likely * torch.tensor(prior)[:, None, None]).log()

    monkeypatch.setattr(model, "_logits", logits)


@given(
    st.integers(2, 5),
    st.floats(0.001, 1),
    st.floats(0.001, 0.999),
    st.data(),
)
def test_the_posterior_is_bayes_rule(
    classes: int, before: float, ratio: float, data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=classes, max_size=classes))
    truth = np.array(weights) / sum(weights)
    now = data.draw(st.integers(0, classes - 1))
    first, then = matrix(before, classes), matrix(ratio, classes)
    expected = np.zeros(classes)
    for start in range(classes):
        joint = first[start] * then[:, now]  # of each x_s, and the x_t that is seen
        expected += truth[start] * joint / joint.sum()
    noisy = one_hot(torch.full((1, 1, 1), now), classes, torch.float64)
    found = posterior(noisy, torch.from_numpy(truth)[None, :, None, None], before, ratio)
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-9)


def test_the_shares_are_those_of_the_cosine_and_end_near_zero() -> None:
    shares = shares_kept(250)
    assert shares[0] == 1
    assert all(one > other > 0 for one, other in pairwise(shares))
    f = np.cos((np.arange(251) / 250 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(shares[:-1], f[:-1] / f[0])
    assert shares[-1] == pytest.approx(0.001 * shares[-2])


@pytest.mark.parametrize("most", [1, 2, 3, 20, 250])
def test_steps_go_from_the_last_time_to_none_without_a_repeat(most: int) -> None:
    model = tiny(diffusion_steps=most)
    for steps in range(1, most + 1):
        model.sample_in(steps)
        found = model._steps()
        assert len(found) == steps
        assert found[0][0] == most
        assert found[-1] == (1 if steps > 1 else most, 0)
        assert all(t > s for t, s in found)
        assert all(one[1] == other[0] for one, other in pairwise(found))
        sizes = [t - s for t, s in found[:-1]]
        assert not sizes or max(sizes) - min(sizes) <= 1
    model.sample_in(None)
    assert model._steps() == [(t, t - 1) for t in range(most, 0, -1)]


@pytest.mark.parametrize("steps", [0, 21, 250])
def test_more_steps_than_diffusion_steps_are_refused(steps: int) -> None:
    with pytest.raises(ProbunetError, match=f"sampling_steps: {steps} .*20 diffusion steps.*1 to"):
        tiny().sample_in(steps)


def test_the_loss_is_the_kl_of_one_step() -> None:
    model = tiny(classes=3)
    generator = Generator().manual_seed(4)
    mask = torch.randint(3, (6, 8, 8), generator=generator)
    mask[0, :3] = IGNORE
    x = torch.randint(3, mask.shape, generator=generator)
    t = torch.tensor([1, 2, 7, 13, 19, 20])
    kept = torch.tensor(model.kept, dtype=torch.float64)
    values = [v.float()[:, None, None, None] for v in (t, kept[t - 1], kept[t] / kept[t - 1])]
    found = model(images(6), mask, x, *values)
    with torch.no_grad():
        noisy = one_hot(x, 3, torch.float32)
        believed = model._logits(images(6), noisy, t.float()).softmax(dim=1).double().numpy()
    for i, time in enumerate(t.tolist()):
        first = matrix(model.kept[time - 1], 3)
        then = matrix(model.kept[time] / model.kept[time - 1], 3)
        total = 0.0
        for row, column in np.ndindex(8, 8):
            if mask[i, row, column] == IGNORE:
                continue
            joint = first * then[:, int(x[i, row, column])]  # (x_0, x_s)
            by_start = joint / joint.sum(axis=1, keepdims=True)
            wanted = by_start[int(mask[i, row, column])].clip(1e-12)
            chosen = (believed[i, :, row, column] @ by_start).clip(1e-12)
            total += float((wanted * np.log(wanted / chosen)).sum())
        assert found[i].item() == pytest.approx(total, rel=1e-4, abs=1e-4)


def test_x_keeps_as_many_classes_as_the_schedule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = tiny(classes=4), []

    def forward(self: CCDM, image: Tensor, mask: Tensor, x: Tensor, *values: Tensor) -> Tensor:
        seen.append((x, values))
        return x.float()

    monkeypatch.setattr(CCDM, "forward", forward)
    mask = torch.full((200, 32, 32), 2)
    mask[:, :4] = IGNORE
    model.loss(images(200, 32), mask, beta=1.0, generator=Generator().manual_seed(0))
    (x, (time, _, _)), *_ = seen
    assert set(time.flatten().int().tolist()) == set(range(1, 21))
    for one, t in zip(x, time.flatten().int().tolist(), strict=True):
        expected = model.kept[t] + (1 - model.kept[t]) / 4
        assert (one[4:] == 2).float().mean().item() == pytest.approx(expected, abs=0.06)
        assert (one[:4] == 2).float().mean().item() == pytest.approx(0.25, abs=0.17)


@pytest.mark.parametrize("steps", [250, 60, 10])
def test_a_network_that_is_right_draws_classes_as_often_as_they_are(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = [0.5, 0.3, 0.2]
    model = tiny(classes=3, diffusion_steps=250)
    known(model, monkeypatch, prior)
    model.sample_in(steps)
    drawn = model.draw(images(2, 64), 3, generators(2))
    share = np.bincount(drawn.samples.flatten().numpy(), minlength=3) / drawn.samples.numel()
    np.testing.assert_allclose(share, prior, atol=0.015)


def test_the_first_samples_do_not_depend_on_how_many_are_drawn() -> None:
    model = tiny()
    few, many = (model.draw(images(3), n, generators(3)).samples for n in (2, 7))
    assert torch.equal(few, many[:2])
    assert not torch.equal(few[0], few[1])


def test_samples_are_the_same_in_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(classes=3)
    sizes: list[int] = []
    model.unet.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))

    def drawn(pixels: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        monkeypatch.setattr(ccdm, "CPU_PIXELS", pixels)
        shown: list[Tensor] = []
        found = model.draw(images(3), 5, generators(3), shown.append)
        return found.samples, found.deterministic, shown

    whole = drawn(10**6)
    assert max(sizes) == 15
    sizes.clear()
    for pixels in (1, 64 * 2, 64 * 4):
        samples, guess, shown = drawn(pixels)
        assert (samples == whole[0]).float().mean() > 0.99
        assert torch.equal(guess, whole[1])
        assert [one.shape for one in shown] == [(3, 3, 8, 8)] * 5
        assert torch.equal(torch.stack([one.argmax(dim=1) for one in shown]), samples)
    assert max(sizes) == 4


def test_each_step_passes_by_who_watches() -> None:
    model, seen = tiny(), []

    def watch(steps: list[Any]) -> list[Any]:
        seen.append(len(steps))
        return steps

    model.through = watch
    for steps in (3, None):
        model.sample_in(steps)
        model.draw(images(1), 2, generators(1))
    assert seen == [3, 20]


def test_the_best_guess_has_the_largest_mean_probability_and_takes_no_pass() -> None:
    model, passes = tiny(classes=3), []
    model.unet.register_forward_hook(lambda _, inputs, __: passes.append(float(inputs[1])))
    model.sample_in(4)
    shown: list[Tensor] = []
    drawn = model.draw(images(2), 5, generators(2), shown.append)
    assert passes == [20, 14, 8, 1]
    mean = torch.stack(shown).softmax(dim=2).mean(dim=0)
    assert torch.equal(drawn.deterministic, mean.argmax(dim=1))


class Published:
    """Parameters, and multiply-accumulates of a pass of 128x128 pixels, added up by hand."""

    def __init__(self) -> None:
        self.parameters = self.macs = 0

    def linear(self, before: int, after: int, places: int) -> None:
        self.parameters += before * after + after
        self.macs += before * after * places

    def convolution(self, before: int, after: int, side: int) -> None:
        self.parameters += 9 * before * after + after
        self.macs += 9 * before * after * side**2

    def norm(self, channels: int) -> None:
        self.parameters += 2 * channels

    def block(self, before: int, after: int, side: int, attends: bool) -> None:
        self.norm(before)
        self.convolution(before, after, side)
        self.linear(128, after, places=1)  # the time
        self.norm(after)
        self.convolution(after, after, side)
        if before != after:
            self.linear(before, after, side**2)
        if attends:
            self.norm(after)
            self.linear(after, 3 * after, side**2)
            self.macs += 2 * after * side**4  # queries with keys, weights with values
            self.linear(after, after, side**2)


def by_hand() -> Published:
    net = Published()
    net.linear(32, 128, places=1)  # the time
    net.linear(128, 128, places=1)
    net.convolution(3, 32, 128)  # of two classes and a grey image
    for before, after, side, attends in (
        (32, 32, 128, False),
        (32, 32, 128, False),
        (32, 64, 64, False),
        (64, 64, 64, False),
        (64, 64, 32, False),
        (64, 64, 32, False),
        (64, 128, 16, True),
        (128, 128, 16, True),
        (128, 160, 8, True),
        (160, 160, 8, True),
        (160, 160, 8, True),  # the middle
        (160, 160, 8, False),
        (160 + 160, 160, 8, True),
        (160 + 160, 160, 8, True),
        (160 + 128, 160, 8, True),  # sees the step down
        (160 + 128, 128, 16, True),
        (128 + 128, 128, 16, True),
        (128 + 64, 128, 16, True),
        (128 + 64, 64, 32, False),
        (64 + 64, 64, 32, False),
        (64 + 64, 64, 32, False),
        (64 + 64, 64, 64, False),
        (64 + 64, 64, 64, False),
        (64 + 32, 64, 64, False),
        (64 + 32, 32, 128, False),
        (32 + 32, 32, 128, False),
        (32 + 32, 32, 128, False),  # sees the first convolution
    ):
        net.block(before, after, side, attends)
    for channels, side in ((32, 64), (64, 32), (64, 16), (128, 8)):  # down, to this side
        net.convolution(channels, channels, side)
    for channels, side in ((160, 16), (128, 32), (64, 64), (64, 128)):  # up
        net.convolution(channels, channels, side)
    net.norm(32)
    net.convolution(32, 2, 128)
    return net


def test_the_published_network_has_9_million_parameters() -> None:
    net = outline("ccdm", PUBLISHED, in_channels=1, classes=2, most=10**4)
    assert sum(weight.numel() for weight in net.parameters()) == by_hand().parameters == 9_056_610
    heads = [part.heads for part in net.modules() if isinstance(part, Attention)]
    assert heads == [4, 4, 5, 5, 5, 5, 5, 5, 4, 4, 4]


def test_a_pass_of_the_published_network_takes_6_7_gmac() -> None:
    net = build("ccdm", PUBLISHED)
    with torch.no_grad(), Macs() as counted:
        net._logits(torch.zeros(1, 1, 128, 128), torch.zeros(1, 2, 128, 128), torch.ones(1))
    assert counted.total == by_hand().macs
    assert counted.total / 1e9 == pytest.approx(6.74, abs=0.01)


def test_attention_is_that_of_every_pair_of_pixels() -> None:
    layer = Attention(64)
    x = torch.randn(2, 64, 3, 5, generator=Generator().manual_seed(0))
    with torch.no_grad():
        asked = layer.asked(layer.norm(x)).flatten(2).view(2, 3, 2, 32, 15)  # (B, qkv, heads, d, N)
        expected = torch.zeros(2, 2, 32, 15)
        for image, head in np.ndindex(2, 2):
            query, key, value = asked[image, :, head]
            for pixel in range(15):
                weights = ((query[:, pixel, None] * key).sum(dim=0) / 32**0.5).softmax(dim=0)
                expected[image, head, :, pixel] = (value * weights).sum(dim=1)
        expected = x + layer.last(expected.view(2, 64, 3, 5))
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_the_time_of_each_image_counts() -> None:
    net = tiny(channels=[8, 16]).unet
    torch.nn.init.normal_(net.middle[0].last.weight, generator=Generator().manual_seed(0))
    x = torch.rand(2, 3, 8, 8)
    together = net(x, torch.tensor([3.0, 17.0]))

    def alone(i: int, t: float) -> Tensor:
        found: Tensor = net(x[i : i + 1], torch.tensor([t]))
        return found

    torch.testing.assert_close(together[:1], alone(0, 3.0))
    torch.testing.assert_close(together[1:], alone(1, 17.0))
    assert not torch.allclose(together[:1], alone(0, 17.0))
