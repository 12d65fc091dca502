"""Compiling: where it fails, training goes on without it or stops with one line."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Generator, Tensor

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.models import build
from probunet.models.base import Model
from probunet.models.device import Arithmetic
from probunet.models.weights import load_plain
from probunet.run import Run
from probunet.train.compiling import CACHES, compile_model, eager, own_caches, wants_compile

SHAPE = {"channels": [4, 8], "convolutions": 1, "initialisation": "he"}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def model() -> Model:
    return build("unet", SHAPE)


def stepper(model: Model) -> Callable[[], None]:
    def step() -> None:
        image, mask = torch.ones(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
        model.loss(image, mask, beta=1.0, generator=Generator()).total.backward()

    return step


def break_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor import cpp_builder

    def search(*words: object) -> str:
        raise FileNotFoundError("no C++ compiler: /nonexistent/c++\nSet CXX.")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", search)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))


def break_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))


def break_backward(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the compiled forward pass work, and its backward pass fail."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            raise OSError("[Errno 30] Read-only file system: '/home/user/.triton'")

    def compiled(model: Model) -> None:
        model._compiled_call_impl = lambda *words: Broken.apply(model.forward(*words))

    monkeypatch.setattr(Model, "compile", compiled)


def starve_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the compiler lack memory: training without it may have enough."""
    from torch._inductor.exc import CppCompileError, InductorError

    said = "f.cpp: In function 'kernel':\ncc1plus: fatal error: out of memory allocating 64 bytes"

    def fail(*words: object) -> None:
        raise InductorError(CppCompileError(["g++", "f.cpp"], said), None)

    monkeypatch.setattr(Model, "compile", lambda model: setattr(model, "_compiled_call_impl", fail))


FAULTS = [break_compiler, break_cache, break_backward, starve_compiler]


@pytest.mark.parametrize("broken", FAULTS)
@pytest.mark.parametrize("setting", ["auto", True])
def test_where_compiling_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    model: Model,
    broken: Callable[[pytest.MonkeyPatch, Path], None],
    setting: bool | Literal["auto"],
) -> None:
    caplog.set_level(logging.INFO, "probunet")
    broken(monkeypatch, tmp_path)
    if setting is True:
        with pytest.raises(ProbunetError, match=r"training\.compile: true: .*fails here") as found:
            compile_model(model, stepper(model), setting)
        assert "\n" not in str(found.value)
        return
    compile_model(model, stepper(model), setting)
    (line,) = [record.getMessage() for record in caplog.records if record.name[:8] == "probunet"]
    assert line.startswith("training.compile: auto: torch.compile fails here (")
    if broken is starve_compiler:
        assert "(CppCompileError: C++ compile error: cc1plus: fatal error: out of memory a" in line
    assert "\n" not in line
    assert all(weight.grad is None for weight in model.parameters())
    stepper(model)()  # without the compiler


def test_where_compiling_works_the_model_is_as_it_was(model: Model, tmp_path: Path) -> None:
    class Counting(type(model)):  # type: ignore[misc]
        def forward(self, image: Tensor) -> Tensor:
            self.steps += 1
            logits: Tensor = super().forward(image)
            return logits

    counting = model
    counting.__class__ = Counting
    counting.register_buffer("steps", torch.zeros(()))
    with own_caches(tmp_path):
        compile_model(counting, stepper(counting), True)
        assert counting._compiled_call_impl is not None
        with eager(counting):
            assert counting._compiled_call_impl is None
        assert counting._compiled_call_impl is not None
    assert counting.get_buffer("steps") == 0
    assert all(weight.grad is None for weight in counting.parameters())


def test_lack_of_memory_is_no_failure_of_the_compiler(model: Model) -> None:
    def step() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        compile_model(model, step, "auto")


def test_auto_compiles_on_cuda_alone() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert wants_compile("auto", cuda)
    assert not wants_compile("auto", cuda, deterministic=True)
    assert wants_compile(True, cuda, deterministic=True)
    assert not wants_compile("auto", cpu)
    assert not wants_compile("auto", torch.device("mps"))
    assert wants_compile(True, cpu)
    assert not wants_compile(False, cuda)


def test_caches_are_in_a_folder_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with own_caches(tmp_path / "spare"):
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        assert folder.parent.parent == tmp_path
        assert folder.parent.is_dir()
        assert os.environ["TRITON_CACHE_DIR"] == "/mine"
    assert list(tmp_path.iterdir()) == []
    assert CACHES[0] not in os.environ


@pytest.mark.parametrize("node", ["noexec", "absent"])
def test_caches_are_in_the_run_s_folder_if_programs_cannot_run_from_the_node_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest, node: str
) -> None:
    def no_folder() -> str:
        raise FileNotFoundError("no usable temporary directory")

    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    if node == "absent":
        monkeypatch.setattr("tempfile.gettempdir", no_folder)
    else:
        disk = request.getfixturevalue("small_disk")("size=1m,noexec")
        monkeypatch.setattr("tempfile.tempdir", str(disk))
    spare = tmp_path / "spare"
    spare.mkdir()
    with own_caches(spare):
        assert all(Path(os.environ[name]).parents[1] == spare for name in CACHES)
    assert list(spare.iterdir()) == []


_SCRIPT = """
import logging
import sys
from pathlib import Path
from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.train import loop
logging.basicConfig(format="%(message)s")
logging.getLogger("probunet").setLevel(logging.INFO)
store, folds, output, checkpoint, settings, always = sys.argv[1:]
if always:
    loop.wants_compile = lambda *arguments: True
try:
    loop.train(Run.parse(output), Path(store), Path(folds), Settings.model_validate_json(settings),
               Path(output), Path(checkpoint), device="cpu", threads=1)
except ProbunetError as error:
    sys.exit(f"probunet: {error}")
"""


@pytest.mark.parametrize("setting", [False, "auto", True])
def test_a_training_without_a_compiler(
    tmp_path: Path,
    store: Path,
    folds: Path,
    run: Run,
    settings: Settings,
    setting: bool | Literal["auto"],
) -> None:
    training = settings.training.model_copy(update={"compile": setting})
    settings = settings.model_copy(update={"training": training})
    output, checkpoint = tmp_path / run.folder, tmp_path / "checkpoint"
    command = [sys.executable, "-c", _SCRIPT, store, folds, output, checkpoint]
    command += [settings.model_dump_json(), "always" if setting == "auto" else ""]
    missing = {name: "/nonexistent" for name in ("CC", "CXX")} | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in CACHES} | missing,
    )
    lines = done.stderr.splitlines()
    compiles = "off" if setting is False else "on"
    assert lines[0].startswith("device: cpu (1 thread), capability: "), lines
    precision = Arithmetic.of(torch.device("cpu"), "auto").precision
    assert f"precision: {precision}, compile: {compiles}" in lines[0]
    problems = [line for line in lines if "torch.compile" in line]
    assert len(problems) == (setting is not False), lines
    assert "Traceback" not in done.stderr
    if setting is True:
        assert done.returncode == 1
        assert "training images" in lines[1]
        assert lines[2:] == problems
        assert "training.compile: true: torch.compile fails here (InvalidCxx" in problems[0]
        return
    assert done.returncode == 0, done.stderr
    assert load_plain(output / "last.pt")["step"] == settings.training.steps
    assert [path.name for path in checkpoint.iterdir()] == ["finished"]
