"""The raw manifest of images of one's own: what `fetch` leaves for `prepare`, an entry per file."""

from enum import StrEnum

from probunet.manifest import Entry, RawManifest, Unusable


class ImageReason(StrEnum):
    """Why an image was left out."""

    NO_MASK = "no mask is named"
    MISSING = "no such file"
    UNREADABLE = "not a readable PNG, TIFF or NIfTI file"
    FORM = "form of pixels that is not read"
    SHAPES_DIFFER = "mask and image differ in shape"
    ORIENTATION = "mask and image differ in orientation"
    NOT_FINITE = "NaN or infinite values"
    UNMARKED = "volume in which no grader marked a slice"
    CHANGED = "file changed since it was fetched"


class ImageFile(Entry):
    """One file; `path` is relative to the manifest's root."""

    path: str
    bytes: int
    sha256: str


class FolderImage(Entry):
    """A picture or a volume, and the masks that graders made of it."""

    subject: str
    image: ImageFile
    masks: tuple[ImageFile | None, ...]  # by grader; None: has not looked at it
    size: tuple[int, int]  # height and width, pixels
    channels: int
    dtype: str
    slices: tuple[int, ...] | None = None  # of a volume, those to use; None: a picture

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it is made of."""
        return self.image.path, *(mask.path for mask in self.masks if mask is not None)


class ImageLeftOut(Unusable):
    """An image that cannot be used, or a slice of one."""

    owner: str
    image: str  # as the table names it
    slice: int | None = None  # of a volume; None: all of it
    reason: ImageReason

    @property
    def subject(self) -> str:
        """Whose it is."""
        return self.owner

    @property
    def place(self) -> str:
        """The file, and the slice if it is about one."""
        where = self.path or self.image
        return where if self.slice is None else f"{where}, slice {self.slice}"


class ImageManifest(RawManifest):
    """All images of a folder."""

    table: ImageFile
    graders: tuple[str, ...]  # the table's columns of masks
    images: tuple[FolderImage, ...]
    left_out: tuple[ImageLeftOut, ...] = ()
    unmarked: int = 0  # slices of volumes that no grader marked
    window: tuple[float, float]  # what becomes 0 and 1, unless told otherwise
    window_from: str  # how it was found, in words
