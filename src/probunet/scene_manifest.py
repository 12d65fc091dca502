"""The raw manifest of Cityscapes: what `fetch` leaves for `prepare`, an entry per scene."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from probunet.errors import ProbunetError
from probunet.files import written_whole


class SceneReason(StrEnum):
    """Why a scene was left out."""

    NO_LABEL = "picture without a label"
    NO_PICTURE = "label without a picture"
    EMPTY = "empty file"
    NOT_PNG = "not a PNG file"
    TRUNCATED = "truncated or damaged PNG"
    PICTURE_FORM = "picture is not 8-bit RGB"
    LABEL_FORM = "label is not 8-bit with one channel"
    SIZES_DIFFER = "picture and label differ in size"
    UNKNOWN_LABEL = "label ids out of range"
    UNLABELLED = "city of the publisher's test set, whose labels are withheld"
    CHANGED = "file changed since it was fetched"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SceneImage(_Entry):
    """One PNG file; `path` is relative to the manifest's root."""

    path: str
    bytes: int
    sha256: str


class SceneFile(_Entry):
    """A picture and its label ids."""

    city: str
    frame: str  # the publisher's sequence and frame, "000021_000019"
    picture: SceneImage
    label: SceneImage


class SceneLeftOut(_Entry):
    """A scene that cannot be used."""

    city: str
    frame: str
    reason: SceneReason
    path: str | None = None
    detail: str = ""


class SceneManifest(_Entry):
    """All of it. `root` is absolute or relative to the manifest's own folder."""

    dataset: str
    source: str
    synthetic: bool
    root: str
    licence: str
    scenes: tuple[SceneFile, ...]
    left_out: tuple[SceneLeftOut, ...] = ()

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "SceneManifest":
        """Return the manifest in a file, its root resolved."""
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ProbunetError(f"{path}: no such manifest; run `probunet fetch` first.") from None
        except ValidationError as error:
            raise ProbunetError(
                f"{path}: not a manifest of this version ({error.error_count()} faults); "
                "remove it and run `probunet fetch` again."
            ) from None
        root = (path.parent / manifest.root).resolve()
        return manifest.model_copy(update={"root": str(root)})


def count_scene_reasons(left_out: Iterable[SceneLeftOut]) -> dict[str, int]:
    """Return how many scenes were left out, by reason."""
    return dict(sorted(Counter(str(item.reason) for item in left_out).items()))
