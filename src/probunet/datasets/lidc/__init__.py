"""LIDC-IDRI: lesions on CT slices, outlined by four readers (Kohl et al. 2018, section 3.1)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from probunet.config import Fetch
from probunet.datasets.base import DataSet, Part, refuse_parts
from probunet.datasets.lidc.config import RELEASED, LidcSource
from probunet.datasets.lidc.published import PUBLISHED

if TYPE_CHECKING:
    from probunet.datasets.lidc.plan import CropPlan
    from probunet.datasets.lidc.released.plan import ReleasedPlan
    from probunet.datasets.lidc.store import LidcCrops


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
        """Download, render or check slices or released crops, and write their manifest."""
        if source.source == "idc":
            from probunet.datasets.lidc.idc import fetch_idc

            fetch_idc(folder, manifest, source, how, part)
            return
        refuse_parts(f"{self.name}, source: {source.source}", part)
        if source.source == "local":
            from probunet.datasets.lidc.local import fetch_local

            fetch_local(Path(str(source.path)), manifest, source.patients)
        elif source.source == "hpunet":
            from probunet.datasets.lidc.released.hpunet import fetch_hpunet

            fetch_hpunet(
                Path(source.path) if source.path else None,
                folder,
                manifest,
                how,
                source.patients,
                endpoint_url=source.endpoint_url,
            )
        elif source.source == "knegt":
            from probunet.datasets.lidc.released.knegt import fetch_knegt

            fetch_knegt(Path(str(source.path)), folder, manifest, source.patients)
        elif source.source == "slices":
            from probunet.datasets.lidc.released.slices import fetch_slices

            fetch_slices(Path(str(source.path)), folder, manifest, source.patients)
        else:
            from probunet.datasets.lidc.phantom import fetch_phantom

            fetch_phantom(folder, manifest, source.patients or 24)

    def join(self, parts: list[Path], manifest: Path) -> None:
        """Write one manifest of the parts that several jobs have fetched."""
        from probunet.datasets.lidc.join import join_manifests

        join_manifests(parts, manifest)

    def fetch_parts(self, source: LidcSource, jobs: int) -> int:
        """Return in how many parts the slices are fetched by so many jobs."""
        return jobs if source.source == "idc" else 1

    def describe_fetch(self, source: LidcSource, folder: Path, jobs: int) -> str:
        """Return what a download would transfer, without asking the network."""
        if not source.is_downloaded:
            return f"{self.title}, source: {source.source}: nothing is downloaded"
        if source.source == "hpunet":
            return f"{self.title}, source: hpunet: three archives, 0.2 GB in all"
        from probunet.datasets.lidc.idc_plan import describe_plan

        return describe_plan(folder, source, jobs)

    def inputs(self, source: LidcSource) -> list[Path]:
        """Return a file of released crops: its change repeats `fetch`."""
        path = Path(source.path) if source.source in RELEASED and source.path else None
        return [path] if path is not None and path.is_file() else []

    def split_of(self, source: dict[str, Any]) -> str | None:
        """Return how crops are divided: `published`, `series`, `patients` or `file`."""
        if source.get("folds_file"):
            return "file"
        choices = RELEASED.get(str(source.get("source")), ("patients",))
        return str(source.get("split") or choices[0])

    def verify(self, tree: Path, details: bool = False) -> str:
        """Return what a LIDC-IDRI tree lacks; raise ProbunetError if it lacks outlined slices."""
        from probunet.datasets.lidc.verify import check_tree

        return check_tree(tree, details)

    def describe_expected(self) -> str:
        """Return how many crops LIDC-IDRI makes, counted from the annotations alone."""
        from probunet.datasets.lidc.index import count_crops, describe_counts

        return describe_counts(count_crops())

    def plan(
        self, manifest: Path, source: LidcSource, multiple_of: int
    ) -> "CropPlan | ReleasedPlan":
        """Return the crops to make of a manifest."""
        if source.source in RELEASED:
            from probunet.datasets.lidc.released.plan import plan_released

            return plan_released(manifest)
        from probunet.datasets.lidc.plan import plan_crops

        return plan_crops(manifest)

    def open(self, path: Path) -> "LidcCrops":
        """Return the store of crops at `path`."""
        from probunet.datasets.lidc.store import open_crops
        from probunet.store import protocol_of

        if protocol_of(path) in RELEASED:
            from probunet.datasets.lidc.released.store import open_released

            return open_released(path)
        return open_crops(path)
