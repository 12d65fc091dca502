"""The command that makes a study again, to paste into a shell."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import yaml


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a configuration as a person reads it."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)


def again(config: Mapping[str, Any]) -> str:
    r"""Return what makes the study of this configuration again, pasted in the project's folder.

    It writes the whole configuration, defaults included, to a file and runs the workflow by that
    file alone: nothing depends on what `config.yaml` has become since, or on how the workflow was
    called at the time. Cores, profile and containers are left to the reader, since no result
    depends on them. The file is named after what it holds, so that none of another study is lost.
    The shell takes all up to the last line of the here-document as it is; a line of YAML cannot be
    that one, since every line of a mapping has a colon, a dash or an indentation.

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
