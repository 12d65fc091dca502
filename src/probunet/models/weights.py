"""Files of weights: complete or absent, without code, with the facts needed to use them.

A file is checked before anything in it is used: nothing in it is compressed, so its content is not
larger than the file; the tensors lie within it; and the network that it names has exactly these
tensors.
"""

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probunet.errors import ProbunetError
from probunet.files import check_regular, written_whole
from probunet.memory import raise_if_memory_lacks
from probunet.models import MODELS, Model, build, outline
from probunet.models.device import Arithmetic
from probunet.prepared import Prepared

SCHEMA = 1
_AGAIN = "remove it and train the run again."
_PICKLE = 2**26  # bytes of what is not a tensor, at most
# what `save_whole` needs to describe tensors; torch's own reader allows more
_DESCRIBES = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch \w+Storage"
)
_CLASS = re.compile(r"[^/\0-\x1f]{1,100}")  # names of classes are parts of files' names


@dataclass(frozen=True)
class WeightsInfo:
    """The training that weights come from, and the model and data that they fit."""

    model: str
    architecture: dict[str, Any]  # of `Settings.architecture_of`, tuples as lists
    in_channels: int
    classes: int
    window: tuple[float, float] | None  # values that become 0 and 1; None: the type's range
    crop: int | None  # side of the training crop, pixels; None: trained on whole images
    run: str  # the run's folder below results/
    store: str  # digest of the data set's store
    step: int
    validation_ged: float | None
    subjects: str | None = None  # `Fold.digest`; None: written by an older version
    # `device.Arithmetic` of the training, in the order of use; None: written by an older version
    arithmetic: list[dict[str, Any]] | None = None
    ema: float | None = None  # decay of the moving average that these weights are; None: of a step
    # the following are None if written by an older version
    dataset: str | None = None  # its name in the configuration
    class_names: list[str] | None = None  # by class id
    prepared: dict[str, Any] | None = None  # `Prepared` of the data set's images


@dataclass(frozen=True)
class Weights:
    """The content of a file of weights: their description, and the tensors by name."""

    path: Path
    info: WeightsInfo
    state: dict[str, Tensor]

    def build(self) -> Model:
        """Return the model with these weights, on the CPU.

        Raises
        ------
        ProbunetError
            If the weights do not fit the architecture that the file names, or are not finite.
        """
        info = self.info
        shape = {"in_channels": info.in_channels, "classes": info.classes}
        try:
            empty = outline(info.model, info.architecture, most=len(self.state), **shape)
            check_state(empty, self.state)
        except Exception as error:  # constructors raise many types for wrong values
            raise_if_memory_lacks(error)
            reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
            raise ProbunetError(
                f"{self.path}: its weights do not fit the architecture that it names ({reason}); "
                f"{_AGAIN}"
            ) from None
        if wrong := not_finite(empty, self.state):
            raise ProbunetError(f"{self.path}: its weights are not finite ({wrong}); {_AGAIN}")
        model = build(info.model, info.architecture, **shape)
        model.load_state_dict(self.state)
        return model


def save_weights(path: Path, model: Model, info: WeightsInfo) -> None:
    """Write the model's weights and their description to `path`; see `save_whole`.

    Raises
    ------
    ProbunetError
        If a weight is not finite, or the disk is full.
    """
    state = model.state_dict()
    if wrong := not_finite(model, state):
        raise ProbunetError(
            f"{path}: not written: at step {info.step} the weights are not finite ({wrong}); lower "
            "training.learning_rates."
        )
    save_whole(path, {"schema": SCHEMA, **asdict(info), "state": state})


def load_weights(path: Path) -> tuple[Model, WeightsInfo]:
    """Return the model in a file, on the CPU, and the description of its weights.

    Raises
    ------
    ProbunetError
        If the file is missing, corrupt or contains code, or if its weights are not finite or do not
        fit the architecture that it names.
    """
    weights = read_weights(path)
    return weights.build(), weights.info


def read_weights(path: Path, advice: str = _AGAIN) -> Weights:
    """Return the weights in a file, without the network.

    Raises
    ------
    ProbunetError
        If the file is missing, corrupt or contains code; the message ends with `advice`.
    """
    content = load_plain(path, advice)
    found = {
        field.name: content[field.name] for field in fields(WeightsInfo) if field.name in content
    }
    wrong = next(_wrong_keys(content), None)
    if wrong is not None:
        raise ProbunetError(
            f"{path}: not weights of this version (schema {SCHEMA}; {wrong} is missing or wrong); "
            f"{advice}"
        )
    return Weights(path, WeightsInfo(**found), content["state"])


def check_state(model: Model, state: object) -> None:
    """Raise ValueError unless `state` has exactly the tensors of the model's state."""
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise ValueError("the state is not a mapping to tensors")
    expected = model.state_dict()
    if differing := state.keys() ^ expected.keys():
        name = min(map(str, differing))
        raise ValueError(f"{len(differing)} tensors are missing or too many, for example {name}")
    for name, tensor in expected.items():
        found = state[name]
        if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"{name} is {found.dtype} {tuple(found.shape)}, not {tensor.dtype} "
                f"{tuple(tensor.shape)}"
            )


def not_finite(model: Model, state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with NaN or infinity in a state; None without.

    They are parameters and the statistics of batch normalisation. Other buffers are left out:
    GECO's average is NaN before the first step.
    """
    statistics = ("running_mean", "running_var")
    names = [name for name, _ in model.named_parameters()]
    names += [name for name, _ in model.named_buffers() if name.endswith(statistics)]
    return next((name for name in names if not bool(torch.isfinite(state[name]).all())), None)


def save_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values and tensors to `path`; the file is complete or absent.

    Raises
    ------
    ProbunetError
        If the disk is full.
    """
    with written_whole(path) as aside:
        whole = io.BytesIO()  # torch's error for a file on a full disk does not say that it is full
        torch.save(dict(content), whole)
        aside.write_bytes(whole.getbuffer())


def load_plain(path: Path, advice: str = _AGAIN) -> dict[str, Any]:
    """Return the content of a file that `save_whole` wrote, with its tensors on the CPU.

    Code in the file is never executed, and no more memory is taken than the file is large.

    Raises
    ------
    ProbunetError
        If the file is missing, corrupt or contains code; the message ends with `advice`.
    """
    check_regular(path, f"no such file; {'train the run first.' if advice == _AGAIN else advice}")
    try:
        values = _check_archive(path)
        # mapped: a tensor that claims more bytes than there are is refused, not read
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        plain = _copy(content, iter(range(values)))
    except Exception as error:  # the readers raise many types for damaged bytes
        raise_if_memory_lacks(error)
        raise ProbunetError(
            f"{path}: refused: it is corrupt or contains code ({type(error).__name__}); only "
            f"tensors and plain values are read; {advice}"
        ) from None
    if not isinstance(plain, dict):
        raise ProbunetError(f"{path}: contains no weights; {advice}")
    return plain


def _check_archive(path: Path) -> int:
    """Check what surrounds the tensors; return the largest number of values that it can describe.

    Raises
    ------
    zipfile.BadZipFile, pickle.UnpicklingError
        If the archive is damaged, if its content is larger than the file, or if it needs anything
        but tensors and plain values.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise zipfile.BadZipFile("compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise zipfile.BadZipFile("larger than the file")
        if archive.testzip() is not None:  # torch's reader ignores the checksums
            raise zipfile.BadZipFile("a checksum differs")
        (described,) = (e for e in entries if e.filename.split("/")[1:] == ["data.pkl"])
        if described.file_size > _PICKLE:
            raise pickle.UnpicklingError("too large")
        for operation, argument, _ in pickletools.genops(archive.read(described)):
            if operation.name == "GLOBAL" and not _DESCRIBES.fullmatch(str(argument)):
                raise pickle.UnpicklingError(str(argument))
        return described.file_size  # each value takes a byte at least


def _copy(value: Any, left: Iterator[int]) -> Any:
    """Return a copy of plain values and tensors that does not need the file any more.

    Raises
    ------
    pickle.UnpicklingError
        If there is anything else, a tensor is larger than its bytes, or `left` is exhausted: lists
        that contain each other have no end.
    """
    if next(left, None) is None:
        raise pickle.UnpicklingError("too many values")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict) and all(type(key) in (int, str) for key in value):
        return {key: _copy(item, left) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copy(item, left) for item in value)
    if type(value) is Tensor and value.numel() * value.itemsize <= value.untyped_storage().nbytes():
        return value.clone()
    raise pickle.UnpicklingError(f"a {type(value).__name__}")


def _wrong_keys(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a file of weights that are missing or have a wrong type."""

    def natural(value: object, least: int = 0) -> bool:
        return type(value) is int and value >= least

    def text(value: object) -> bool:
        return type(value) is str

    window, ged = content.get("window"), content.get("validation_ged")
    fine = {
        "schema": content.get("schema") == SCHEMA,
        "model": text(content.get("model")) and content["model"] in MODELS,
        "architecture": isinstance(content.get("architecture"), dict),
        "in_channels": natural(content.get("in_channels"), 1),
        "classes": natural(content.get("classes"), 2),
        "window": "window" in content and (window is None or _is_window(window)),
        "crop": "crop" in content and (content["crop"] is None or natural(content["crop"], 1)),
        "run": text(content.get("run")),
        "store": text(content.get("store")),
        "step": natural(content.get("step")),
        "validation_ged": "validation_ged" in content
        and (ged is None or (type(ged) is float and not math.isnan(ged))),
        "subjects": content.get("subjects") is None or text(content["subjects"]),
        "arithmetic": content.get("arithmetic") is None or _is_arithmetic(content["arithmetic"]),
        "ema": content.get("ema") is None
        or (type(content["ema"]) is float and 0 < content["ema"] < 1),
        "dataset": content.get("dataset") is None or text(content["dataset"]),
        "class_names": content.get("class_names") is None or _are_names(content),
        "prepared": content.get("prepared") is None or _is_prepared(content["prepared"]),
        "state": isinstance(content.get("state"), dict),
    }
    return (name for name, is_fine in fine.items() if not is_fine)


def _is_window(value: object) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(type(one) in (int, float) and math.isfinite(one) for one in value)


def _are_names(content: Mapping[str, Any]) -> bool:
    names = content["class_names"]
    return (
        isinstance(names, list)
        and all(type(name) is str and _CLASS.fullmatch(name) for name in names)
        and len(set(names)) == content.get("classes") == len(names)
    )


def _is_prepared(value: object) -> bool:
    try:
        return bool(Prepared.read(value))
    except (KeyError, TypeError, ValueError):
        return False


def _is_arithmetic(value: object) -> bool:
    try:
        return isinstance(value, list) and bool([Arithmetic.read(one) for one in value])
    except (TypeError, ValueError):
        return False
