"""Each job of a machine has a GPU of its own; the GPUs here are names only."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from probunet import cli, files, lease
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
        ("auto", {"CUDA_VISIBLE_DEVICES": "1", "SLURM_JOB_ID": "7"}, "1"),
        ("auto", {"SLURM_JOB_ID": "7"}, None),  # a job without a GPU, on a node that has some
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
def test_where_there_is_nothing_to_choose_nothing_is_leased(monkeypatch, device, variables, seen):
    monkeypatch.setattr(lease, "_torch_has_cuda", lambda: True)
    if "PATH" not in variables:
        monkeypatch.setattr(lease, "_listed", lambda: ["GPU-a", "GPU-b"])
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


def test_one_job_of_slurm_shares_out_its_own_gpus(caplog):
    """Snakemake inside of a job with several GPUs; in another job, 0 is another GPU."""
    seen = []
    for job in ("7", "7", "8"):
        os.environ["SLURM_JOB_ID"] = job
        seen.append(lease_again(caplog)[0])
    assert seen == ["0", "1", "0"]
    assert "shared" not in caplog.text


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_a_folder_without_locks_is_told_and_the_job_runs(monkeypatch, caplog, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    caplog.set_level("INFO")
    gpu, said = lease_again(caplog)
    assert gpu in ("0", "1")
    assert "alone" not in said
    assert f"GPU {gpu}: other jobs may use it, too" in said
    assert lease._held == []


def test_a_lock_that_cannot_be_written_is_named(machine):
    (machine / f"probunet-gpus-{os.getuid()}/0.0.lock").mkdir(parents=True)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    with pytest.raises(ProbunetError, match=r"0\.0\.lock: cannot be written .*set TMPDIR"):
        lease.lease_gpu("auto")


def test_a_machine_without_a_temporary_folder_is_told(monkeypatch):
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    with pytest.raises(ProbunetError, match=r"No usable temporary directory .*set TMPDIR"):
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


def test_links_in_the_folder_of_locks_are_refused(machine):
    folder = machine / f"probunet-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (machine / "victim").write_text("precious")
    (folder / "4.0.lock").symlink_to(machine / "victim")
    os.environ["CUDA_VISIBLE_DEVICES"] = "4,5"
    with pytest.raises(ProbunetError, match=r"4\.0\.lock: is a link"):
        lease.lease_gpu("auto")
    assert (machine / "victim").read_text() == "precious"


@pytest.mark.parametrize("kind", ["a link", "shared"])
def test_folder_of_locks_is_this_user_s_alone(machine, kind):
    folder = machine / f"probunet-gpus-{os.getuid()}"
    real = machine / "elsewhere" if kind == "a link" else folder
    real.mkdir()
    real.chmod(0o777 if kind == "shared" else 0o700)
    if kind == "a link":
        folder.symlink_to(real)
    os.environ["CUDA_VISIBLE_DEVICES"] = "4,5"
    with pytest.raises(ProbunetError, match="is a link, or a folder that others can write"):
        lease.lease_gpu("auto")
    assert list(real.iterdir()) == []
