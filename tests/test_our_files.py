"""Files of ours that are damaged, falsified or replaced: each reader answers with one sentence.

`tests/support/our_files.py` lists the files; more rounds of the same run by hand.
"""

import pytest

from support.our_files import NAMES, check_file, write_our_files

ROUNDS = 30


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_our_files(tmp_path_factory.mktemp("ours"))


def test_every_file_is_named(files):
    assert {*files} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_or_falsified_file_is_read_or_refused_in_one_sentence(files, name):
    check_file(files[name], seed=1, count=ROUNDS)
