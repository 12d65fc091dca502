"""LIDC-IDRI: lesions on CT slices, outlined by four readers (Kohl et al. 2018, section 3.1)."""

from pathlib import Path
from typing import TYPE_CHECKING

from probunet.config import Fetch
from probunet.datasets.base import DataSet, Part, refuse_parts
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.published import PUBLISHED

if TYPE_CHECKING:
    from probunet.datasets.lidc.plan import CropPlan
    from probunet.datasets.lidc.store import Crops


class Lidc(DataSet):
    """LIDC-IDRI."""

    kind = "crops"
    template = "lidc/report.html.j2"
    published = PUBLISHED
    title = "LIDC-IDRI"

    def fetch(
        self,
        source: LidcSource,
        folder: Path,
        manifest: Path,
        how: Fetch,
        part: Part | None = None,
    ) -> None:
        """Download, render or check the slices that carry outlines, and write their manifest."""
        if source.source == "idc":
            from probunet.datasets.lidc.idc import fetch_idc

            fetch_idc(folder, manifest, source, how, part)
            return
        refuse_parts(f"{self.name}, source: {source.source}", part)
        if source.source == "local":
            from probunet.datasets.lidc.local import fetch_local

            fetch_local(Path(str(source.path)), manifest, source.patients)
        else:
            from probunet.datasets.lidc.phantom import fetch_phantom

            fetch_phantom(folder, manifest, source.patients or 24)

    def join(self, parts: list[Path], manifest: Path) -> None:
        """Write one manifest of the parts that several jobs have fetched."""
        from probunet.datasets.lidc.join import join_manifests

        join_manifests(parts, manifest)

    def fetch_parts(self, source: LidcSource, jobs: int) -> int:
        """Return in how many parts the slices are fetched by so many jobs."""
        return jobs if source.is_downloaded else 1

    def describe_fetch(self, source: LidcSource, folder: Path, jobs: int) -> str:
        """Return what a download would transfer, without asking the network."""
        if not source.is_downloaded:
            return f"{self.title}, source: {source.source}: nothing is downloaded"
        from probunet.datasets.lidc.idc_plan import describe_plan

        return describe_plan(folder, source, jobs)

    def verify(self, tree: Path, details: bool = False) -> str:
        """Return what a LIDC-IDRI tree lacks; raise ProbunetError if it lacks outlined slices."""
        from probunet.datasets.lidc.verify import check_tree

        return check_tree(tree, details)

    def describe_expected(self) -> str:
        """Return how many crops LIDC-IDRI makes, counted from the annotations alone."""
        from probunet.datasets.lidc.index import count_crops, describe_counts

        return describe_counts(count_crops())

    def plan(self, manifest: Path, source: LidcSource, multiple_of: int) -> "CropPlan":
        """Return the crops to make of a manifest."""
        from probunet.datasets.lidc.plan import plan_crops

        return plan_crops(manifest)

    def open(self, path: Path) -> "Crops":
        """Return the store of crops at `path`."""
        from probunet.datasets.lidc.store import open_crops

        return open_crops(path)
