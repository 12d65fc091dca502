"""The base class of all sections of `config.yaml`, and readable messages for all wrong keys."""

import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from probunet.errors import ProbunetError

Beta = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive]  # height and width, pixels
_ENDPOINT = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[^\s?#]*)?")
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def check_window(window: tuple[float, float]) -> tuple[float, float]:
    """Return a window of values; raise ValueError if its ends are not ascending."""
    if not window[0] < window[1]:
        raise ValueError(f"{window[0]} must be less than {window[1]}")
    return window


def check_endpoint(url: str) -> str:
    """Return a server's address; raise ValueError if it is malformed or contains a secret."""
    if "@" in url:
        raise ValueError(
            "contains a user name or password, which would appear in logs; use a public server"
        )
    if not _ENDPOINT.fullmatch(url):
        raise ValueError("is not an address of the form http(s)://server[:port][/path]")
    return url


Window = Annotated[tuple[float, float], AfterValidator(check_window)]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]


def check(model: type[M], data: object, where: str) -> M:
    """Return `data` as a `model`; raise one ProbunetError that names every wrong key."""
    try:
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        # a wrong item also makes its list too short; report the item only
        wrong = [e for e in error.errors() if e["type"] != "too_short" or not e["input"]]
        lines = [f"{where}: {advice(item)}" for item in wrong]
        raise ProbunetError("\n".join(lines)) from None


def advice(error: Any) -> str:
    """Return one of pydantic's errors as a sentence with the key."""
    key = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its name."
    if error["type"] == "too_short" and not error["input"]:
        return f"{key}: is empty; name at least {error['ctx']['min_length']}."
    if error["type"] == "model_type":
        return f"{key}: must be a section with keys." if key else "must contain keys."
    value = error["input"]
    # values refused by our own validators can contain a secret: do not print them
    is_printable = isinstance(value, str | int | float | bool) and error["type"] != "value_error"
    shown = f" (found: {value!r})" if is_printable else ""
    return f"{key}: {message}{shown}." if key else f"{message}."
