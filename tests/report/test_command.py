import json
import subprocess
from pathlib import Path

import yaml

from probunet.report.command import again
from probunet.study import read_config

ROOT = Path(__file__).parents[2]
CONFIG = {
    "datasets": {"lidc": {"source": "phantom"}},
    "report": {"title": "$(touch spoilt) `touch spoilt` 'a'\nEND_OF_STUDY\ntouch spoilt\n β"},
}


def test_pasted_command_writes_the_configuration_and_runs_by_it_alone(tmp_path: Path) -> None:
    called = tmp_path / "called"
    shell = f'snakemake() {{ printf "%s\\n" "$@" > "{called}"; }}\n{again(CONFIG)}\n'
    subprocess.run(["bash", "-eu"], input=shell, text=True, cwd=tmp_path, check=True)
    [written] = tmp_path.glob("study-*.yaml")
    assert yaml.safe_load(written.read_text()) == CONFIG
    assert called.read_text().split() == [
        "--cores",
        "all",
        "--configfile",
        written.name,
        "--replace-workflow-config",
    ]
    assert not (tmp_path / "spoilt").exists()


def test_each_configuration_has_a_file_of_its_own() -> None:
    assert again(CONFIG) == again(dict(CONFIG))
    names = {again(CONFIG | {"folds": folds}).split()[2] for folds in (4, 5)}
    assert len(names) == 2


def test_what_the_workflow_hands_over_is_the_whole_study() -> None:
    plan = read_config(ROOT / "config.yaml")
    text = again(plan.whole())
    body = text[text.index("\n") + 1 : text.index("END_OF_STUDY\nsnakemake")]
    found = type(plan).model_validate_json(json.dumps(yaml.safe_load(body)))
    assert [found.of(name) for name in plan.datasets.sections] == [
        plan.of(name) for name in plan.datasets.sections
    ]
