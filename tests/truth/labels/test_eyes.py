"""A small network learns two nested classes of three graders with their known probabilities.

At first, the posterior says far more of a mask than which mode it is: the KL is 4 nats after 500
steps and has to fall below 2, where 1.03, the modes' entropy, is the least. Before, samples of the
prior lie between the modes. So the images are small, for many steps in little time.
"""

import numpy as np
import pytest
import torch

from probunet.datasets.folder.listing import fetch_folder
from probunet.datasets.folder.manifest import ClassTable
from probunet.datasets.folder.plan import plan_images
from probunet.datasets.folder.store import open_labelled
from probunet.models import build
from probunet.prepare.parts import prepare
from support.class_scores import class_distance, class_ged
from support.label_images import CLASSES, PROBABILITIES, write_eyes
from support.settings import tiny_settings

SIZE = (24, 24)
TESTED = 40  # images
N = 16
STEPS = 2500
WHOLE = np.ones(SIZE, bool)
SCORED = [1, 2]


def distances(some, others):
    """Return d of each two label maps, (m, k)."""
    return np.array([[class_distance(a, b, WHOLE, SCORED, "equal") for b in others] for a in some])


def optimum(modes, graders):
    """Return the GED that `N` samples of the modes with their probabilities have on average."""
    among = PROBABILITIES @ distances(modes, modes) @ PROBABILITIES
    between = PROBABILITIES @ distances(modes, graders).mean(axis=1)
    return 2 * between - (N - 1) / N * among - distances(graders, graders).mean()


@pytest.mark.slow
def test_samples_have_the_modes_as_often_as_graders_draw_them(tmp_path):
    modes = write_eyes(tmp_path / "eyes", subjects=640, images=1, size=SIZE)
    table = ClassTable(names=tuple(CLASSES), values=tuple(CLASSES.values()))
    fetch_folder(tmp_path / "eyes", tmp_path / "m.json", "eyes", classes=table)
    prepare(plan_images(tmp_path / "m.json"), tmp_path / "eyes.zarr")
    images = open_labelled(tmp_path / "eyes.zarr")
    settings, cpu = tiny_settings(), torch.device("cpu")
    still = {"rotation": 0, "shear": 0, "scale": 0, "elastic": 0, "mirror": 0.5}
    settings = settings.model_copy(
        update={
            "augmentation": settings.augmentation.model_copy(update=still),
            "training": settings.training.model_copy(update={"batch": 16}),
        }
    )
    rows = np.arange(len(images))
    batches = images.batches(rows[TESTED:], settings, cpu)
    shape = settings.architecture_of("probabilistic_unet")
    shape |= {"channels": (16, 24, 32), "convolutions": 2, "latent_dim": 6}
    shape |= {"initialisation": "he"}
    model = build("probabilistic_unet", shape, in_channels=1, classes=images.classes)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        loss = model.loss(*batches.draw(0, step), beta=1.0, generator=generator)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        schedule.step()

    found, best, counts = [], [], np.zeros(len(PROBABILITIES))
    sampled = images.sampled(settings, 0)
    for row in rows[:TESTED]:
        image, truth = sampled.load(np.array([row]), cpu)
        with torch.no_grad():
            drawn = model.eval().draw(image, N, [torch.Generator().manual_seed(int(row))])
        samples, graders = drawn.samples[:, 0].numpy(), truth[0].numpy().astype(np.uint8)
        own = modes[str(images.columns.name[row])]
        # the mode with the fewest other pixels: by d, one pixel of cup is as far from none as all
        other = (samples[:, None] != own).sum(axis=(2, 3))
        counts += np.bincount(other.argmin(axis=1), minlength=len(counts))
        found.append(class_ged(samples, graders, SCORED, "equal")["ged"])
        best.append(optimum(own, graders))
    np.testing.assert_allclose(counts / counts.sum(), PROBABILITIES, atol=0.08)
    assert np.mean(found) == pytest.approx(np.mean(best), abs=0.05)
