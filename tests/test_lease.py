"""Each job of a machine has a GPU of its own; the GPUs here are names only."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from probunet import cli, lease
from probunet.errors import ProbunetError

JOB = """
import os, sys, time
from probunet.lease import lease_gpu
lease_gpu("auto")
assert "torch" not in sys.modules
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without SLURM, and a temporary folder of its own."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        os.environ.pop(name, None)
    os.environ["TMPDIR"] = str(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    for handle in lease._held:
        handle.close()
    lease._held.clear()


def start(devices: str) -> "tuple[str, subprocess.Popen[str]]":
    """Start a job; return the GPU that it sees, and its process."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": devices}
    process = subprocess.Popen(
        [sys.executable, "-c", JOB],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process.stdout.readline().strip(), process


def test_jobs_have_different_gpus_and_a_killed_one_gives_its_own_back():
    jobs = []
    try:
        for _ in range(3):
            jobs.append(start("4,GPU-b,7"))
        assert [gpu for gpu, _ in jobs] == ["4", "GPU-b", "7"]
        jobs[1][1].kill()
        jobs[1][1].wait()
        jobs.append(start("4,GPU-b,7"))
        assert jobs[-1][0] == "GPU-b"
    finally:
        for _, process in jobs:
            process.kill()
            process.communicate()


def lease_again(caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    caplog.clear()
    lease.lease_gpu("cuda")
    return os.environ["CUDA_VISIBLE_DEVICES"], caplog.text


def test_more_jobs_than_gpus_share_them_evenly_and_say_so(caplog):
    caplog.set_level("INFO")
    assert [lease_again(caplog)[0] for _ in range(2)] == ["0", "1"]
    assert "in use by this job alone" in caplog.text
    gpu, said = lease_again(caplog)
    assert gpu == "0"
    assert "shared with 1 other job, because all 2 visible GPUs are in use" in said
    assert lease_again(caplog)[0] == "1"


@pytest.mark.parametrize(
    ("device", "variables", "seen"),
    [
        ("auto", {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"}, "0,1"),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
        ("cpu", {"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
        ("mps", {"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
        ("auto", {"CUDA_VISIBLE_DEVICES": "5"}, "5"),
        ("auto", {"CUDA_VISIBLE_DEVICES": ""}, ""),
        ("auto", {"CUDA_VISIBLE_DEVICES": "2,-1,3"}, "2,-1,3"),
        ("auto", {"CUDA_VISIBLE_DEVICES": " 2, 3"}, "2"),
        ("auto", {"PATH": "/nowhere"}, None),
    ],
)
def test_where_there_is_nothing_to_choose_nothing_is_leased(device, variables, seen):
    os.environ |= variables
    lease.lease_gpu(device)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen


LISTED = """GPU 0: NVIDIA A100 (UUID: GPU-aa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-bb-2)
  MIG 3g.20gb     Device  1: (UUID: MIG-cc/1/0)
GPU 1: NVIDIA A100 (UUID: GPU-dd-3)
"""


@pytest.mark.parametrize("cuda", ["13.0", None])
def test_without_the_variable_the_driver_lists_the_gpus(machine, monkeypatch, cuda):
    """And a torch without CUDA is not given one."""
    program = machine / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    os.environ["PATH"] = f"{machine}:/usr/bin:/bin"
    (machine / "torch").mkdir()
    (machine / "torch/version.py").write_text(f"cuda = {cuda!r}\n")
    found = SimpleNamespace(origin=str(machine / "torch/__init__.py"))
    monkeypatch.setattr(lease, "find_spec", lambda name: found)
    lease.lease_gpu("auto")
    if cuda:
        assert lease.visible_gpus() == ["MIG-bb-2"]
        del os.environ["CUDA_VISIBLE_DEVICES"]
        assert lease.visible_gpus() == ["MIG-bb-2", "MIG-cc/1/0", "GPU-dd-3"]
    else:
        assert lease.visible_gpus() == []
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_folder_that_cannot_be_written_is_named(machine, monkeypatch):
    (machine / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(machine / "file"))
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    with pytest.raises(ProbunetError, match=r"cannot be written .*set TMPDIR to another folder"):
        lease.lease_gpu("auto")


@pytest.mark.parametrize("command", ["train", "sample"])
def test_commands_lease_before_they_import_torch(command, monkeypatch):
    class LeasedError(Exception):
        pass

    def leased(device: str) -> None:
        assert device == "auto"
        raise LeasedError

    monkeypatch.setattr(cli, "lease_gpu", leased)
    here = Path("lidc/unet/beta-1/fold-0/seed-0")
    words = {"train": [here] * 4, "sample": [[here], here, here, here / "samples.zarr"]}
    with pytest.raises(LeasedError):
        getattr(cli, command)("lidc", *words[command])
