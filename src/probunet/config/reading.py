"""Read a configuration as its author means it: YAML and JSON without keys that are set twice.

YAML keeps the last of two equal keys, and reads some numbers in another base, both in silence.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from probunet.errors import ProbunetError

# files and options that set keys, each with its content; a later one replaces values of others
Places = Sequence[tuple[str, object]]

_TAG = "tag:yaml.org,2002:"
# 010, 1:30: YAML 1.1, which Snakemake reads, takes the first as octal and the second as base 60
_OTHER_BASE = re.compile(r"[-+]?0[0-7]+|[-+]?\d+(:[0-5]?\d)+(\.\d*)?")

_ABSENT = object()
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "null": "nothing",
    "timestamp": "a date",
}


def read_yaml(path: Path) -> Any:
    """Return the content of a file of YAML or JSON.

    Raises
    ------
    ProbunetError
        If it cannot be read, sets a key of a section twice, or has a key that is not text or a
        number that YAML reads in another base.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such file.") from None
    except UnicodeDecodeError:
        raise ProbunetError(f"{path}: is not text in UTF-8; save it as UTF-8.") from None
    except (OSError, ValueError) as error:  # a name with NUL
        raise ProbunetError(f"{path}: cannot be read ({error}).") from None
    try:
        json.loads(text)
    except ValueError:
        return _load(text, str(path))
    return read_json(text, str(path))  # as Snakemake does


def read_json(text: str, where: str) -> Any:
    """Return the content of JSON; raise ProbunetError as `read_yaml` does."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ProbunetError(f"{where}: not JSON: {error}") from None
    with suppress(yaml.YAMLError):  # JSON that is not YAML, such as very long keys
        _Loader(text.replace("\t", " "), where).get_single_node()
    return found


def where_set(places: Places, key: Sequence[object]) -> str:
    """Return the names of the places that set a key, joined; those of all places if none does.

    >>> places = [("a.yaml", {"folds": 2, "paths": {}}), ("b.yaml", {"folds": 3})]
    >>> where_set(places, ["folds"]), where_set(places, ["paths"]), where_set(places, ["beta"])
    ('b.yaml', 'a.yaml', 'a.yaml + b.yaml')
    """
    names: list[str] = []
    for name, content in places:
        value = _value(content, key)
        if value is not _ABSENT:
            names = [*names, name] if isinstance(value, Mapping) else [name]
    return " + ".join(names or [name for name, _ in places])


def _value(content: object, key: Sequence[object]) -> object:
    """Return what stands under a key, or the whole that stands in its place; else `_ABSENT`."""
    for part in key:
        if not isinstance(content, Mapping):  # such as a list, whose items have numbers
            break
        content = content.get(part, _ABSENT)
    return content


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with errors for what it would read silently."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self._where = where

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        text = node.value.replace("_", "")
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and _OTHER_BASE.fullmatch(text):
            value = yaml.safe_load(node.value)
            if ":" in text or int(text) != value:
                raise ProbunetError(
                    f"{self._where}: line {_line(node)}: YAML reads {node.value} as {value}; write "
                    f'{value}, or "{node.value}" for text.'
                )
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == f"{_TAG}merge" or not isinstance(key, yaml.ScalarNode):
                continue  # `<<` can be there for each anchor
            if key.tag != f"{_TAG}str":
                kind = _KINDS.get(key.tag.removeprefix(_TAG), "something else")
                raise ProbunetError(
                    f"{self._where}: line {_line(key)}: YAML reads the key {key.value} as {kind}, "
                    f'not as text; write it in quotes ("{key.value}"), or choose another name.'
                )
            if key.value in lines:
                raise ProbunetError(
                    f"{self._where}: lines {lines[key.value]} and {_line(key)} both set the key "
                    f"{key.value} of the same section, and only the last one would count; make "
                    "them one."
                )
            lines[key.value] = _line(key)
        return node


def _line(node: yaml.Node) -> int:
    number: int = node.start_mark.line
    return number + 1


def _load(text: str, where: str) -> Any:
    try:
        return _Loader(text, where).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ProbunetError(f"{where}: {line}not YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ProbunetError(f"{where}: not YAML: {error}") from None
