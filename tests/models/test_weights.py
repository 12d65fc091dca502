"""Weights that load again, and those that are refused."""

import os
import pickle
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
import torch

from probunet.errors import ProbunetError
from probunet.models import Model, build
from probunet.models.weights import WeightsInfo, load_plain, load_weights, save_weights, save_whole

ARCHITECTURE = {
    "channels": [4, 8],
    "convolutions": 1,
    "latent_dim": 2,
    "head_convolutions": 2,
    "initialisation": "he",
}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Model, WeightsInfo]:
    model = build("probabilistic_unet", ARCHITECTURE, seed=3)
    info = WeightsInfo(
        model="probabilistic_unet",
        architecture=ARCHITECTURE,
        in_channels=1,
        classes=2,
        window=(-1000.0, 400.0),
        crop=32,
        run="lidc/probabilistic_unet/beta-1/fold-0/seed-0",
        store="0" * 64,
        step=7,
        validation_ged=0.5,
    )
    path = tmp_path / "weights.pt"
    save_weights(path, model, info)
    return path, model, info


def test_load_what_was_saved(saved: tuple[Path, Model, WeightsInfo]) -> None:
    path, model, info = saved
    again, read = load_weights(path)
    assert read == info
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ProbunetError, match=r"none\.pt: no such file"):
        load_weights(tmp_path / "none.pt")


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    if zipped:
        torch.save({"state": _Code()}, path)
    else:
        path.write_bytes(pickle.dumps({"state": _Code()}))
    with pytest.raises(ProbunetError, match=r"evil\.pt: refused"):
        load_weights(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated(saved: tuple[Path, Model, WeightsInfo], kept: float) -> None:
    path = saved[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ProbunetError, match=r"weights\.pt: .*corrupt"):
        load_weights(path)


def test_damaged_values(saved: tuple[Path, Model, WeightsInfo]) -> None:
    path, model, _ = saved
    largest = max(model.state_dict().values(), key=torch.Tensor.numel)
    content = bytearray(path.read_bytes())
    where = content.find(largest.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
    assert where > 0
    content[where + 5] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ProbunetError, match=r"weights\.pt: .*corrupt"):
        load_weights(path)


def test_other_architecture(saved: tuple[Path, Model, WeightsInfo]) -> None:
    path = saved[0]
    content = load_plain(path)
    content["architecture"]["channels"] = [4, 16]
    save_whole(path, content)
    with pytest.raises(ProbunetError, match=r"weights\.pt: its weights do not fit"):
        load_weights(path)
    content["architecture"] = {"channels": [4, 8]}
    save_whole(path, content)
    with pytest.raises(ProbunetError, match=r"weights\.pt: its weights do not fit"):
        load_weights(path)


def test_not_weights(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    for content in ({"schema": 99}, {"schema": 1, "state": {}}):
        save_whole(path, content)
        with pytest.raises(ProbunetError, match="not weights of this version"):
            load_weights(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(ProbunetError, match="contains no weights"):
        load_weights(path)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount the small file system that this needs")
    try:
        with pytest.raises(ProbunetError, match="the disk or quota is full"):
            save_whole(tmp_path / "weights.pt", {"state": torch.zeros(100_000)})
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_read_nor_written(
    saved: tuple[Path, Model, WeightsInfo], value: float
) -> None:
    path, model, info = saved
    content = load_plain(path)
    name = next(iter(content["state"]))
    content["state"][name].view(-1)[0] = value
    save_whole(path, content)
    with pytest.raises(ProbunetError, match=rf"weights\.pt: its weights are not finite \({name}\)"):
        load_weights(path)
    before = path.read_bytes()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = value
    with pytest.raises(ProbunetError, match="at step 7 the weights are not finite"):
        save_weights(path, model, info)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "architecture",
    [
        {"channels": [4, 30_000]},
        {"channels": [10**9, 10**9]},
        {"convolutions": 10**9},
        {"channels": [4] * 10_000, "convolutions": 10_000},
        {"latent_dim": 10**12},
        {"head_convolutions": -1},
        {"channels": []},
        {"channels": "wide"},
    ],
)
def test_a_small_file_that_names_a_large_network_is_refused_before_it_is_built(
    saved: tuple[Path, Model, WeightsInfo],
    monkeypatch: pytest.MonkeyPatch,
    architecture: dict[str, object],
) -> None:
    path = saved[0]
    content = load_plain(path)
    content["architecture"] |= architecture
    save_whole(path, content)
    built: list[object] = []
    monkeypatch.setattr("probunet.models.weights.build", lambda *a, **k: built.append(a))
    started = time.monotonic()
    with pytest.raises(ProbunetError, match=r"weights\.pt: its weights do not fit"):
        load_weights(path)
    assert not built
    assert time.monotonic() - started < 5


def _rewritten(path: Path, compression: int, extra: dict[str, bytes]) -> None:
    """Write the archive of a file again, compressed or with more in it."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    prefix = next(iter(entries)).split("/")[0]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (entries | {f"{prefix}/{k}": v for k, v in extra.items()}).items():
            archive.writestr(name, content)


def test_a_compressed_file_is_refused_before_it_is_unpacked(
    saved: tuple[Path, Model, WeightsInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved[0]
    _rewritten(path, zipfile.ZIP_DEFLATED, {"data/999": bytes(50_000_000)})
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ProbunetError, match=r"weights\.pt: refused: it is corrupt"):
        load_weights(path)


class _Large:
    """Becomes 100 GB when it is unpickled; torch's own reader permits the function."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return bytearray, (10**11,)


def test_functions_that_only_take_memory_are_refused(
    saved: tuple[Path, Model, WeightsInfo],
) -> None:
    path = saved[0]
    content = load_plain(path)
    torch.save(content | {"more": _Large()}, path)
    with pytest.raises(ProbunetError, match=r"weights\.pt: refused"):
        load_weights(path)


def test_tensors_that_claim_more_than_the_file_has_are_refused(
    saved: tuple[Path, Model, WeightsInfo],
) -> None:
    path = saved[0]
    content = load_plain(path)
    name = next(iter(content["state"]))
    content["state"][name] = torch.zeros(1).expand(10**12)
    torch.save(content, path)
    with pytest.raises(ProbunetError, match=r"weights\.pt: refused"):
        load_weights(path)


def test_lists_that_contain_each_other_are_refused(saved: tuple[Path, Model, WeightsInfo]) -> None:
    path = saved[0]
    content = load_plain(path)
    nested: list[object] = []
    for _ in range(60):  # 2^60 values in a few bytes
        nested = [nested, nested]
    torch.save(content | {"more": nested}, path)
    with pytest.raises(ProbunetError, match=r"weights\.pt: refused"):
        load_weights(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "unknown"),
        ("model", ["unet"]),
        ("architecture", [4, 8]),
        ("in_channels", 0),
        ("classes", True),
        ("window", [1.0]),
        ("window", (0.0, float("nan"))),
        ("run", 5),
        ("step", -1),
        ("validation_ged", float("nan")),
        ("state", [1, 2]),
        ("subjects", 3),
        ("arithmetic", [{"precision": 32}]),
        ("ema", 1.0),
        ("dataset", 5),
        ("class_names", ["one of two"]),
        ("class_names", ["same", "same"]),
        ("class_names", ["background", "../../cup"]),
        ("prepared", {"size": [0, 32]}),
        ("prepared", {"size": [32, 32], "resize": "twist", "values": "uint8", "padding": 0.0}),
    ],
)
def test_values_of_a_wrong_type_are_named(
    saved: tuple[Path, Model, WeightsInfo], key: str, value: object
) -> None:
    path = saved[0]
    save_whole(path, load_plain(path) | {key: value})
    with pytest.raises(ProbunetError, match=rf"weights\.pt: not weights .*; {key} is missing or w"):
        load_weights(path)


def test_weights_of_an_older_version_are_read(saved: tuple[Path, Model, WeightsInfo]) -> None:
    path = saved[0]
    content = load_plain(path)
    newer = ("subjects", "arithmetic", "ema", "dataset", "class_names", "prepared")
    save_whole(path, {key: value for key, value in content.items() if key not in newer})
    info = load_weights(path)[1]
    assert [getattr(info, name) for name in newer] == [None] * len(newer)


def test_lack_of_memory_is_not_taken_for_damage(
    saved: tuple[Path, Model, WeightsInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", lacking)
    with pytest.raises(MemoryError):
        load_weights(saved[0])
