"""What a store of samples says of itself."""

from typing import Any

from probunet.run import Run
from probunet.store import SampleAttributes


def sample_attributes(run: Run, **changed: Any) -> SampleAttributes:
    """Return the attributes of a run's samples; `size`, `samples` and `store` must be given."""
    usual = {
        "run": run.folder,
        "classes": 2,
        "population": 0,
        "weights_sha256": ("0",),
        "weights_step": (1,),
        "versions": {},
    }
    return SampleAttributes(**usual | changed)
