"""Random label maps for property tests: with and without classes, ignored in part or whole."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from probunet.flips import CLASSES, FIRST, IGNORE, SECOND

Maps = NDArray[np.uint8]
TEN = [int(c) for c in (*FIRST, *SECOND)]
OTHER = [c for c in range(len(CLASSES)) if c not in TEN]


@st.composite
def sample_and_label_maps(draw: st.DrawFn, most_samples: int = 5) -> tuple[Maps, Maps]:
    """Samples (images, n, H, W) and labels (images, H, W)."""
    images = draw(st.integers(1, 3))
    n = draw(st.integers(1, most_samples))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = np.empty((images, height, width), np.uint8)
    samples = np.empty((images, n, height, width), np.uint8)
    for image in range(images):
        seen = random.choice(FIRST, random.integers(0, 6), replace=False)
        names = np.concatenate((seen, [OTHER[0]]))
        labels[image] = random.choice(names, (height, width))
        for one in samples[image]:
            renamed = labels[image].copy()
            for first, second in zip(FIRST, SECOND, strict=True):
                if random.random() < 0.5:
                    renamed[renamed == first] = second
            anything = random.choice([*TEN, *OTHER[:2]], (height, width))
            one[:] = np.where(
                random.random((height, width)) < random.choice([0, 0.3, 1]), anything, renamed
            )
        samples[image, random.random(n) < 0.1] = OTHER[1]
        ignored = random.random((height, width)) < random.choice([0, 0.3, 1], p=[0.4, 0.5, 0.1])
        labels[image, ignored] = IGNORE
    return samples, labels


def distance(a: Maps, b: Maps, label: Maps) -> float:
    """1 - mean IoU over the ten classes that either map has on scored pixels, class by class."""
    scored = label != IGNORE
    ious = []
    for c in TEN:
        in_a, in_b = (a == c) & scored, (b == c) & scored
        if (in_a | in_b).any():
            ious.append((in_a & in_b).sum() / (in_a | in_b).sum())
    return float(1 - np.mean(ious)) if ious else 0.0
