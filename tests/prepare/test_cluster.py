"""Dask workers that are killed, or lack memory."""

import os

import pytest

from probunet.errors import OutOfMemoryError
from probunet.prepare.cluster import local_client, run_tasks


@pytest.mark.parametrize(("function", "item"), [(os._exit, 1), (bytearray, 2**62)])
def test_lack_of_memory_is_one_sentence(function: object, item: int) -> None:
    with (
        local_client(1) as client,
        pytest.raises(OutOfMemoryError, match=r"prepare: a worker process .*lower --workers"),
    ):
        list(run_tasks(client, function, [item], "prepare"))  # type: ignore[arg-type]
