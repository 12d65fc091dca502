"""The choice of a device: GPUs that torch cannot use, the first line of a log, lack of memory."""

import errno
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from probunet.errors import OutOfMemoryError, ProbunetError
from probunet.models import device
from probunet.models.device import (
    Arithmetic,
    choose_device,
    describe,
    gpu_given,
    has_bfloat16,
    memory_for,
)

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "SLURM_JOB_ID",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_GPUS_PER_TASK",
)
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n"
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: ..."
)
CPU = torch.device("cpu")
Node = Callable[..., None]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    """Return a function that gives this machine variables and perhaps an NVIDIA driver."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(device, "DEVICES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi

    def have(driver: bool = False, built: str | None = None, **variables: str) -> None:
        if driver:
            (tmp_path / "version").write_text(DRIVER)
        monkeypatch.setattr(torch.version, "cuda", built)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return have


def no_cuda(message: str) -> Callable[[], None]:
    def init() -> None:
        raise RuntimeError(message)

    return init


@pytest.mark.parametrize(
    ("driver", "variables"),
    [
        (False, {"CUDA_VISIBLE_DEVICES": "0"}),
        (True, {"CUDA_VISIBLE_DEVICES": "GPU-8a2b,1", "SLURM_JOB_ID": "7"}),
        (False, {"CUDA_VISIBLE_DEVICES": "MIG-1f"}),
        (True, {"SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7"}),
        (True, {"SLURM_JOB_GPUS": "0", "SLURM_JOB_ID": "7"}),  # the id 0, not the number 0
        (True, {"SLURM_GPUS_PER_TASK": "a100:1"}),
        (True, {"SLURM_STEP_GPUS": "2"}),
    ],
)
def test_a_given_gpu_that_torch_cannot_use_is_an_error(
    node: Node, monkeypatch: pytest.MonkeyPatch, driver: bool, variables: dict[str, str]
) -> None:
    node(driver=driver, built="13.0", **variables)
    monkeypatch.setattr(torch.cuda, "init", no_cuda(TOO_OLD))
    with pytest.raises(ProbunetError) as found:
        choose_device("auto")
    message = str(found.value)
    assert "a GPU was given" in message
    assert "The NVIDIA driver on your system is too old (found version 11040))" in message
    assert ("found driver 470.57.02" if driver else "found no NVIDIA driver") in message
    assert "(CUDA 13.0) needs at least driver 580" in message
    assert "`device: cpu` in the configuration (--device cpu)" in message
    assert "\n" not in message
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("driver", "built", "variables"),
    [
        (False, "13.0", {}),
        # GPUs are hidden on purpose
        (True, "13.0", {"CUDA_VISIBLE_DEVICES": ""}),
        (True, "13.0", {"CUDA_VISIBLE_DEVICES": "-1"}),
        (True, "13.0", {"CUDA_VISIBLE_DEVICES": "NoDevFiles", "SLURM_JOB_ID": "7"}),
        # a job without a GPU, on a node that has some
        (True, "13.0", {"SLURM_JOB_ID": "7"}),
        (True, "13.0", {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "0"}),
        # a cluster whose GPUs are plain files
        (False, "13.0", {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "1"}),
        # a torch for CPUs on a workstation with a GPU
        (True, None, {}),
    ],
)
def test_without_a_given_gpu_the_cpu_is_used(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    driver: bool,
    built: str | None,
    variables: dict[str, str],
) -> None:
    node(driver=driver, built=built, **variables)
    monkeypatch.setattr(torch.cuda, "init", no_cuda(TOO_OLD))
    assert gpu_given() is None
    assert choose_device("auto") == CPU


def test_a_workstation_s_gpu_counts_as_given(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node(driver=True, built="13.0")
    monkeypatch.setattr(torch.cuda, "init", no_cuda(TOO_OLD))
    with pytest.raises(ProbunetError, match="a GPU was given"):
        choose_device("auto")


def test_cuda_that_is_asked_for_and_not_there(node: Node) -> None:
    node()
    with pytest.raises(ProbunetError, match=r"device cuda: not usable here \(.+\); found no ") as e:
        choose_device("cuda")
    assert "is built without CUDA; choose another node or a torch with CUDA (" in str(e.value)


@pytest.mark.parametrize("capability", [(7, 0), (6, 1)])
def test_a_gpu_that_torch_has_no_kernels_for(
    node: Node, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    node(driver=True, built="13.0", CUDA_VISIBLE_DEVICES="0")
    _fake_gpu(monkeypatch, capability)
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(ProbunetError) as found:
            choose_device(name)
        major, minor = capability
        assert f"compute capability {major}.{minor}, and torch no kernels" in str(found.value)
        assert "needs at least driver 580 and compute capability 7.5" in str(found.value)


@pytest.mark.parametrize("capability", [(7, 5), (8, 6), (8, 9), (9, 0), (12, 0), (13, 0)])
def test_a_gpu_with_kernels_of_its_major_version_or_a_later_one_than_ptx(
    node: Node, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    node(driver=True, built="13.0")
    _fake_gpu(monkeypatch, capability)
    monkeypatch.setattr(device, "_try", lambda where: None)
    assert choose_device("auto") == torch.device("cuda")


def _fake_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    arches = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: arches)


@pytest.mark.parametrize("works", [True, False])
def test_mps_is_used_where_it_works(
    node: Node, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    node()

    def attempt(where: torch.device) -> None:
        assert where.type == "mps"
        if not works:
            raise NotImplementedError("grid_sampler_2d: not on mps")

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "_try", attempt)
    assert choose_device("auto").type == ("mps" if works else "cpu")
    if not works:
        with pytest.raises(ProbunetError, match="device mps: not usable here"):
            choose_device("mps")


def test_every_operation_that_a_device_is_tried_with_works_on_the_cpu() -> None:
    device._try(CPU)


def test_the_line_of_a_log(node: Node) -> None:
    node()
    line = describe(CPU, "float32", compiled=False)
    assert line.startswith("device: cpu (")
    assert f"capability: {torch.backends.cpu.get_cpu_capability()}, memory: " in line
    assert " GiB, precision: float32, compile: off" in line
    assert "precision: bfloat16, compile: on" in describe(CPU, "bfloat16", compiled=True)
    node(SLURM_GPUS_ON_NODE="1")
    line = describe(CPU, "float32", compiled=False)
    assert line.endswith(" (SLURM_GPUS_ON_NODE=1, but this node has no NVIDIA driver)")


def test_arithmetic_is_read_as_it_is_written_and_nothing_else() -> None:
    found = Arithmetic("bfloat16", "cpu", "AVX512", 2)
    assert Arithmetic.read(asdict(found)) == found
    assert str(found) == "bfloat16 on cpu (AVX512, threads: 2)"
    assert str(Arithmetic("float32", "A GPU", "9.0", None)) == "float32 on A GPU (9.0)"
    for wrong in (None, [], {}, asdict(found) | {"more": 1}, asdict(found) | {"threads": "2"}):
        with pytest.raises(TypeError):
            Arithmetic.read(wrong)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"), "2.00 G"),
        (MemoryError("Unable to allocate 74.5 GiB for an array with shape"), "74.5 GiB"),
        (MemoryError(), None),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB, ...)"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."), None),
        (RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), None),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), None),
        (RuntimeError("Invalid buffer size: 24.00 GiB"), None),  # of MPS
        (RuntimeError("unable to mmap 8 bytes: Cannot allocate memory (12)"), None),
        (RuntimeError("std::bad_alloc"), None),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), None),
    ],
)
def test_lack_of_memory_is_one_sentence(error: Exception, asked: str | None) -> None:
    with pytest.raises(OutOfMemoryError) as found, memory_for("here", CPU, "lower it"):
        raise error
    message = str(found.value)
    assert message.startswith("here: out of memory on cpu")
    assert message.endswith("; lower it.")
    assert (f"when {asked}" in message) if asked else ("asked" not in message)
    assert "\n" not in message


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_other_processes_fill_is_no_matter_of_the_driver(
    node: Node, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*arguments: object) -> tuple[int, int]:
        raise RuntimeError("CUDA error: out of memory")

    node(driver=True, built="13.0", CUDA_VISIBLE_DEVICES="0")
    _fake_gpu(monkeypatch, (8, 0))
    monkeypatch.setattr(device, "_try", full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    monkeypatch.setattr(device, "_total_memory", lambda where: "15.8 GiB")
    with pytest.raises(OutOfMemoryError) as found:
        choose_device(name)
    assert str(found.value) == (
        "device cuda: out of memory on cuda (Tesla V100), which has 15.8 GiB; choose another, or "
        "wait until other processes leave it some."
    )


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert "memory: unknown, " in describe(CPU, "float32", compiled=False)


def test_the_machine_s_own_memory() -> None:
    with (
        pytest.raises(OutOfMemoryError, match="when 1125899906842624 bytes more were asked for"),
        memory_for("here", CPU, "lower it"),
    ):
        torch.empty(2**50, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(5, "shapes")])
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match="shapes"), memory_for("here", CPU, "lower it"):
        raise error


def test_memory_of_freed_tensors_is_kept_for_the_next():
    code = """
import resource, sys, torch
from probunet.models.device import choose_device

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        for size in (2**20, 2**23, 2**24):
            torch.zeros(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

default = faults()
choose_device("cpu", 1)
faults()
print(default, faults())
"""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this C library has another allocator")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    default, kept = map(int, done.stdout.split())
    assert kept < default / 20


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_chosen_where_the_cpu_multiplies_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16(CPU) is expected
    chosen = Arithmetic.of(CPU, "auto").precision
    assert chosen == ("bfloat16" if expected else "float32")
