"""A small tree of scenes and its manifest."""

from pathlib import Path

import numpy as np
from PIL import Image

from probunet.files import sha256
from probunet.scene_manifest import SceneFile, SceneImage, SceneManifest

SIZE = (8, 16)


def write_tree(root: Path, cities: dict[str, int], left_out=()) -> Path:
    """Write so many scenes of each city, 32 x 64 pixels, and return their manifest."""
    random, scenes = np.random.default_rng(0), []
    for city, count in cities.items():
        for i in range(count):
            frame = f"{i:06}_000019"
            picture, label = root / f"{city}_{frame}_a.png", root / f"{city}_{frame}_b.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            colours = random.integers(0, 256, (32, 64, 3)).astype(np.uint8)
            ids = np.repeat(np.repeat(random.choice([*range(34), 255], SIZE), 4, 0), 4, 1)
            Image.fromarray(colours).save(picture)
            Image.fromarray(ids.astype(np.uint8)).save(label)
            images = {"picture": entry(picture), "label": entry(label)}
            scenes.append(SceneFile(city=city, frame=frame, **images))
    made = SceneManifest(
        dataset="cityscapes",
        source="test",
        synthetic=True,
        root=str(root),
        licence="none",
        scenes=tuple(reversed(scenes)),
        left_out=tuple(left_out),
    )
    path = root.with_name("manifest.json")
    made.write(path)
    return path


def entry(path: Path) -> SceneImage:
    return SceneImage(path=path.name, bytes=path.stat().st_size, sha256=sha256(path))
