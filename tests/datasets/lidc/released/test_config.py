"""The section of released crops in the configuration."""

import pytest

from probunet.config import check
from probunet.datasets import find
from probunet.datasets.lidc.config import LidcSource
from probunet.errors import ProbunetError


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"source": "knegt"}, "`source: knegt` needs `path`, the pickle or HDF5 file"),
        ({"source": "slices"}, "`source: slices` needs `path`, the folder or the zip"),
        ({"source": "slices", "path": "a", "split": "published"}, "choose patients"),
        ({"source": "hpunet", "split": "series"}, "choose published or patients"),
        ({"source": "idc", "split": "published"}, "`split: published` is not possible with"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section, message):
    with pytest.raises(ProbunetError, match=message):
        check(LidcSource, section, "test")


def test_only_crops_without_a_path_are_downloaded_in_one_job():
    assert LidcSource(source="hpunet").is_downloaded
    assert not LidcSource(source="hpunet", path="here").is_downloaded
    assert find("lidc").fetch_parts(LidcSource(source="hpunet"), 4) == 1
    assert find("lidc").fetch_parts(LidcSource(source="idc"), 4) == 4


@pytest.mark.parametrize(
    ("section", "split", "fixed"),
    [
        ({"source": "idc"}, "patients", False),
        ({"source": "hpunet"}, "published", True),
        ({"source": "hpunet", "split": "patients"}, "patients", False),
        ({"source": "hpunet", "folds_file": "mine.json"}, "file", False),
        ({"source": "knegt", "path": "a"}, "series", True),
        ({"source": "slices", "path": "a"}, "patients", False),
    ],
)
def test_each_source_has_a_split(section, split, fixed):
    source = LidcSource(**section)
    assert source.has_fixed_split == fixed
    assert find("lidc").split_of(source.model_dump(mode="json")) == split


def test_a_split_repeats_neither_fetch_nor_prepare_and_stores_of_slices_are_as_before():
    released = LidcSource(source="hpunet", split="patients")
    assert "split" not in released.for_step("prepare")
    assert released.for_step("folds")["split"] == "patients"
    assert "protocol" not in released.for_step("prepare")
    slices = LidcSource(source="idc").for_step("prepare")
    assert slices == {
        "source": "idc",
        "slices": "outlined",
        "bucket": "idc-open-data",
        "protocol": "kohl2018",
        "on_error": "stop",
    }


def test_a_changed_file_repeats_fetch(tmp_path):
    (tmp_path / "a.zip").touch()
    source = LidcSource(source="slices", path=str(tmp_path / "a.zip"))
    assert find("lidc").inputs(source) == [tmp_path / "a.zip"]
    assert find("lidc").inputs(LidcSource(source="slices", path=str(tmp_path))) == []
