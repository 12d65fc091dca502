"""Patches: where they are, what is beyond the edge, and how far a deformation reaches."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from probunet.config import Augmentation
from probunet.truth.augment import draw_deformation, sampling_field
from probunet.truth.patches import Patches, margin_of
from support.own_sizes import open_own
from support.settings import tiny_settings

CPU = torch.device("cpu")
STILL = Augmentation(rotation=0, shear=0, scale=0, elastic=0)
lengths = st.integers(1, 40)


def numbered(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image whose pixels are their numbers from 1, and two masks of the same."""
    number = torch.arange(1, height * width + 1).view(height, width)
    return number[..., None], torch.stack([number, -number])


def windows_of(form: tuple, height: int, width: int, count: int, seed: int = 0):
    """Return windows of one image; `form` are side, margin, and the values beyond the edge."""
    image, truth = numbered(height, width)
    patches = Patches(np.array([[height, width]]), *form)

    def read(k, down, across):
        return image[down, across], truth[..., down, across]

    return patches.cut(read, seed, 1, torch.zeros(count, dtype=torch.int64))


@given(lengths, lengths, st.integers(1, 30), st.integers(0, 5), st.integers(0, 99))
def test_a_window_shows_the_image_and_what_is_beyond_its_edge(height, width, side, margin, seed):
    images, truths = windows_of((side, margin, -7, 9999), height, width, 4, seed)
    length = side + 2 * margin
    assert images.shape == (4, length, length, 1)
    assert truths.shape == (4, 2, length, length)
    for image, truth in zip(images[..., 0], truths, strict=True):
        beyond = image == -7
        assert torch.equal(truth[0] == 9999, beyond)
        assert torch.equal(image[~beyond], truth[0][~beyond])
        assert torch.equal(-image[~beyond], truth[1][~beyond])
        # the patch without its margin holds the image, or lies within it
        patch = image[margin : margin + side, margin : margin + side]
        inside = (patch != -7).sum()
        assert inside == min(side, height) * min(side, width)
        rows, columns = np.divmod(patch[patch != -7].numpy() - 1, width)
        assert np.ptp(rows) + 1 == min(side, height)
        assert np.ptp(columns) + 1 == min(side, width)


def test_all_places_within_an_image_are_equally_likely():
    images, _ = windows_of((4, 0, 0, 0), 7, 9, 24_000)
    counts = torch.bincount(images[:, 0, 0, 0], minlength=64)
    corners = [1 + 9 * row + column for row in range(4) for column in range(6)]
    assert counts.sum() == counts[corners].sum()
    assert (counts[corners] - 1000).abs().max() < 6 * 1000**0.5


def test_a_small_image_is_anywhere_in_its_patch():
    images, _ = windows_of((4, 0, 0, 0), 2, 4, 600)
    first = [int((image[..., 0].sum(dim=1) > 0).nonzero()[0]) for image in images]
    assert set(first) == {0, 1, 2}


@given(
    st.floats(0, 180), st.floats(0, 30), st.floats(0, 0.9), st.integers(2, 40), st.integers(0, 99)
)
def test_a_deformation_stays_within_the_margin(rotation, shear, scale, side, seed):
    augmentation = Augmentation(rotation=rotation, shear=shear, scale=scale, elastic=0, mirror=0.5)
    margin = margin_of(augmentation, side)
    whole = (side + 2 * margin,) * 2
    generator = torch.Generator().manual_seed(seed)
    deformation = draw_deformation(augmentation, 8, (side, side), generator).centred()
    field = sampling_field(deformation, whole, (side, side))
    assert field.min() >= -1e-3
    assert field.max() <= whole[0] - 1 + 1e-3


def test_without_augmentation_a_batch_has_patches_of_the_images(tmp_path):
    settings = tiny_settings(batch=40).model_copy(update={"augmentation": STILL})
    for labelled in (False, True):
        images = open_own(tmp_path / f"{labelled}.zarr", labelled=labelled)
        rows = np.array([4, 2, 7])
        low, high = images.attributes.window
        drawn, masks = images.batches(rows, settings, CPU).draw(0, 1)
        assert drawn.shape == (40, 1, 32, 32)
        assert masks.shape == (40, 32, 32)
        found = set()
        for patch in drawn[:, 0].numpy():
            for row in rows.tolist():
                height, width = images.extents[row]
                values = np.asarray(images.image[row])[:height, :width, 0].astype(np.float32)
                windows = np.lib.stride_tricks.sliding_window_view(
                    ((values - low) / (high - low)).clip(0, 1), (32, 32)
                )
                if np.isclose(windows, patch, atol=1e-5).all(axis=(2, 3)).any():
                    found.add(row)
                    break
            else:
                raise AssertionError("a patch of no image")
        assert found == set(rows.tolist())
