"""Write the reference pages of configuration, commands and figures: `make reference`.

The pages are committed, so that they can be read on GitHub; a test compares them with the code.
"""

import json
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum, EnumType
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer

from probunet.cli import app
from probunet.study import Config, Datasets

FOLDER = Path(__file__).parent / "reference"
REAL_CT = Path(__file__).parents[1] / "benchmarks/results/lidc_crops.json"
MADE = "<!-- `make reference` writes this page from {source}; do not edit it. -->"
PLAIN = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true/false"}
OVERRIDES = "overridesdata-set"  # the anchor of the keys of one data set's overrides
FIRST = ("datasets", "folds", "beta", "models", "seeds")
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
GUESS = ("share_empty", "iou_with_outlines", "expected_distance", "of_an_empty_mask")
KINDS = {int: "whole number", float: "number", str: "text", Path: "path", bool: ""}


def config_page() -> str:
    """Return the reference of `config.yaml`: a section and a table for each part of it."""
    root = Config.model_json_schema()
    lines = [
        "# Configuration",
        "",
        MADE.format(source="src/probunet/study.py and src/probunet/config/"),
        "",
        "Every key of `config.yaml`. A key that is left out takes its default: the paper's value "
        "for LIDC-IDRI, if the paper has one, except `initialisation`. Unknown keys, keys that a "
        "section sets twice, and infinite numbers are errors. An editor with support for JSON "
        "schemas can complete and check the file with `workflow/schemas/config.schema.json`.",
        "",
        "When Snakemake loads a configuration that has the key `__use_yte__`, it runs code that is "
        "in the file. Such a file is refused, but only then: look for this key in a file that "
        "somebody else wrote.",
    ]
    for path, schema in _sections(root):
        lines += ["", f"## {_code(path) if path else 'Top level'}", "", schema["description"], ""]
        lines += _table(
            ["key", "default", "meaning"],
            [_key(path, name, part, root) for name, part in _in_order(schema["properties"])],
        )
        if schema.get("additionalProperties"):
            lines += ["", f"Any other name is a folder of your own images: {_free(path)}."]
    return "\n".join([*lines, "", *_paper(), ""])


def cli_page() -> str:
    """Return the reference of `probunet`: a section and a table for each command."""
    lines = [
        "# Commands",
        "",
        MADE.format(source="src/probunet/cli.py"),
        "",
        "The workflow calls these commands; you can type them, too. The exit code is 0 on success, "
        "1 after an error, with a message that says what to do, and 2 if an option is wrong. "
        "`probunet train` ends with 75 when it has saved a checkpoint before its time limit: run "
        "the same command again.",
        "",
        "`--settings` takes the path of a `config.yaml`, with the data set's `overrides`, or some "
        "of its keys as JSON. Keys that are left out take their defaults.",
    ]
    for words, command in _commands(typer.main.get_command(app), "probunet"):
        lines += ["", f"## {_code(words)}", "", command.help or "", ""]
        lines += _table(["option", "default", "meaning"], [_option(one) for one in command.params])
    return "\n".join([*lines, ""])


def _sections(root: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each section's path and schema, the root first; those of `overrides` once."""
    yield "", root | {"description": "The keys of the file itself, and its sections."}
    waiting = _in_order(root["properties"])
    while waiting:
        path, part = waiting.pop(0)
        name = _reference(part)
        if name is None:
            continue
        schema = root["$defs"][name]
        yield path, schema
        inner = [(f"{path}.{key}", one) for key, one in schema["properties"].items()]
        if path == "overrides":
            yield "overrides.<data set>", root["$defs"]["Overrides"]
        else:
            waiting = inner + waiting
        if path == "datasets":
            waiting.insert(len(inner), ("datasets.<name>", {"$ref": "#/$defs/FolderSource"}))


def _in_order(properties: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return keys and their schemas, starting with the keys that every study sets."""
    first = [(name, properties[name]) for name in FIRST if name in properties]
    return first + [item for item in properties.items() if item[0] not in FIRST]


def _reference(part: dict[str, Any]) -> str | None:
    """Return the section that a key holds, or None if it holds a value."""
    found = [one["$ref"] for one in [part, *part.get("anyOf", [])] if "$ref" in one]
    return found[0].rsplit("/", 1)[-1] if found else None


def _key(path: str, name: str, part: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """Return a key's row; a section links to its own table."""
    section, meaning = _reference(part), part.get("description", "")
    if section is None:
        return [_code(name), _default(part), _with_type(meaning, _type(part), _bounds(part))]
    if path.startswith("overrides."):
        anchor = name
    elif path == "overrides":
        anchor = OVERRIDES
    else:
        anchor = _anchor(f"{path}.{name}" if path else name)
    required = name in root.get("required", [])
    return [f"[{_code(name)}](#{anchor})", "required" if required else "", meaning]


def _type(part: dict[str, Any]) -> str:
    """Return what a value is, in words."""
    if "anyOf" in part:
        kinds = [_type(one) for one in part["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in part:
        return _code(part["const"])
    if "enum" in part:
        return "one of " + ", ".join(_code(json.dumps(one).strip('"')) for one in part["enum"])
    if part["type"] == "array":
        if "prefixItems" in part:
            return f"list of {len(part['prefixItems'])}: {_type(part['prefixItems'][0])}"
        return f"list: {_type(part['items'])}"
    if part["type"] == "object":
        return f"names with {_type(part['additionalProperties'])}"
    return PLAIN[part["type"]]


def _default(part: dict[str, Any]) -> str:
    if "default" not in part:
        return "required"
    return "" if part["default"] is None else _value(part["default"])


def _bounds(part: dict[str, Any]) -> str:
    """Return the bounds of a value, or of the values in a list."""
    texts: list[str] = []
    for one in [part, *part.get("anyOf", [])]:
        texts += [text.format(_number(one[key])) for key, text in BOUNDS.items() if key in one]
        for item in [one.get("items"), *one.get("prefixItems", [])[:1]]:
            if item and (inner := _bounds(item)):
                texts.append(f"each {inner}")
        if "prefixItems" not in one:
            if least := one.get("minItems"):
                texts.append(f"at least {least} of them")
            if most := one.get("maxItems"):
                texts.append(f"at most {most} of them")
        if "pattern" in one:
            texts.append(f"matches {_code(one['pattern'])}")
    return ", ".join(texts)


def _paper() -> list[str]:
    """Return the table of the paper's values for data sets that differ from the defaults."""
    lines = ["## The paper's values for Cityscapes", ""]
    lines += [
        "For Cityscapes, these values replace the defaults. A value for all data sets in "
        "`config.yaml` replaces them, and a value in `overrides.cityscapes` replaces both.",
        "",
    ]
    defaults = json.loads(Config.model_validate({"datasets": {"lidc": {}}}).model_dump_json())
    rows = [
        [_code(f"{section}.{key}"), _value(defaults[section][key]), _value(value)]
        for section, keys in _section("cityscapes").paper.items()
        for key, value in keys.items()
    ]
    return lines + _table(["key", "LIDC-IDRI", "Cityscapes"], rows)


def _section(dataset: str) -> Any:
    """Return the class of a built-in data set's section."""
    return get_args(Datasets.model_fields[dataset].annotation)[0]


def _commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Yield each command that is not a group, with the words that call it."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name in command.list_commands(None):
        yield from _commands(command.commands[name], f"{words} {name}")


def _option(option: Any) -> list[str]:
    """Return an option's row."""
    names = [option.name.upper()] if option.param_type_name == "argument" else option.opts
    named = ", ".join(_code(one) for one in [*names, *option.secondary_opts])
    default = "required" if option.required else _option_default(option.default)
    kind = "" if getattr(option, "is_flag", False) else _kind(option.type_descriptor.annotation)
    bounds = [("at least", option.min), ("at most", option.max)]
    limits = ", ".join(f"{text} {_number(value)}" for text, value in bounds if value is not None)
    return [named, default, _with_type(option.help or "", kind, limits)]


def _option_default(value: Any) -> str:
    if value is None or value is False or value == []:
        return ""
    if value == Path():
        return "this folder"
    return _value(str(value) if isinstance(value, Path | Enum) else value)


def _kind(annotation: Any) -> str:
    """Return what an option takes, from its annotation."""
    parts = [one for one in get_args(annotation) if one is not type(None)]
    origin = get_origin(annotation)
    if origin is typing.Annotated or origin in (Union, types.UnionType):
        return _kind(parts[0])
    if origin is Literal:
        return "one of " + ", ".join(_code(one) for one in parts)
    if origin is list:
        return f"{_kind(parts[0])}, several"
    if origin is tuple:
        return f"{len(parts)} times {_kind(parts[0])}"
    if isinstance(annotation, EnumType):
        return "one of " + ", ".join(_code(name) for name in annotation.__members__)
    return KINDS[annotation]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    body = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in [head, *rows]]
    lines = [f"| {row} |" for row in body]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _with_type(meaning: str, kind: str, bounds: str) -> str:
    """Return a meaning, followed by the value's type and its bounds."""
    text = ", ".join(part for part in (kind, bounds) if part)
    return f"{meaning} *{text[0].upper()}{text[1:]}.*".lstrip() if text else meaning


def _value(value: Any) -> str:
    return _code(value if isinstance(value, str) else json.dumps(value, default=str))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else "empty"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub and MyST give a heading."""
    kept = "".join(one for one in heading.lower() if one.isalnum() or one in " -_")
    return kept.replace(" ", "-")


def _free(path: str) -> str:
    """Return a link to the keys of a data set that is not built in."""
    link = "datasetsname" if path == "datasets" else OVERRIDES
    return f"[its keys](#{link})"


def real_ct_page(path: Path = REAL_CT) -> str:
    """Return the figures of the study of real CT: scores, cost, pairs and single guesses."""
    study = json.loads(path.read_text(encoding="utf-8"))
    models = study["models"]
    scores = {name: one["scores"] for name, one in models.items()} | study["others"]
    trainings = {name: one["training"] for name, one in models.items()}
    targets = next(one["to_ged"] for one in trainings.values() if "to_ged" in one)
    numbers = list(next(iter(scores.values())))
    first, most = next(iter(models)), max(numbers, key=int)
    pairs = {name: of[most] for name, of in study["paired"].items() if most in of}
    guesses = {name: one["single best guess"] for name, one in models.items()}
    lines = [
        "# Figures of real CT",
        "",
        MADE.format(source="benchmarks/results/lidc_crops.json"),
        "",
        "`benchmarks/lidc_crops.py` runs `workflow/lidc-crops.yaml` and collects these figures.",
        "",
        *_about(study, trainings),
        "",
        "They say what each model reaches in this time, not what it reaches at last. The intervals "
        "do not include the variation between trainings. Published figures do not compare: they "
        "are of [other crops](../explanation/differences.md#lidc-sets-in-the-literature), other "
        "splits and longer trainings.",
        "",
        "## Scores",
        "",
        f"Of the test patients, with 95 % intervals over patients; HM-IoU and NCC at n = {most}.",
        "",
        *_table(
            ["predictor", *(f"GED, n = {n}" for n in numbers), "HM-IoU", "NCC"],
            [
                [_code(name), *(_ged(of.get(n)) for n in numbers), *_others(of.get(most))]
                for name, of in scores.items()
            ],
        ),
        "",
        "## Cost",
        "",
        "Time of a step without validation; time of training with it; minutes (and steps) until a "
        "validation GED is reached.",
        "",
        *_table(
            ["model", "parameters", "step", "steps", "minutes", *targets],
            [[_code(name), *_cost(one, targets)] for name, one in trainings.items()],
        ),
        "",
        "## Pairs",
        "",
        f"GED of `{first}` minus that of the other predictor on the same patients, n = {most}.",
        "",
        *_table(
            ["other predictor", "difference", "95 % interval"],
            [
                [_code(name), f"{of['difference']:+.3f}", f"{of['low']:+.3f} to {of['high']:+.3f}"]
                for name, of in pairs.items()
            ],
        ),
        "",
        "## Single guesses",
        "",
        "Each model's single best segmentation: how often it is empty, its mean IoU with the "
        "readers' outlines, and its mean distance to the readers' masks beside that of an empty "
        "mask. [One mask can be worse than none]"
        "(../explanation/method.md#why-one-mask-can-be-worse-than-none).",
        "",
        *_table(
            ["model", "empty", "IoU with outlines", "E[d]", "E[d] of an empty mask"],
            [[_code(name), *(f"{of[key]:.3f}" for key in GUESS)] for name, of in guesses.items()],
        ),
    ]
    return "\n".join([*lines, ""])


def _about(study: dict[str, Any], trainings: dict[str, Any]) -> list[str]:
    """Return set, budget and machine of the study."""
    about, machine = study["set"], study["machine"]
    arithmetic = sorted({text for one in trainings.values() for text in one["arithmetic"]})
    minutes = [f"{one['minutes']:.0f}" for one in trainings.values()]
    low, high = min(minutes, key=int), max(minutes, key=int)
    parts = ", ".join(
        f"{count} for {part} ({about['crops of the parts'][part]:,} crops)"
        for part, count in about["patients"].items()
    )
    return [
        f"- **Set**: {about['crops']:,} crops of LIDC-IDRI-slices (protocol "
        f"`{about['protocol']}`), their central {about['side of a crop, pixels']} pixels a side. "
        f"Patients: {parts}.",
        f"- **Budget**: {low if low == high else f'{low} to {high}'} minutes of training for each "
        f"model, all members of an ensemble together, in batches of {study['settings']['batch']}; "
        "one split, one seed. Minutes are those of the steps on an otherwise idle machine.",
        f"- **Machine**: {machine['cores']} CPU cores, PyTorch {machine['torch']}, "
        f"{'; '.join(arithmetic)}.",
    ]


def _ged(of: dict[str, float] | None) -> str:
    """Return a GED with its interval."""
    return "" if of is None else "{ged:.3f} ({ged_low:.3f} to {ged_high:.3f})".format(**of)


def _others(of: dict[str, float | None] | None) -> list[str]:
    """Return HM-IoU and NCC, blank where they are undefined."""
    found = [(of or {}).get(name) for name in ("hm_iou", "ncc_softmax")]
    return ["" if value is None else f"{value:.3f}" for value in found]


def _cost(training: dict[str, Any], targets: Iterable[str]) -> list[str]:
    """Return the cells of a model's training."""
    count, steps = training["trainings"], f"{training['steps'][0]:,}"
    cells = [
        f"{training['parameters'] / 1e6:.1f} M",
        f"{training['seconds_per_step']:.2f} s",
        f"{count} x {steps}" if count > 1 else steps,
        f"{training['minutes']:.0f}",
    ]
    for target in targets:
        found = training.get("to_ged", {}).get(target)
        cells.append("" if found is None else f"{found['minutes']:.1f} ({found['steps']:,})")
    return cells


PAGES = {"config.md": config_page, "cli.md": cli_page}
if REAL_CT.exists():
    PAGES["real-ct.md"] = real_ct_page

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
