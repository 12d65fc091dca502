"""Batches are functions of (seed, step), and hold what the store holds."""

from pathlib import Path

import numpy as np
import torch

from probunet.config import Augmentation, Settings
from probunet.models.inputs import read_rows
from probunet.store import open_crops
from probunet.train.batches import load_batches
from probunet.train.masks import load_masks

CPU = torch.device("cpu")


def test_a_batch_depends_on_seed_and_step_alone(store: Path, settings: Settings) -> None:
    data = load_batches(open_crops(store), np.arange(12), settings, CPU)
    image, mask = data.draw(seed=0, step=5)
    data.draw(seed=0, step=6)
    again, mask_again = data.draw(seed=0, step=5)
    assert torch.equal(image, again)
    assert torch.equal(mask, mask_again)
    for seed, step in ((0, 6), (1, 5)):
        assert not torch.equal(image, data.draw(seed, step)[0])


def test_shapes_and_values(store: Path, settings: Settings) -> None:
    data = load_batches(open_crops(store), np.arange(12), settings, CPU)
    image, mask = data.draw(seed=0, step=1)
    assert (image.shape, image.dtype) == ((2, 1, 32, 32), torch.float32)
    assert (mask.shape, mask.dtype) == ((2, 32, 32), torch.int64)
    assert 0 <= image.min() < image.max() <= 1
    assert set(mask.unique().tolist()) <= {0, 1}


def test_every_grader_is_drawn_the_empty_one_too(store: Path, settings: Settings) -> None:
    still = Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0)
    settings = settings.model_copy(
        update={
            "augmentation": still,
            "training": settings.training.model_copy(update={"batch": 256, "crop": 128}),
        }
    )
    data = load_masks(open_crops(store), np.array([0]), settings, CPU)
    _, mask = data.draw(seed=0, step=1)
    areas, counts = mask.sum(dim=(1, 2)).unique(return_counts=True)
    expected = [int((data.masks[0] >> g & 1).sum()) for g in (3, 0, 1, 2)]  # by size
    assert areas.tolist() == expected
    assert counts.min() > 256 / 4 / 2


def test_rows_are_those_of_the_store(store: Path) -> None:
    crops = open_crops(store)
    rows = np.array([1, 2, 5, 23])
    assert np.array_equal(read_rows(crops.image, rows), np.asarray(crops.image[:])[rows])


def test_crops_are_mirrored_and_raised_to_a_power_where_asked(
    store: Path, settings: Settings
) -> None:
    crops = open_crops(store)

    def draw(**changes: object) -> tuple[torch.Tensor, torch.Tensor]:
        augmentation = Augmentation(elastic=0.0).model_copy(update=changes)
        chosen = settings.model_copy(update={"augmentation": augmentation})
        return load_batches(crops, np.arange(12), chosen, CPU).draw(seed=0, step=1)

    still = {"rotation": 0.0, "shear": 0.0, "scale": 0.0}
    image, mask = draw(**still)
    mirrored, mask_mirrored = draw(**still, mirror=1.0)
    torch.testing.assert_close(mirrored, image.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(mask_mirrored, mask.flip(-1))
    darker, _ = draw(**still, gamma_probability=1.0, gamma=(1.5, 1.5))
    torch.testing.assert_close(darker, image**1.5)
