"""What a sample costs: seconds, and the MAC of its convolutions and matrix products."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Cost:
    """Adds up what drawing costs, batch by batch.

    Multiply-accumulates (MAC) are counted in the first batch, and seconds in the others, because
    the first one also waits for what a device prepares. A single batch counts for both.
    """

    def __init__(self) -> None:
        self.gmac = 0.0  # of a sample, 1e9 multiply-accumulates
        self.seconds = 0.0  # of a sample
        self._batches, self._samples, self._total = 0, 0.0, 0.0

    @contextmanager
    def of(self, samples: float) -> Iterator[None]:
        """Count a batch of so many samples, which the code inside draws and waits for.

        Tiles are parts of a sample.
        """
        begun, counter = time.monotonic(), Macs()
        if self._batches == 0:
            with counter:
                yield
            self.gmac = counter.total / samples / 1e9
        else:
            yield
        if self._batches == 1:  # forget the first
            self._samples, self._total = 0.0, 0.0
        self._batches += 1
        self._samples += samples
        self._total += time.monotonic() - begun
        self.seconds = self._total / self._samples


class Macs(TorchFunctionMode):
    """Counts the multiply-accumulates of the convolutions and matrix products that run inside."""

    total = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        arguments: tuple[Any, ...] = (),
        words: dict[str, Any] | None = None,
    ) -> Any:
        result = function(*arguments, **(words or {}))
        if function in _MACS:
            self.total += _MACS[function](result, *arguments)
        return result


def _of_convolution(result: Tensor, _: Tensor, weight: Tensor, *others: object) -> int:
    return result.numel() * weight[0].numel()


def _of_product(result: Tensor, left: Tensor, *others: object) -> int:
    return result.numel() * left.shape[-1]


def _of_sum_and_product(result: Tensor, _: Tensor, left: Tensor, *others: object) -> int:
    return _of_product(result, left)


def _of_attention(result: Tensor, query: Tensor, key: Tensor, value: Tensor) -> int:
    return query.numel() * key.shape[-2] + result.numel() * key.shape[-2]


def _of_einsum(_: Tensor, equation: str, *factors: Tensor) -> int:
    letters = equation.split("->")[0].split(",")
    sizes = {
        x: n
        for names, one in zip(letters, factors, strict=True)
        for x, n in zip(names, one.shape, strict=True)
    }
    return prod(sizes.values())


_MACS: dict[Callable[..., Any], Callable[..., int]] = {
    torch.conv2d: _of_convolution,
    F.linear: _of_product,
    torch.matmul: _of_product,
    Tensor.matmul: _of_product,
    torch.baddbmm: _of_sum_and_product,
    torch.einsum: _of_einsum,
    F.scaled_dot_product_attention: _of_attention,
}
