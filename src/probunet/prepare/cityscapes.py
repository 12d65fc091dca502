"""Pictures and labels of Cityscapes -> the store of scenes, protocol kohl2018-cityscapes.

Kohl et al. 2018, section 3.2 and appendix H.2: scenes of a quarter of the publisher's resolution.
The flips that make them ambiguous are drawn when a label is used, and are not stored.
"""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from probunet.cityscapes import FLIPS, LABELS_SOURCE
from probunet.errors import ProbunetError
from probunet.files import locked, remove, sha256, written_whole
from probunet.manifest import count_reasons
from probunet.prepare.cluster import local_client, run_tasks
from probunet.prepare.left_out import told
from probunet.prepare.scene import RESAMPLING, BadSceneError, read_scene
from probunet.scene_manifest import (
    SceneFile,
    SceneLeftOut,
    SceneManifest,
    SceneReason,
)
from probunet.store import (
    SHARD,
    SceneAttributes,
    SceneColumns,
    create_scenes,
    seal,
    versions,
    write_shard,
)
from probunet.store.scenes import PROTOCOL

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


def prepare_cityscapes(
    manifest: Path,
    output: Path,
    size: tuple[int, int] = (256, 512),
    workers: int = 1,
    on_error: str = "stop",
) -> None:
    """Make the store of scenes from what a manifest lists.

    A scene that cannot be used is left out and counted by reason in the store's attributes. The
    store's bytes do not depend on the number of workers.

    Parameters
    ----------
    manifest
        What `fetch` wrote.
    output
        The store to write, a folder.
    size
        Height and width of the stored scenes, pixels.
    workers
        Processes that read scenes and write shards.
    on_error
        What to do about a city with not one usable scene: `stop`, or `skip` the city. The cities
        whose labels the publisher withholds are always left out.

    Raises
    ------
    ProbunetError
        If there is no scene to store, a city has no usable scene, or the disk is full.
    """
    SceneManifest.read(manifest)  # if it is no good, say so before workers start
    with locked(output), written_whole(output) as aside, local_client(workers) as client:
        fill_store(client, manifest, aside, size, on_error)


def fill_store(
    client: "Client", manifest: Path, store: Path, size: tuple[int, int], on_error: str = "stop"
) -> None:
    """Make and seal the store with the workers of `client`; as `prepare_cityscapes` otherwise."""
    source = SceneManifest.read(manifest)
    scenes = sorted(source.scenes, key=lambda scene: (scene.city, scene.frame))
    left_out = list(source.left_out)
    while True:
        lost = _lost_cities(scenes, left_out)
        if lost and on_error == "stop":
            raise ProbunetError(_advice_on_lost(lost, left_out))
        if not scenes:
            raise ProbunetError(f"{manifest}: not one scene can be used{told(left_out, 'scene')}.")
        create_scenes(store, _columns(scenes), _attributes(manifest, source, size, left_out))
        bad = _write_shards(client, store, Path(source.root), scenes, size)
        if not bad:
            break
        # the scenes that remain move up, and shards are written whole: once more without the bad
        logger.warning("scenes left out%s", told(bad, "scene"))
        left_out += bad
        gone = {(item.city, item.frame) for item in bad}
        scenes = [scene for scene in scenes if (scene.city, scene.frame) not in gone]
        remove(store)
    if lost:
        logger.warning("cities without one usable scene: %s", ", ".join(lost))
    seal(store)


def make_shard(
    store: Path, root: Path, size: tuple[int, int], shard: tuple[int, list[SceneFile]]
) -> list[SceneLeftOut]:
    """Write one whole shard, given by its number and scenes; return those that cannot be used.

    If there is any such scene nothing is written, and the others are still looked at: the scenes
    have to be planned again without all of them.
    """
    number, scenes = shard
    image = np.zeros((len(scenes), *size, 3), dtype=np.uint8)
    label = np.zeros((len(scenes), *size), dtype=np.uint8)
    bad: list[SceneLeftOut] = []
    for row, scene in enumerate(scenes):
        try:
            image[row], label[row] = read_scene(root, scene, size)
        except BadSceneError as error:
            bad.append(_left_out(scene, error))
    if not bad:
        write_shard(store, number, image=image, label=label)
    return bad


def _write_shards(
    client: "Client", store: Path, root: Path, scenes: list[SceneFile], size: tuple[int, int]
) -> list[SceneLeftOut]:
    """Write all shards; return the scenes that turned out to be unusable."""
    shards = [(i // SHARD, scenes[i : i + SHARD]) for i in range(0, len(scenes), SHARD)]
    found = run_tasks(client, partial(make_shard, store, root, size), shards, "prepare")
    bad = [item for of_shard in found for item in of_shard]
    return sorted(bad, key=lambda item: (item.city, item.frame))


def _left_out(scene: SceneFile, error: BadSceneError) -> SceneLeftOut:
    return SceneLeftOut(
        city=scene.city,
        frame=scene.frame,
        reason=error.reason,
        path=error.path,
        detail=error.detail,
    )


def _lost_cities(scenes: list[SceneFile], left_out: list[SceneLeftOut]) -> list[str]:
    """Return the cities that have labels, and of which no scene can be used."""
    labelled = {item.city for item in left_out if item.reason != SceneReason.UNLABELLED}
    return sorted(labelled - {scene.city for scene in scenes})


def _advice_on_lost(lost: list[str], left_out: list[SceneLeftOut]) -> str:
    lines = [f"not one scene can be used of {len(lost)} {'cities' if len(lost) > 1 else 'city'}:"]
    for city in lost[:_SHOWN]:
        scenes = [item for item in left_out if item.city == city]
        lines += [f"  {city}: {item.path or item.frame}: {item.why}" for item in scenes[:1]]
        if len(scenes) > 1:
            lines.append(f"  {city}: and {len(scenes) - 1} more")
    if len(lost) > _SHOWN:
        lines.append(f"  and {len(lost) - _SHOWN} more cities")
    lines.append(
        "Replace these files and run `probunet fetch` again, or leave such cities out with "
        "`on_error: skip` (datasets.cityscapes in config.yaml)."
    )
    return "\n".join(lines)


_SHOWN = 5  # cities in an error


def _columns(scenes: list[SceneFile]) -> SceneColumns:
    return SceneColumns(
        city=np.array([scene.city for scene in scenes]),
        frame=np.array([scene.frame for scene in scenes]),
    )


def _attributes(
    manifest: Path, source: SceneManifest, size: tuple[int, int], left_out: list[SceneLeftOut]
) -> SceneAttributes:
    return SceneAttributes(
        dataset=source.dataset,
        source=source.source,
        synthetic=source.synthetic,
        protocol=PROTOCOL,
        size=size,
        resampling=RESAMPLING,
        labels=LABELS_SOURCE,
        flips={name: str(probability) for name, probability in FLIPS.items()},
        left_out=count_reasons(left_out),
        manifest_sha256=sha256(manifest),
        licence=source.licence,
        versions=versions("pillow"),
    )
