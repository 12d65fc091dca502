"""The base class of all sections of `config.yaml`, and readable messages for all wrong keys."""

import json
import os
import re
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from probunet.config.reading import Places, where_set
from probunet.errors import ProbunetError, printable

Beta = Annotated[float, Field(ge=0, le=1e6)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive]  # height and width, pixels
# what a class counts that neither of two label maps has, see `metrics.classes`
Absent = Literal["equal", "left_out"]
_ENDPOINT = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[^\s?#]*)?")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_NUMBERS = ("int_type", "int_parsing", "int_from_float", "float_type", "float_parsing")
_MISTAKES = 50  # that an error tells
_OPTION = "--config"  # of Snakemake
_OF_A_SHELL = re.compile(r"\$[{(]|`")  # what only a shell replaces
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors, and types are not converted.

    No number is infinite or NaN: neither JSON nor a network can do with them.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


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


def expand_path(path: str) -> str:
    """Return a path with `~`, `$NAME` and `${NAME}` replaced, as a shell does.

    Raises
    ------
    ValueError
        If it is empty, or no path of this system; if it names a variable that is not set, or a
        user who is not known; or if a shell would replace more of it.

    >>> expand_path("data/raw")
    'data/raw'
    """
    if not path or path != path.strip():
        raise ValueError(
            f"{path!r} is empty, or begins or ends with a space; write a path, or . for the folder "
            "where the workflow is started"
        )
    if _WINDOWS.match(path):
        raise ValueError(
            f"{path} is a path of Windows, and this program runs on Linux and macOS; write the "
            "path as it is called here (WSL: /mnt/c/... for C:\\...)"
        )

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not os.environ.get(name):
            raise ValueError(
                f"{path} names the variable {name}, which is not set in the environment; set it, "
                "or write the folder itself"
            )
        return os.environ[name]

    expanded = os.path.expanduser(_VARIABLE.sub(value, path))  # noqa: PTH111
    if odd := [character for character in expanded if printable(character) != character]:
        name = "NUL" if odd[0] == "\0" else repr(odd[0])
        raise ValueError(
            f"{expanded!r} contains the character {name}, which no path should have; in YAML, "
            "write a path with a backslash in single quotes, or without quotes"
        )
    if path.startswith("~") and expanded.startswith("~"):
        raise ValueError(f"{path} names a home folder that is not known; write the folder itself")
    if _OF_A_SHELL.search(_VARIABLE.sub("", path)):
        raise ValueError(
            f"in {path}, only ~, $NAME and ${{NAME}} can be replaced; write the folder itself, or "
            "set a variable to it"
        )
    return expanded


Window = Annotated[tuple[float, float], AfterValidator(check_window)]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]
PathText = Annotated[str, AfterValidator(expand_path)]  # `~` and variables are replaced


def check(model: type[M], data: object, where: str | Places) -> M:
    """Return `data` as a `model`; raise one ProbunetError that names every wrong key.

    Parameters
    ----------
    model
        A section, or all of the configuration.
    data
        Its keys and values.
    where
        The file or option that sets them, or all places, the last of which counts for a key.
    """
    places = [(where, data)] if isinstance(where, str) else where
    try:
        return model.model_validate_json(_as_json(data, places))
    except ValidationError as error:
        # a wrong item also makes its list too short; report the item only
        wrong = [e for e in error.errors() if e["type"] != "too_short" or not e["input"]]
        lines = [_line(item, where_set(places, item["loc"])) for item in wrong[:_MISTAKES]]
        if len(wrong) > _MISTAKES:
            lines.append(f"{where_set(places, ())}: and {len(wrong) - _MISTAKES} more mistakes.")
        raise ProbunetError(*lines) from None


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


def _as_json(data: object, places: Places) -> str:
    try:
        return json.dumps(data, default=str)
    except (ValueError, TypeError) as error:  # a section that contains itself, or an odd key
        raise ProbunetError(f"{where_set(places, ())}: has no JSON form: {error}.") from None


def _line(error: Any, where: str) -> str:
    """Return one of pydantic's errors as a line with its place, and what YAML made of a value."""
    cause = ""
    if not where.startswith("--"):  # an option, which is not YAML
        cause = _read_by_yaml(error["type"], error["input"])
    elif where == _OPTION and (len(error["loc"]) > 1 or error["type"] == "tuple_type"):
        cause = "Snakemake reads what lists and sections hold here as text: write the key in a "
        cause += "file, for --configfile."
    return f"{where}: {advice(error)} {cause}".rstrip()


def _read_by_yaml(kind: str, value: object) -> str:
    """Return what YAML made of a value of a wrong type, and how to write it; else nothing."""
    if value is None:
        return "YAML reads an empty value, ~ and null as nothing: write a value, or remove the key."
    if isinstance(value, bool) and kind in (*_NUMBERS, "string_type", "literal_error"):
        meant = "it in quotes" if kind == "string_type" else "another value"
        return f"YAML reads yes, no, on, off, true and false as true or false: write {meant}."
    if isinstance(value, int | float) and kind == "string_type":
        return "YAML reads it as a number: write it in quotes."
    if isinstance(value, str) and kind in _NUMBERS:
        number = _number(value)
        if number is None or (kind.startswith("int") and not isinstance(number, int)):
            return ""
        return f"YAML reads it as text, not as a number: write {_in_yaml(number)} without quotes."
    if isinstance(value, str) and kind == "literal_error" and value in ("true", "false"):
        return f"YAML reads it as text: write {value} without quotes."
    if isinstance(value, str | int | float) and kind == "tuple_type":
        number = _number(value) if isinstance(value, str) else value
        return f"Write a list: [{value if number is None else _in_yaml(number)}]."
    return ""


def _number(text: str) -> int | float | None:
    """Return the number in a text, whole if it is; None without a finite one."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _in_yaml(value: object) -> str:
    return str(yaml.safe_dump(value).split("\n")[0])
