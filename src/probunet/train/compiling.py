"""Compile a model for training, or train it eagerly where that fails.

torch.compile compiles at the first step. What it needs beyond torch is a C compiler and a folder
that programs can run from, and not every node has both.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from probunet.errors import ProbunetError
from probunet.models import Model

logger = logging.getLogger(__name__)

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def wants_compile(
    setting: bool | Literal["auto"], device: torch.device, deterministic: bool = False
) -> bool:
    """Return whether to compile; `auto` compiles on a CUDA GPU, unless it is to be deterministic.

    Compiled on another day, the same model can have other kernels.
    """
    return setting is True or (setting == "auto" and device.type == "cuda" and not deterministic)


@contextmanager
def own_caches(spare: Path) -> Iterator[None]:
    """Keep the compilers' caches in a temporary folder of this process.

    Variables that are set keep their values.

    Parameters
    ----------
    spare
        A folder to use if programs cannot run from the node's temporary folder.
    """
    where = _temporary_folder() or spare
    with tempfile.TemporaryDirectory(
        prefix="probunet-compile-", dir=where, ignore_cleanup_errors=True
    ) as folder:
        added = {name: f"{folder}/{name}" for name in CACHES if not os.environ.get(name)}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)


def compile_model(model: Model, step: Callable[[], None], setting: bool | Literal["auto"]) -> None:
    """Compile a model and run a step, so that it is known whether compiling works.

    The step leaves no gradient and no changed buffer in the model. If compiling fails, the model is
    not compiled, and a warning says why.

    Parameters
    ----------
    step
        Runs a forward and a backward pass.
    setting
        `training.compile`.

    Raises
    ------
    ProbunetError
        If compiling fails and `setting` is true.
    """
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        model.compile()
        step()
    except Exception as error:  # compilers raise errors of all kinds
        model._compiled_call_impl = None
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise  # of the step; memory that a compiler lacks is another error
        reason = _reason(error)
        if setting is True:
            raise ProbunetError(
                f"training.compile: true: torch.compile fails here ({reason}); install a C "
                "compiler, let TMPDIR be a folder that programs can run from, or set "
                "training.compile to auto or false."
            ) from None
        logger.warning(
            "training.compile: %s: torch.compile fails here (%s); trains without it, which is "
            "slower",
            setting,
            reason,
        )
    finally:
        model.zero_grad()
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)


@contextmanager
def eager(model: Model) -> Iterator[None]:
    """Run a model as it was before it was compiled.

    Another size of batch, or no gradient, would otherwise compile it again.
    """
    compiled = model._compiled_call_impl
    model._compiled_call_impl = None
    try:
        yield
    finally:
        model._compiled_call_impl = compiled


def _temporary_folder() -> Path | None:
    """Return the node's temporary folder; None if it is read-only or programs cannot run there."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None
    noexec = os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)
    return folder if not noexec and os.access(folder, os.W_OK | os.X_OK) else None


def _reason(error: BaseException) -> str:
    """Return the first line of the error that torch.compile's own error was made of.

    If the compiler's own words follow, its first error is added.
    """
    inner = getattr(error, "inner_exception", None) or error
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    said = lines[lines.index("Output:") + 1 :] if "Output:" in lines else []
    errors = [line for line in said if "error" in line] or said
    words = [line.rstrip(".:") for line in (*lines[:1], *errors[:1])]
    return ": ".join([type(inner).__name__, *words])
