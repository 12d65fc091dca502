"""The command that repeats a study, to paste into a shell."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import yaml


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)


def again(config: Mapping[str, Any]) -> str:
    r"""Return a command that repeats the study of this configuration in the project's folder.

    It writes the whole configuration, defaults included, to a file and runs the workflow with that
    file alone: later changes of `config.yaml`, and options of the first run, have no effect. Cores,
    profile and containers are left to the reader, since no result depends on them. The file's name
    depends on its content, so it overwrites no other study's. The here-document is safe: no line of
    YAML equals its last line, since each line of a mapping has a colon, a dash or an indentation.

    >>> print(again({"folds": 4}))
    cat > study-2ce4bfdf.yaml <<'END_OF_STUDY'
    folds: 4
    END_OF_STUDY
    snakemake --cores all --configfile study-2ce4bfdf.yaml --replace-workflow-config
    """
    text = as_yaml(config)
    file = f"study-{sha256(text.encode()).hexdigest()[:8]}.yaml"
    return (
        f"cat > {file} <<'END_OF_STUDY'\n{text}END_OF_STUDY\n"
        f"snakemake --cores all --configfile {file} --replace-workflow-config"
    )
