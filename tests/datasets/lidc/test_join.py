from pathlib import Path

import pytest

from probunet.datasets.lidc.join import join_manifests
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason, Series, SliceFile
from probunet.errors import ProbunetError


def series(patient: int, uid: str) -> Series:
    slices = tuple(
        SliceFile(path=f"{uid}/{z}.dcm", z=z, bytes=9, sha256="0" * 64) for z in (1.0, 2.0)
    )
    return Series(patient=f"LIDC-{patient}", series=uid, outlines_of=uid, slices=slices)


def left_out(patient: int, uid: str, z: float) -> LeftOut:
    return LeftOut(patient=f"LIDC-{patient}", series=uid, z=z, reason=Reason.MISSING)


ALL = [series(1, "1.2"), series(1, "1.3"), series(2, "1.1"), series(3, "1.4")]
LEFT_OUT = [left_out(1, "1.2", 3.0), left_out(1, "1.2", 4.0), left_out(3, "1.4", 1.0)]


def write(path: Path, below: str, holds: list[Series], absent: int, **keys: object) -> Path:
    uids = {item.series for item in holds}
    made = Manifest(
        dataset="lidc",
        source="idc",
        synthetic=False,
        root=below,
        licence="CC BY 3.0",
        series=tuple(holds),
        left_out=tuple(item for item in LEFT_OUT if item.series in uids),
        absent_patients=absent,
    )
    made.model_copy(update=keys).write(path)
    return path


@pytest.mark.parametrize("count", [1, 2, 3, 6])  # more than series: the last ones are empty
def test_parts_make_the_manifest_of_one_job(tmp_path, count):
    whole = write(tmp_path / "raw/whole.json", "lidc", ALL, absent=3)
    parts = [
        write(
            tmp_path / f"raw/parts/{number}.json",
            str(tmp_path / "raw/lidc"),
            ALL[number::count],
            absent=3 if number == 0 else 0,
        )
        for number in reversed(range(count))
    ]
    joined = join_manifests(parts, tmp_path / "raw/lidc.manifest.json")
    assert (tmp_path / "raw/lidc.manifest.json").read_bytes() == whole.read_bytes()
    assert joined == Manifest.read(whole)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"source": "local"},
            r"two\.json: source: local, but .*one\.json has idc; join only the parts",
        ),
        ({"root": "elsewhere"}, r"two\.json: root: .*elsewhere, but .*one\.json has .*lidc"),
        ({"licence": "none"}, r"two\.json: licence: none, but .* has CC BY"),
        ({"synthetic": True}, r"two\.json: synthetic: True"),
        ({"series": tuple(ALL[:1])}, r"two\.json: series 1\.2 is also in .*one\.json"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, keys, message):
    one = write(tmp_path / "one.json", "lidc", ALL[:2], 0)
    two = write(tmp_path / "two.json", "lidc", ALL[2:], 0, **keys)
    with pytest.raises(ProbunetError, match=message):
        join_manifests([one, two], tmp_path / "joined.json")
    assert not (tmp_path / "joined.json").exists()


def test_a_part_that_is_missing_is_named(tmp_path):
    one = write(tmp_path / "one.json", "lidc", ALL, 0)
    with pytest.raises(ProbunetError, match=r"two\.json: no such manifest"):
        join_manifests([one, tmp_path / "two.json"], tmp_path / "joined.json")
