"""Weights that load again, and those that are refused."""

import os
import pickle
import subprocess
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
