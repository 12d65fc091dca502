"""The number of patients that a store was made with, and the one that is configured."""

import pytest

from probunet.datasets.lidc.config import LidcSource
from probunet.errors import ProbunetError
from probunet.prepare.folds import check_origin
from support.crops import crops_of

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
