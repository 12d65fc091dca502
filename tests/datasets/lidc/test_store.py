"""What a store says of itself: its patients, and the version of its protocol."""

import numpy as np
import pytest
import zarr

from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.errors import ProbunetError
from probunet.prepare.folds import check_origin
from probunet.store import seal
from support.crops import crops_of, write_crops

LOCAL = {"source": "local", "path": "here"}


@pytest.mark.parametrize("patients", [None, 3, 4, 5, 875])
def test_a_tree_with_fewer_patients_than_configured_is_used(patients):
    three = crops_of(["a", "a", "b", "c"], source="local", absent_patients=872)
    check_origin(three, LidcSource(**LOCAL, patients=patients))


@pytest.mark.parametrize("patients", [3, 5, 875])
def test_patients_without_a_usable_slice_count(patients):
    two = crops_of(["a", "b"], source="local", absent_patients=872, left_out_patients=("c",))
    check_origin(two, LidcSource(**LOCAL, patients=patients))


@pytest.mark.parametrize("patients", [1, 3, 5])
def test_a_store_of_other_patients_than_configured_is_refused(patients):
    two_of_four = crops_of(["a", "b"], source="local", absent_patients=871)
    with pytest.raises(ProbunetError, match=rf"patients: {patients}, but .* was made with 2;"):
        check_origin(two_of_four, LidcSource(**LOCAL, patients=patients))


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_version_of_the_protocol_is_opened_and_says_so(
    version, tmp_path, caplog
):
    path, images = tmp_path / "lidc.zarr", np.zeros((1, SIZE, SIZE))
    write_crops(path, images.astype(np.int16), images.astype(np.uint8), ["a"], sealed=False)
    if version == 1:
        del zarr.open_group(path, mode="r+").attrs["protocol_version"]
    seal(path)
    assert open_crops(path).attributes.protocol_version == version
    assert ("its masks are too small" in caplog.text) == (version == 1)
