"""Files of weights: complete or absent, without code, with the facts needed to use them."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.models import Model, build

SCHEMA = 1


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


def save_weights(path: Path, model: Model, info: WeightsInfo) -> None:
    """Write the model's weights and their description to `path`; see `save_whole`."""
    save_whole(path, {"schema": SCHEMA, **asdict(info), "state": model.state_dict()})


def load_weights(path: Path) -> tuple[Model, WeightsInfo]:
    """Return the model in a file, on the CPU, and the description of its weights.

    Raises
    ------
    ProbunetError
        If the file is missing, corrupt or contains code, or if its weights do not fit the
        architecture that it names.
    """
    content = load_plain(path)
    names = [field.name for field in fields(WeightsInfo)]
    if content.get("schema") != SCHEMA or any(name not in content for name in (*names, "state")):
        raise ProbunetError(
            f"{path}: not weights of this version (schema {SCHEMA}); train the run again."
        )
    info = WeightsInfo(**{name: content[name] for name in names})
    try:
        model = build(
            info.model, info.architecture, in_channels=info.in_channels, classes=info.classes
        )
        model.load_state_dict(content["state"])
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ProbunetError(
            f"{path}: its weights do not fit the architecture that it names ({reason}); "
            "train the run again."
        ) from None
    return model, info


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


def load_plain(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the content of a file that `save_whole` wrote; code in the file is never executed.

    Raises
    ------
    ProbunetError
        If the file is missing, corrupt or contains code.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch's reader ignores the checksums
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such file; train the run first.") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile):
        raise ProbunetError(
            f"{path}: refused: it is corrupt or contains code, but weights are only tensors and "
            "plain values; use a file that `probunet train` wrote."
        ) from None
    except Exception as error:  # torch's reader raises many types for damaged bytes
        raise ProbunetError(
            f"{path}: corrupt ({type(error).__name__}); remove it and train the run again."
        ) from None
    if not isinstance(content, dict):
        raise ProbunetError(f"{path}: contains no weights; use a file that `probunet train` wrote.")
    return cast("dict[str, Any]", content)
