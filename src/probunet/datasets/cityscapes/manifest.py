"""The raw manifest of Cityscapes, which `fetch` writes for `prepare`: an entry per scene."""

from enum import StrEnum

from probunet.datasets.raw_file import RawFile
from probunet.limits import Many
from probunet.manifest import Entry, RawManifest, Unusable


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
    TRAIN_IDS = "train ids instead of label ids"
    UNLABELLED = "city of the publisher's test set, whose labels are withheld"
    CHANGED = "file changed since it was fetched"


class SceneFile(Entry):
    """A picture and its label ids."""

    city: str
    frame: str  # the publisher's sequence and frame, "000021_000019"
    picture: RawFile
    label: RawFile
    size: tuple[int, int] | None = None  # height and width, pixels; None in older manifests

    @property
    def subject(self) -> str:
        """The city."""
        return self.city

    @property
    def paths(self) -> tuple[str, str]:
        """The files of the scene."""
        return self.picture.path, self.label.path


class SceneLeftOut(Unusable):
    """A scene that cannot be used."""

    city: str
    frame: str
    reason: SceneReason

    @property
    def subject(self) -> str:
        """The city."""
        return self.city

    @property
    def place(self) -> str:
        """The file, or the frame if there is no file."""
        return self.path or self.frame


class SceneManifest(RawManifest):
    """All scenes of Cityscapes."""

    scenes: Many[SceneFile]
    left_out: Many[SceneLeftOut] = ()
