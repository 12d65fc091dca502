"""Random masks for property tests, empty and full ones among them."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Masks = NDArray[np.bool_]  # (images, members, H, W)


@st.composite
def sample_and_grader_masks(
    draw: st.DrawFn, most_samples: int = 9, most_graders: int = 5
) -> tuple[Masks, Masks]:
    images, height, width = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 13)),
        draw(st.integers(1, 13)),
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def masks(members: int) -> Masks:
        filled = random.choice([0, 0.05, 0.5, 1], (images, members, 1, 1))
        chosen: Masks = random.random((images, members, height, width)) < filled
        return chosen

    return masks(draw(st.integers(1, most_samples))), masks(draw(st.integers(1, most_graders)))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def mean_distance(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Return the mean of 1 - IoU over all pairs of masks (n, ...)."""
    return float(np.mean([1 - iou(a, b) for a in some for b in others]))


def ged_of(samples: NDArray[np.bool_], graders: NDArray[np.bool_]) -> float:
    """Return GED^2 of masks (n, ...), pair by pair."""
    within = mean_distance(samples, samples) + mean_distance(graders, graders)
    return 2 * mean_distance(samples, graders) - within
