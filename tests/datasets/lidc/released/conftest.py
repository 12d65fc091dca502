"""Released sets of crops, made up in the layouts of their publishers."""

from pathlib import Path

import pytest

CROPS = Path(__file__).parents[5] / "shared/lidc-crops/LIDC-IDRI-slices-200.zip"


@pytest.fixture(scope="session")
def real_crops():
    """The zip of 3,206 real crops of 200 patients."""
    if not CROPS.exists():
        pytest.skip("the real crops are not here: ../shared/lidc-crops")
    return CROPS.resolve()
