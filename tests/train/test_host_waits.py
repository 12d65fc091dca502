"""A training step asks the device for work, and never waits until it is done.

Without a GPU, the device "meta" stands for it: its tensors have no values, so that reading one is
an error, and how a tensor gets there is seen.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from probunet.config import Settings, check
from probunet.models import MODELS, build
from probunet.models.device import sent
from probunet.train.average import Average
from probunet.truth.graders.training import MaskBatches
from probunet.truth.labels.training import LabelBatches
from probunet.truth.modes.training import SceneBatches
from probunet.truth.places import place_images

META = torch.device("meta")
# operations that copy, and the position of the tensor that they copy
SOURCE = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}
SETTINGS = check(
    Settings,
    {
        "architecture": {"channels": [4, 4], "convolutions": 1, "initialisation": "he"},
        "training": {"batch": 2, "crop": 16, "graders_per_image": 1},
        "augmentation": {"mirror": 0.5, "gamma_probability": 0.5},
        "phiseg": {"channels": None, "latent_scales": 2},
        "hierarchical_probabilistic_unet": {
            "channels": None,
            "latent_scales": 2,
            "blocks": 1,
            "objective": "geco",
        },
        "ccdm": {"channels": None, "blocks": 1},
        "mose": {"channels": None, "experts": 3, "loss_samples": 2},
    },
    "test",
)


class Created(TorchFunctionMode):
    """Notes tensors that are created on the device from values: the host waits for them, too."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, arguments=(), words=None):
        result = function(*arguments, **(words or {}))
        if function in (torch.tensor, torch.as_tensor) and result.device == META:
            self.found.append("torch.tensor")
        return result


class Waiting(TorchDispatchMode):
    """Notes copies to the device for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.copies = 0
        self.created = Created(self.found)

    def __enter__(self):
        self.created.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.created.__exit__(*error)

    def __torch_dispatch__(self, operation, types, arguments=(), words=None):
        words = words or {}
        result = operation(*arguments, **words)
        if operation in SOURCE and result.device == META:
            source, *rest = arguments[SOURCE[operation] :]
            if source.device.type == "cpu":
                self.copies += 1
                if not (words.get("non_blocking") or any(rest)):
                    self.found.append(str(operation))
        return result


def images(place, masks, *shape):
    """Return images of a place, whose masks or labels have a shape."""
    arrays = np.zeros((5, *shape), np.uint8), np.zeros((5, *masks), np.uint8)
    return place_images(lambda rows: [a[rows] for a in arrays], np.arange(5), 2, META, place)


def by_graders(batches, there):
    graders, counts = torch.zeros(5, 8, dtype=torch.int64), torch.full((5,), 4)
    window = (0.0, 255.0)
    return batches(there, (24, 24), 1, graders.to(META), counts.to(META), SETTINGS, window, 16)


def masks(place):
    return by_graders(MaskBatches, images(place, (24, 24), 24, 24, 1))


def all_masks(place):
    return replace(masks(place), most=4)


def labels(place):
    return by_graders(LabelBatches, images(place, (8, 24, 24), 24, 24, 1))


def scenes(place):
    return SceneBatches(images(place, (16, 32), 16, 32, 3), 5, (16, 32), META, SETTINGS)


@pytest.mark.parametrize("place", ["device", "host", "disk"])
@pytest.mark.parametrize("batches", [masks, all_masks, labels, scenes])
def test_a_batch_is_drawn_without_waiting(batches, place):
    drawn = batches(place)
    with Waiting() as waiting:
        image, label = drawn.draw(0, 1)
    assert (image.device, label.device) == (META, META)
    assert waiting.found == []
    assert waiting.copies >= 5  # it does see them


# noise of the other one, as large as a feature map, is drawn on the device, which "meta" cannot
@pytest.mark.parametrize("name", [name for name in MODELS if name != "dropout_unet"])
def test_a_step_does_not_wait(name, monkeypatch):
    # torch has no generator of the device "meta", and no autocast
    for module in ("stochastic_segmentation_network", "geco", "ccdm"):
        monkeypatch.setattr(f"probunet.models.{module}.on_device", lambda *_: None)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    model = build(name, SETTINGS.architecture_of(name)).to(META)
    image = torch.zeros(2, 1, 16, 16, device=META)
    mask = torch.zeros(2, 16, 16, dtype=torch.int64, device=META)
    average = Average(model, 0.9)
    with Waiting() as waiting:
        loss = model.loss(image, mask, beta=1.0, generator=torch.Generator().manual_seed(0))
        loss.total.backward()
        average.update(2)
        torch.stack(loss).detach()
    assert waiting.found == []


def test_a_copy_that_waits_is_seen():
    with Waiting() as waiting:
        torch.zeros(3).to(META)
        torch.tensor([1.0, 2.0], device=META)
        torch.empty(3, device=META).copy_(torch.zeros(3))
        assert len(waiting.found) == 3
        sent(torch.zeros(3), META)
        assert len(waiting.found) == 3
    with pytest.raises(RuntimeError):
        torch.zeros((), device=META).item()


def test_on_mps_the_host_waits(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda tensor, device, non_blocking: asked.update({device.type: non_blocking}),
    )
    for device in ("cpu", "cuda", "mps"):
        sent(torch.zeros(()), torch.device(device))
    assert asked == {"cpu": True, "cuda": True, "mps": False}
