"""A store that is joined from parts is, byte for byte, the one that a single job makes."""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.datasets.cityscapes import scene
from probunet.datasets.cityscapes.manifest import SceneLeftOut, SceneManifest, SceneReason
from probunet.datasets.cityscapes.plan import plan_scenes
from probunet.datasets.cityscapes.store import open_scenes
from probunet.datasets.lidc.plan import plan_crops
from probunet.datasets.lidc.store import open_crops
from probunet.errors import ProbunetError
from probunet.prepare import parts
from probunet.store import open_part, sealed, verify
from support.commands import preparing, probunet
from support.folders import files_of
from support.scene_trees import SIZE, write_tree
from support.slices import write_patients

CITIES = {"aachen": 9, "bremen": 1, "jena": 4, "ulm": 6}


@pytest.fixture(scope="module")
def here():
    """Tasks run in this process, and shards are of four images: there are many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "run_tasks", lambda workers, f, tasks, label: list(map(f, tasks)))
        patch.setattr(parts, "local_workers", lambda workers: nullcontext())
        patch.setattr(parts, "SHARD", 4)
        patch.setattr(sealed, "SHARD", 4)
        patch.setattr("probunet.datasets.lidc.store.CHUNK", 2)
        yield


@pytest.fixture(scope="module")
def scenes(here, tmp_path_factory):
    withheld = SceneLeftOut(city="berlin", frame="1_2", reason=SceneReason.UNLABELLED)
    return write_tree(tmp_path_factory.mktemp("scenes") / "raw", CITIES, [withheld])


def make_parts(plan, folder: Path, count: int) -> list[Path]:
    made = [folder / f"{part}-of-{count}.zarr" for part in range(count)]
    for part, path in enumerate(made):
        parts.prepare_part(plan, path, part, count)
    return made


def spoil(manifest: Path, folder: Path, bad: set[int]) -> Path:
    """Copy the manifest, with files that are not what it says."""
    listed = SceneManifest.read(manifest)
    changed = [
        scene.model_copy(
            update={"label": scene.label.model_copy(update={"sha256": "0" * 64})}
            if i in bad
            else {}
        )
        for i, scene in enumerate(listed.scenes)
    ]
    path = folder / "manifest.json"
    listed.model_copy(update={"scenes": tuple(changed)}).write(path)
    return path


@dataclass
class Thing:
    subject: str
    paths: tuple[str, ...] = ()


@given(st.lists(st.integers(1, 20), max_size=12), st.integers(1, 15))
def test_shares_are_nearly_equal_and_part_no_subject(counts, number):
    things = [Thing(f"{i:02}") for i, count in enumerate(counts) for _ in range(count)]
    found = parts.shares(things, number)
    assert len(found) == number
    assert [thing for share in found for thing in things[share]] == things
    subjects = [{thing.subject for thing in things[share]} for share in found]
    assert sum(len(own) for own in subjects) == len(counts)
    for i, share in enumerate(found[1:], start=1):
        assert abs(share.start - i * len(things) / number) <= max(counts, default=0) / 2


@given(st.integers(1, 7), st.sets(st.integers(0, sum(CITIES.values()) - 1), max_size=15))
@settings(deadline=None, max_examples=10)
def test_scenes_are_the_same_in_any_number_of_parts(scenes, number, bad):
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plan = plan_scenes(spoil(scenes, folder, bad), SIZE)
        parts.prepare(plan, folder / "one.zarr", on_error="skip")
        made = make_parts(plan, folder, number)
        parts.join(plan, made[::-1], folder / "joined.zarr", on_error="skip")
        verify(folder / "joined.zarr")
        assert files_of(folder / "joined.zarr") == files_of(folder / "one.zarr")
        joined = open_scenes(folder / "joined.zarr")
        assert len(joined) == sum(CITIES.values()) - len(bad)
        expected = {str(SceneReason.UNLABELLED): 1} | (
            {str(SceneReason.CHANGED): len(bad)} if bad else {}
        )
        assert joined.attributes.left_out == expected


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_crops_are_the_same_in_any_number_of_parts(number, here, tmp_path):
    def spoil(patient: int, i: int, path: Path) -> None:
        if (patient, i) in {(1, 0), (1, 2), (4, 1)} or patient == 3:
            path.write_bytes(path.read_bytes()[:-2])

    plan = plan_crops(write_patients(tmp_path, patients=5, slices=4, spoil=spoil))
    parts.prepare(plan, tmp_path / "one.zarr", on_error="skip")
    made = make_parts(plan, tmp_path, number)
    parts.join(plan, made, tmp_path / "joined.zarr", on_error="skip")
    assert files_of(tmp_path / "joined.zarr") == files_of(tmp_path / "one.zarr")
    crops = open_crops(tmp_path / "joined.zarr")
    assert crops.attributes.left_out["truncated file"] == 7
    assert crops.attributes.left_out_patients == ("P3",)
    assert set(crops.columns.patient) == {"P0", "P1", "P2", "P4"}


def test_a_lost_subject_stops_the_join_as_it_does_one_job(here, tmp_path):
    def spoil(patient: int, i: int, path: Path) -> None:
        if patient in (0, 2):
            path.write_bytes(b"")

    plan = plan_crops(write_patients(tmp_path, patients=3, slices=2, spoil=spoil))
    made = make_parts(plan, tmp_path, 3)
    with pytest.raises(ProbunetError) as one:
        parts.prepare(plan, tmp_path / "one.zarr")
    with pytest.raises(ProbunetError) as joined:
        parts.join(plan, made, tmp_path / "joined.zarr")
    assert "P0: P0/0.dcm: empty file" in str(one.value)
    assert str(joined.value) == str(one.value)
    assert not (tmp_path / "joined.zarr").exists()


def test_each_image_is_read_once_and_joined_without_it(scenes, tmp_path, monkeypatch):
    read: list[str] = []
    really = scene.read_scene

    def counted(root, of, *how):
        read.append(of.frame + of.city)
        return really(root, of, *how)

    monkeypatch.setattr(scene, "read_scene", counted)
    plan = plan_scenes(spoil(scenes, tmp_path, {3, 9}), SIZE)
    parts.prepare(plan, tmp_path / "one.zarr")
    assert len(read) == len(set(read)) == sum(CITIES.values())
    made = make_parts(plan, tmp_path, 2)
    read.clear()
    parts.join(plan, made, tmp_path / "joined.zarr")
    assert read == []
    assert len(open_scenes(tmp_path / "joined.zarr")) == sum(CITIES.values()) - 2


def truncate(made: list[Path]) -> None:
    shard = next(made[1].glob("image/c/0/*/*/*"))
    shard.write_bytes(shard.read_bytes()[:-1])


def alter(made: list[Path]) -> None:
    shard = next(made[1].glob("label/c/0/*/*"))
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)


def give_twice(made: list[Path]) -> None:
    shutil.rmtree(made[1])
    shutil.copytree(made[0], made[1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda made: shutil.rmtree(made[1]),
            r"1-of-3\.zarr: no such part; create it with",
        ),
        (lambda made: made.pop(), r"0-of-3\.zarr: is one of 3 parts, but --join has 2"),
        (give_twice, "is part 0, and part 1 is missing"),
        (truncate, r"1-of-3\.zarr: truncated: image/c/0/0/0/0 is "),
        (alter, r"1-of-3\.zarr: label/c/0/0/0 was changed after it was written"),
        (
            lambda made: (made[1] / "image/c/0/0/0/0").unlink(),
            r"1-of-3\.zarr: truncated: .*missing",
        ),
    ],
)
def test_missing_or_damaged_parts_are_errors(damage, message, scenes, tmp_path):
    plan = plan_scenes(scenes, SIZE)
    made = make_parts(plan, tmp_path, 3)
    damage(made)
    with pytest.raises(ProbunetError, match=message):
        parts.join(plan, made, tmp_path / "joined.zarr")
    assert not (tmp_path / "joined.zarr").exists()


def test_parts_of_another_store_are_errors(scenes, tmp_path, monkeypatch):
    plan = plan_scenes(scenes, SIZE)
    made = make_parts(plan, tmp_path, 2)
    for other, differs in (
        (plan_scenes(scenes, (16, 32)), "with different size;"),
        (plan_scenes(spoil(scenes, tmp_path, {0}), SIZE), "with different manifest_sha256;"),
    ):
        with pytest.raises(ProbunetError, match=f"0-of-2.zarr: was made for .*{differs} remove"):
            parts.join(other, made, tmp_path / "joined.zarr")
    monkeypatch.setattr("probunet.prepare.plan.versions", lambda *more: {"numpy": "9.9"})
    with pytest.raises(ProbunetError, match="with different versions"):
        parts.join(plan, made, tmp_path / "joined.zarr")
    monkeypatch.setattr(sealed, "SCHEMA", 99)
    with pytest.raises(ProbunetError, match="contains 'part' of schema 2; this version"):
        parts.join(plan, made, tmp_path / "joined.zarr")


def test_a_part_is_no_store_and_a_store_no_part(scenes, tmp_path):
    plan = plan_scenes(scenes, SIZE)
    (part,) = make_parts(plan, tmp_path, 1)
    parts.join(plan, [part], tmp_path / "joined.zarr")
    with pytest.raises(ProbunetError, match="contains 'part'"):
        open_scenes(part)
    with pytest.raises(ProbunetError, match="contains 'scenes'"):
        open_part(tmp_path / "joined.zarr")
    assert open_part(part).images == sum(CITIES.values()), "the join leaves its parts alone"


def test_snakemake_s_timestamp_in_a_part_does_no_harm(scenes, tmp_path, recwarn):
    plan = plan_scenes(scenes, SIZE)
    made = make_parts(plan, tmp_path, 2)
    for part in made:
        (part / ".snakemake_timestamp").touch()
    parts.join(plan, made, tmp_path / "joined.zarr")
    assert [str(warning.message) for warning in recwarn] == []


def test_a_part_beyond_the_last_is_an_error(scenes, tmp_path):
    with pytest.raises(ProbunetError, match="--part 2: of 2 parts the last is 1"):
        parts.prepare_part(plan_scenes(scenes, SIZE), tmp_path / "p.zarr", 2, 2)


@pytest.mark.slow
def test_the_commands_with_real_workers(scenes, tmp_path):
    def prepare(output: str, *more: object) -> str:
        words = preparing("cityscapes", scenes, tmp_path / output, source="phantom", size=SIZE)
        return probunet(*words, *more, cwd=tmp_path).stderr

    prepare("one.zarr")
    prepare("p0.zarr", "--part", 0, "--parts", 2, "--workers", 2)
    prepare("p1.zarr", "--part", 1, "--parts", 2)
    prepare("joined.zarr", "--join", "p0.zarr", "--join", "p1.zarr", "--workers", 2)
    assert files_of(tmp_path / "joined.zarr") == files_of(tmp_path / "one.zarr")
    assert "--part and --parts must be set together" in prepare("no.zarr", "--part", 0)
    mixed = prepare("no.zarr", "--part", 0, "--parts", 1, "--join", "p0.zarr")
    assert "--part and --join cannot be used together" in mixed
    assert not (tmp_path / "no.zarr").exists()
