"""The multi-choice loss written out, and which heads are drawn."""

import pytest
import torch
import torch.nn.functional as F

from probunet.models import build
from probunet.models.m_heads import MHeads


def model(heads: int, others: float = 0.05, classes: int = 3) -> MHeads:
    shared = {"channels": (6, 8), "convolutions": 1, "initialisation": "he"}
    net = build("m_heads", {**shared, "heads": heads, "others": others}, classes=classes)
    assert isinstance(net, MHeads)
    return net


def image(size: int = 2) -> torch.Tensor:
    return torch.rand(size, 1, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("others", [0.0, 0.05, 0.5])
def test_loss_is_that_of_the_best_head_and_a_share_of_the_others(heads: int, others: float) -> None:
    net, x = model(heads, others), image()
    mask = torch.randint(3, (2, 12, 12), generator=torch.Generator().manual_seed(2))
    expected = []
    for logits, truth in zip(net(x), mask, strict=True):
        losses = sorted(
            F.cross_entropy(one[None], truth[None], reduction="sum").item() for one in logits
        )
        best, rest = losses[0], losses[1:]
        mean = sum(rest) / len(rest) if rest else best
        expected.append((1 - others) * best + others * mean)
    loss = net.loss(x, mask, beta=1.0, generator=torch.Generator())
    assert loss.total.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_up_to_m_samples_are_different_heads_and_more_come_again() -> None:
    net, x = model(4), image(1)
    heads = net(x)[0].argmax(dim=1).to(torch.uint8)
    assert len(torch.unique(heads, dim=0)) == 4
    orders = set()
    for seed in range(20):
        drawn = net.draw(x, 11, [torch.Generator().manual_seed(seed)]).samples[:, 0]
        which = [int((heads == one).all(dim=(1, 2)).nonzero()) for one in drawn]
        assert sorted(which[:4]) == sorted(which[4:8]) == [0, 1, 2, 3]
        assert len(set(which[8:])) == 3
        orders.add(tuple(which[:4]))
    assert len(orders) > 10


def test_deterministic_is_of_the_mean_probability() -> None:
    net, x = model(3), image()
    expected = net(x).softmax(dim=2).mean(dim=1).argmax(dim=1)
    drawn = net.draw(x, 1, [torch.Generator(), torch.Generator()])
    assert torch.equal(drawn.deterministic.long(), expected)
