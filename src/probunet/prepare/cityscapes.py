"""Pictures and labels of Cityscapes -> the store of scenes, protocol kohl2018-cityscapes.

Kohl et al. 2018, section 3.2 and appendix H.2: scenes of a quarter of the publisher's resolution.
The flips that make them ambiguous are drawn when a label is used, and are not stored.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from probunet.cityscapes import FLIPS, LABELS_SOURCE
from probunet.files import sha256
from probunet.manifest import count_reasons
from probunet.prepare.plan import Plan, Read
from probunet.prepare.scene import RESAMPLING, read_scenes
from probunet.scene_manifest import SceneFile, SceneManifest, SceneReason
from probunet.store import (
    SceneAttributes,
    SceneColumns,
    create_scene_images,
    create_scenes,
    versions,
)
from probunet.store.scenes import PROTOCOL


@dataclass(frozen=True)
class ScenePlan(Plan[SceneFile]):
    """The scenes to make of a manifest of Cityscapes."""

    source: SceneManifest
    size: tuple[int, int]  # height and width, pixels

    noun = "scene"
    subjects = "cities"
    excused = (SceneReason.UNLABELLED,)

    @property
    def read(self) -> Read[SceneFile]:
        """Makes scenes; can be sent to a worker."""
        return partial(read_scenes, Path(self.source.root), self.size)

    def attributes(self) -> SceneAttributes:
        """Return what the store says of itself."""
        return SceneAttributes(
            dataset=self.source.dataset,
            source=self.source.source,
            synthetic=self.source.synthetic,
            protocol=PROTOCOL,
            size=self.size,
            resampling=RESAMPLING,
            labels=LABELS_SOURCE,
            flips={name: str(probability) for name, probability in FLIPS.items()},
            left_out=count_reasons(self.left_out),
            manifest_sha256=sha256(self.manifest),
            licence=self.source.licence,
            versions=versions("pillow"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the arrays of so many scenes, still empty."""
        create_scene_images(group, count, self.size)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all scenes, its images still empty."""
        columns = SceneColumns(
            city=np.array([scene.city for scene in self.items]),
            frame=np.array([scene.frame for scene in self.items]),
        )
        create_scenes(store, columns, self.attributes())


def plan_scenes(manifest: Path, size: tuple[int, int] = (256, 512)) -> ScenePlan:
    """Return the scenes to make of a manifest, at a height and width."""
    source = SceneManifest.read(manifest)
    scenes = sorted(source.scenes, key=lambda scene: (scene.city, scene.frame))
    return ScenePlan(manifest, scenes, list(source.left_out), source, size)
