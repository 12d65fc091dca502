"""Files of configuration, without what YAML would read otherwise than it is meant."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from probunet.errors import ProbunetError

# files and options that set keys, each with its content; a later one replaces values of others
Places = Sequence[tuple[str, object]]

_TAG = "tag:yaml.org,2002:"
# 010, 1:30: YAML 1.1, which Snakemake reads, takes the first as octal and the second as base 60
_UNUSUAL_NUMBER = re.compile(r"[-+]?0[0-7_]+|[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")

_ABSENT = object()
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "null": "nothing",
    "timestamp": "a date",
}


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML or JSON file.

    Raises
    ------
    ProbunetError
        If it cannot be read; and in cases of which YAML itself does not warn: a key stands twice,
        YAML does not read a key as text, or reads a number as octal or in base 60.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such file.") from None
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ProbunetError(f"{path}: is not text in UTF-8; save it as UTF-8.") from None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        loader = _Loader(text)
        loader.name = str(path)  # in messages
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ProbunetError(f"{path}: not YAML: {error}") from None


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

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and _UNUSUAL_NUMBER.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise ProbunetError(
                f"{_line(node)}: YAML reads {node.value} as {value}; write {value}, or "
                f'"{node.value}" for text.'
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if key.tag == f"{_TAG}merge" or not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag != f"{_TAG}str":
                kind = _KINDS.get(key.tag.removeprefix(_TAG), "something else")
                raise ProbunetError(
                    f"{_line(key)}: YAML reads the key {key.value} as {kind}, not as text; write "
                    f'it in quotes ("{key.value}"), or choose another name.'
                )
            if key.value in keys:
                raise ProbunetError(
                    f"{_line(key)}: {key.value} stands twice in one section, and YAML takes the "
                    "last; remove one."
                )
            keys.add(key.value)
        return node


def _line(node: Any) -> str:
    return f"{node.start_mark.name}: line {node.start_mark.line + 1}"
