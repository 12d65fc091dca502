"""The Probabilistic U-Net (Kohl et al., 2018), from CT slices to a GED table and a report."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import probunet.predict.predictor

__version__ = "0.1.0"


def load(
    *weights: "str | Path", device: str = "auto", threads: int | None = None
) -> "probunet.predict.predictor.Predictor":
    """Return trained weights as an object that draws samples; see `predict.predictor.load`."""
    import probunet.predict.predictor

    return probunet.predict.predictor.load(*weights, device=device, threads=threads)
