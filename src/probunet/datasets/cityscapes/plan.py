"""Plan the store of scenes from pictures and labels, protocol kohl2018-cityscapes.

Kohl et al. 2018, section 3.2 and appendix H.2: scenes at a quarter of the publisher's resolution.
The flips that make them ambiguous are not stored, but drawn when a label is used.
"""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from probunet.datasets.cityscapes.config import Fit
from probunet.datasets.cityscapes.labels import LABELS_SOURCE
from probunet.datasets.cityscapes.manifest import (
    SceneFile,
    SceneLeftOut,
    SceneManifest,
    SceneReason,
)
from probunet.datasets.cityscapes.scene import RESAMPLING, read_scenes
from probunet.datasets.cityscapes.store import (
    PROTOCOL,
    SceneAttributes,
    SceneColumns,
    create_scene_images,
    create_scenes,
)
from probunet.flips import FLIPS
from probunet.prepare.plan import Plan, Read

_DONE = {"stretch": "stretched", "pad": "padded", "crop": "cropped"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScenePlan(Plan[SceneFile]):
    """The scenes to make from a manifest of Cityscapes."""

    source: SceneManifest
    size: tuple[int, int]  # height and width, pixels
    fit: Fit = "stretch"

    noun = "scene"
    unusable = SceneLeftOut
    subjects = "cities"
    excused = (SceneReason.UNLABELLED,)

    @property
    def read(self) -> Read[SceneFile]:
        """Function that makes scenes; picklable."""
        return partial(read_scenes, Path(self.source.root), self.size, self.fit)

    @property
    def other_ratio(self) -> int | None:
        """How many scenes have another aspect ratio than `size`; None if a size is not known."""
        sizes = [scene.size for scene in self.items]
        height, width = self.size
        if None in sizes:
            return None
        return sum(size is not None and size[0] * width != size[1] * height for size in sizes)

    def attributes(self) -> SceneAttributes:
        """Return the attributes of the store."""
        return SceneAttributes(
            protocol=PROTOCOL,
            size=self.size,
            resampling=RESAMPLING,
            fit=self.fit,
            other_ratio=self.other_ratio,
            labels=LABELS_SOURCE,
            flips={name: str(probability) for name, probability in FLIPS.items()},
            **self.origin("pillow"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the empty arrays of `count` scenes."""
        create_scene_images(group, count, self.size)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all scenes, with empty images."""
        columns = SceneColumns(
            city=np.array([scene.city for scene in self.items]),
            frame=np.array([scene.frame for scene in self.items]),
        )
        create_scenes(store, columns, self.attributes())


def plan_scenes(
    manifest: Path, size: tuple[int, int] = (256, 512), fit: Fit = "stretch"
) -> ScenePlan:
    """Return the scenes to make from a manifest; `size` is height and width."""
    source = SceneManifest.read(manifest)
    scenes = sorted(source.scenes, key=lambda scene: (scene.city, scene.frame))
    plan = ScenePlan(manifest, scenes, list(source.left_out), source, size, fit)
    if plan.other_ratio:
        _log.warning(
            "%s: %d of %d scenes have another aspect ratio than %d x %d and are %s "
            "(datasets.cityscapes.fit: stretch, pad or crop)",
            manifest,
            plan.other_ratio,
            len(scenes),
            *size,
            _DONE[fit],
        )
    return plan
