"""Cityscapes: street scenes whose classes have two names (Kohl et al. 2018, section 3.2)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from probunet.config import Fetch
from probunet.datasets.base import DataSet, Part, refuse_parts
from probunet.datasets.cityscapes.config import CityscapesSource
from probunet.datasets.cityscapes.published import PUBLISHED

if TYPE_CHECKING:
    from probunet.datasets.cityscapes.plan import ScenePlan
    from probunet.datasets.cityscapes.store import Scenes


class Cityscapes(DataSet):
    """Cityscapes."""

    kind = "scenes"
    template = "cityscapes/report.html.j2"
    published = PUBLISHED
    title = "Cityscapes"
    predictors: ClassVar = {
        "empty": "None of the ten classes",
        "graders": "The 32 modes themselves",
    }
    own_figures: ClassVar = ("modes", "switches")
    credentials: ClassVar = ("CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD")

    def fetch(
        self,
        source: CityscapesSource,
        folder: Path,
        manifest: Path,
        how: Fetch,
        part: Part | None = None,
    ) -> None:
        """Download, draw or check pictures and labels, and write their manifest."""
        refuse_parts(self.name, part)
        if source.source == "local":
            from probunet.datasets.cityscapes.tree import fetch_scenes

            fetch_scenes(Path(str(source.path)), manifest)
        elif source.source == "phantom":
            from probunet.datasets.cityscapes.phantom import fetch_street_phantom

            fetch_street_phantom(folder, manifest, source.images, source.phantom_size)
        else:
            from probunet.datasets.cityscapes.download import fetch_official

            fetch_official(folder, manifest, how, source.endpoint_url)

    def check_access(self, source: CityscapesSource, how: Fetch) -> None:
        """Log in to the publisher's site; raise ProbunetError if it refuses."""
        from probunet.datasets.cityscapes.download import check_login

        check_login(source.endpoint_url, how)

    def plan(self, manifest: Path, source: CityscapesSource, multiple_of: int) -> "ScenePlan":
        """Return the scenes to make of a manifest."""
        from probunet.datasets.cityscapes.plan import plan_scenes

        return plan_scenes(manifest, source.size, source.fit)

    def open(self, path: Path) -> "Scenes":
        """Return the store of scenes at `path`."""
        from probunet.datasets.cityscapes.store import open_scenes

        return open_scenes(path)

    def split_of(self, source: dict[str, Any]) -> str | None:
        """Return how the cities are divided: `official`, `cities` or `file`."""
        return "file" if source.get("folds_file") and "split" in source else source.get("split")
