"""A folder of your own images, with the masks of those who graded them."""

from pathlib import Path
from typing import TYPE_CHECKING

from probunet.config import Fetch
from probunet.datasets.base import DataSet, Part, refuse_parts
from probunet.datasets.folder.config import FolderSource

if TYPE_CHECKING:
    from probunet.datasets.folder.plan import ImagePlan
    from probunet.datasets.folder.store import Images, LabelledImages


class Folder(DataSet):
    """A folder of your own images, under any name."""

    kind = "images"
    other_kinds = ("labelled",)
    template = "folder/report.html.j2"

    def fetch(
        self,
        source: FolderSource,
        folder: Path,
        manifest: Path,
        how: Fetch,
        part: Part | None = None,
    ) -> None:
        """Check images and masks in place, and write their manifest."""
        from probunet.datasets.folder.classes import class_table
        from probunet.datasets.folder.listing import fetch_folder

        refuse_parts(self.name, part)
        fetch_folder(
            Path(source.path),
            manifest,
            self.name,
            source.table,
            licence=source.licence,
            threshold=source.threshold,
            classes=class_table(source),
        )

    def describe_fetch(self, source: FolderSource, folder: Path, jobs: int) -> str:
        """Return that nothing is downloaded."""
        return f"{self.title}, source: folder: nothing is downloaded"

    def inputs(self, source: FolderSource) -> list[Path]:
        """Return the table of images: its change repeats `fetch`."""
        return [Path(source.path) / source.table]

    def plan(self, manifest: Path, source: FolderSource, multiple_of: int) -> "ImagePlan":
        """Return the images to make of a manifest."""
        from probunet.datasets.folder.plan import plan_images

        return plan_images(manifest, source.size, source.window, multiple_of, source.absent_classes)

    def open(self, path: Path) -> "Images | LabelledImages":
        """Return the store of images at `path`."""
        from probunet.datasets.folder.store import open_images, open_labelled
        from probunet.store import kind_of

        return open_labelled(path) if kind_of(path)[0] in self.other_kinds else open_images(path)
