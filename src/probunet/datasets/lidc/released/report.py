"""Released crops in the report."""

from dataclasses import dataclass

from probunet.datasets.lidc.released.store import ReleasedCrops
from probunet.datasets.lidc.report import ShownCrops
from probunet.pictures.view import Preset, Scale


@dataclass(frozen=True)
class ShownReleased(ShownCrops):
    """How released crops are shown: their values have no unit, and their names are the set's."""

    crops: ReleasedCrops

    @property
    def scale(self) -> Scale:
        """All values that the set has."""
        low, high = self.crops.attributes.window
        return Scale(low, high, "", [Preset("as released", (low + high) / 2, high - low)])

    @property
    def window(self) -> tuple[float, float]:
        """The values that are black and white behind the latent grid."""
        return self.crops.attributes.window

    def name_of(self, row: int) -> str:
        """Return the crop's name in its set, without what is the same for a patient's crops."""
        name = str(self.crops.columns.name[row])
        *_, own = name.rpartition(f"{self.crops.columns.patient[row]}/")
        return own.removesuffix(".png").replace("images/", "")
