"""The runs, paths and settings of a configuration."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from probunet.config import check
from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.study import Config, read_source, read_study
from probunet.workflow.plan import Plan, each, exactly, one_of
from support.studies import PHANTOM, STREETS

OFFICIAL = {"cityscapes": {"source": "official"}}
KNEES = {"knees": {"source": "folder", "path": "knees", "size": [32, 64], "window": [0, 900]}}
RUN = {"model": "unet", "beta": "0.5", "fold": "1", "seed": "2"}


def plan_of(datasets: object = PHANTOM, **keys: object) -> Plan:
    return Plan(check(Config, {"datasets": datasets} | keys, "mine.yaml"), "mine.yaml")


def models_of(plan: Plan) -> list[tuple[str, str, float, int, int]]:
    return [(run.dataset, run.model, run.beta, run.fold, run.seed) for run in plan.runs]


@pytest.mark.parametrize(
    ("datasets", "keys", "runs"),
    [
        (PHANTOM, {}, 4 * 2),
        (PHANTOM, {"folds": 2, "beta": [1]}, 2),
        (PHANTOM, {"folds": 3, "beta": [0, 0.1, 1e-3], "seeds": [0, 5]}, 3 * 3 * 2),
        # beta applies to the models with a KL term only
        (PHANTOM, {"models": ["unet", "image2image_vae"]}, 4 * (1 + 2)),
        # the published split is one fold
        (STREETS, {}, 2),
        ({"cityscapes": {"source": "phantom", "split": "cities"}}, {"folds": 3}, 3 * 2),
        (PHANTOM | STREETS, {}, 4 * 2 + 2),
        (
            PHANTOM | STREETS,
            {"overrides": {"lidc": {"beta": [5]}, "cityscapes": {"seeds": [1, 2]}}},
            4 + 2 * 2,
        ),
    ],
)
def test_each_model_beta_fold_and_seed_is_a_run(
    datasets: object, keys: dict[str, object], runs: int
) -> None:
    plan = plan_of(datasets, **keys)
    assert len(set(models_of(plan))) == len(plan.runs) == runs


def test_an_ensemble_is_trained_member_by_member_and_sampled_as_one() -> None:
    plan = plan_of(
        folds=2, beta=[3], models=["unet", "unet_ensemble"], unet_ensemble={"members": 3}
    )
    [run] = [one for one in plan.runs if (one.model, one.fold) == ("unet_ensemble", 1)]
    assert [one.member for one in plan.trainings_of(run)] == [0, 1, 2]
    assert len(plan.all_trainings("weights.pt")) == 2 * (1 + 3)
    assert len(plan.all_runs("samples.zarr")) == 2 * 2
    assert plan.chosen_weights(run.wildcards) == [
        f"results/lidc/unet_ensemble/beta-3/fold-1/seed-0/member-{member}/weights.pt"
        for member in range(3)
    ]
    assert (plan.single_models, plan.ensembles) == ("unet", "unet_ensemble")


def test_paths_lie_below_the_configured_folders() -> None:
    paths = {"data": "../shared", "results": "mine"}
    plan = plan_of(paths=paths, evaluation={"weights": "last"}, beta=[0.5], models=["unet"])
    assert plan.store("lidc") == "../shared/lidc.zarr"
    assert plan.manifest("{dataset}") == "../shared/raw/{dataset}.manifest.json"
    run = Run("lidc", "unet", 0.5, 1, 0)
    assert plan.run("weights.pt").format(**run.wildcards) == f"mine/{run.folder}/weights.pt"
    assert plan.chosen_weights(run.wildcards) == [f"mine/{run.folder}/last.pt"]
    assert f"mine/{run.folder}" in plan.all_runs()


def test_wildcards_match_what_is_planned_and_nothing_else() -> None:
    constraints = plan_of(PHANTOM | KNEES, beta=[0.1, 10]).constraints
    for wildcard, value, other in (
        ("dataset", "knees", "cityscapes"),
        ("beta", "0.1", "0x1"),
        ("model", "probabilistic_unet", "unet"),
        ("part", "12", "a"),
    ):
        assert re.fullmatch(constraints[wildcard], value)
        assert not re.fullmatch(constraints[wildcard], other)
    assert not re.fullmatch(one_of([]), "")


@pytest.mark.parametrize(
    ("here", "downloaded_here", "by_jobs"),
    [(True, "cityscapes", "knees|lidc"), (False, "(?!)", "cityscapes|knees|lidc")],
)
def test_only_downloads_run_on_this_machine(here: bool, downloaded_here: str, by_jobs: str) -> None:
    plan = plan_of(PHANTOM | OFFICIAL | KNEES, fetch={"here": here})
    assert (plan.downloaded_here, plan.fetched_by_jobs) == (downloaded_here, by_jobs)


def test_fetch_shares_a_job_with_prepare_unless_several_jobs_prepare() -> None:
    assert plan_of().fetch_group == "prepare"
    assert plan_of(prepare={"jobs": 2}).fetch_group == "fetch"


def test_only_downloads_of_lidc_are_fetched_in_parts() -> None:
    lidc = {"dataset": "lidc"}
    several = plan_of({"lidc": {"source": "idc"}} | OFFICIAL, fetch={"jobs": 2})
    assert several.fetch_parts(lidc) == [
        f"data/raw/lidc.parts/{part}-of-2.manifest.json" for part in range(2)
    ]
    assert several.fetch_parts({"dataset": "cityscapes"}) == []
    assert plan_of({"lidc": {"source": "idc"}}).fetch_parts(lidc) == []
    assert plan_of(PHANTOM, fetch={"jobs": 2}).fetch_parts(lidc) == []


def test_stores_are_made_in_parts_by_several_jobs() -> None:
    knees = {"dataset": "knees"}
    plan = plan_of(KNEES, prepare={"jobs": 3})
    assert plan.prepare_parts(knees) == [f"data/knees.parts/{part}-of-3.zarr" for part in range(3)]
    assert plan_of(KNEES).prepare_parts(knees) == []


def test_the_user_s_files_are_inputs() -> None:
    plan = plan_of({"knees": KNEES["knees"] | {"folds_file": "mine.json"}} | PHANTOM)
    assert plan.fetch_inputs({"dataset": "knees"}) == ["knees/images.csv"]
    assert plan.folds_file({"dataset": "knees"}) == ["mine.json"]
    assert plan.fetch_inputs({"dataset": "lidc"}) == plan.folds_file({"dataset": "lidc"}) == []


def settings(plan: Plan, dataset: str, *keys: str, **options: Any) -> dict[str, Any]:
    text = plan.settings(*keys, **options)(RUN | {"dataset": dataset})
    read_study(text, dataset)  # the command takes it
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_step_of_a_data_set_depends_on_its_own_keys() -> None:
    knees = KNEES["knees"] | {"on_error": "skip", "folds_file": "mine.json"}
    plan = plan_of({"knees": knees, **PHANTOM})
    fetch = {"source": "folder", "path": "knees", "table": "images.csv"}
    prepare = fetch | {"size": [32, 64], "window": [0.0, 900.0], "on_error": "skip"}
    folds = prepare | {"folds_file": "mine.json"}
    assert settings(plan, "knees", source="fetch") == {"datasets": {"knees": fetch}}
    assert settings(plan, "knees", source="prepare") == {"datasets": {"knees": prepare}}
    parts = settings(plan, "knees", source="prepare", without="on_error")
    assert parts == {"datasets": {"knees": {k: v for k, v in prepare.items() if k != "on_error"}}}
    expected = {"datasets": {"knees": folds}, "folds": 4}
    assert settings(plan, "knees", "folds", source="folds") == expected


def test_a_fixed_split_does_not_depend_on_the_number_of_folds() -> None:
    for folds in (3, 4):
        plan = plan_of(PHANTOM | STREETS, folds=folds)
        assert settings(plan, "cityscapes", "folds", source="folds")["folds"] == 1
        assert settings(plan, "lidc", "folds", source="folds")["folds"] == folds


def test_where_the_images_are_is_no_setting_of_a_step() -> None:
    plan = plan_of(
        PHANTOM | STREETS,
        training={"data": "disk"},
        overrides={"lidc": {"training": {"data": "host"}}},
    )
    for dataset, place in (("lidc", "host"), ("cityscapes", "disk")):
        wildcards = RUN | {"dataset": dataset}
        assert plan.training_data(wildcards) == place
        assert "data" not in json.loads(plan.settings("training")(wildcards))["training"]


def test_settings_are_those_of_the_data_set_and_of_the_run_s_model_alone() -> None:
    overrides = {"lidc": {"training": {"steps": 5}, "m_heads": {"heads": 3}}}
    plan = plan_of(PHANTOM | STREETS, overrides=overrides)
    of_run = plan.settings("model", "training.precision", "training.steps")
    lidc = json.loads(of_run(RUN | {"dataset": "lidc", "model": "m_heads"}))
    assert lidc == {
        "m_heads": {"heads": 3, "others": 0.05},
        "training": {"precision": "auto", "steps": 5},
    }
    unet = json.loads(of_run(RUN | {"dataset": "cityscapes"}))
    assert unet == {"training": {"precision": "auto", "steps": 240_000}}


def test_steps_of_a_model_repeat_that_model_s_trainings_alone() -> None:
    plan = plan_of(training={"steps": 9, "model_steps": {"unet": 4, "unet_ensemble": 2}})
    of_run = plan.settings("training.steps", "training")
    for model, steps in (("unet", 4), ("unet_ensemble", 2), ("m_heads", 9)):
        training = json.loads(of_run(RUN | {"dataset": "lidc", "model": model}))["training"]
        assert training["steps"] == steps
        assert "model_steps" not in training


def test_more_scores_than_the_default_number_of_samples_are_accepted() -> None:
    plan = plan_of(evaluation={"samples": 100, "n": [1, 100]})
    text = plan.settings("evaluation.n")({"dataset": "lidc"})
    assert json.loads(text) == {"evaluation": {"n": [1, 100]}}
    assert read_study(text, "lidc").evaluation.n == (1, 100)


def test_the_commands_read_the_same_section_again() -> None:
    plan = plan_of(PHANTOM | OFFICIAL | KNEES)
    for name, source in plan.sources.items():
        text = plan.settings("folds", source="folds")({"dataset": name})
        again = read_study(text, name)
        assert read_source(again, name) == source
        assert again.folds_of(name) == plan.config.folds_of(name)


def test_sides_are_halved_as_often_as_the_data_set_s_networks_have_scales() -> None:
    plan = plan_of(PHANTOM | STREETS, overrides={"lidc": {"architecture": {"channels": [4, 8]}}})
    assert plan.multiple_of({"dataset": "lidc"}) == 2
    assert plan.multiple_of({"dataset": "cityscapes"}) == 2**6


def test_the_report_has_figures_of_each_data_set_and_more_of_some() -> None:
    plan = plan_of(PHANTOM | STREETS)
    shown = {(figure.dataset, figure.name) for figure in plan.figures("svg")}
    of_all = ("ged", "training", "reliability", "diversity")
    assert shown == {
        *(("lidc", name) for name in of_all),
        *(("cityscapes", name) for name in (*of_all, "modes", "switches")),
    }
    assert "results/figures/lidc/overview.tex" in plan.figure_files("pdf", "tex")


def test_the_report_reads_the_whole_configuration() -> None:
    plan = plan_of(report={"title": "$\\beta_{1}$"})
    assert json.loads(plan.whole({}))["report"]["title"] == "$\\beta_{1}$"


def test_options_are_repeated_for_each_input() -> None:
    of_job = each("--join", "parts")
    assert of_job({}, SimpleNamespace(parts=["a b", "c"])) == ["--join", "a b", "--join", "c"]
    assert exactly("{x}")({}) == "{x}"


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"paths": {"results": "a{b}"}}, "paths.results: a{b}"),
        ({"paths": {"data": "own{dataset}"}}, "paths.data: own{dataset} contains a brace"),
        ({"paths": {"data": "{{"}}, "paths.data: {{ contains a brace"),
        ({"paths": {"data": "<results>"}}, "paths.data: <results> contains a name in < and >"),
        ({"paths": {"results": "a<x>b"}}, "paths.results: a<x>b contains a name in < and >"),
        (
            {"containers": "docker://h/<x>-{kind}"},
            "containers: docker://h/<x>-data contains a name",
        ),
        (
            {"containers": "docker://h/{x}-{kind}"},
            "containers: docker://h/{x}-data contains a brac",
        ),
        ({"datasets": {"knees": {"source": "folder", "path": "<x>"}}}, "datasets.knees: <x>/"),
        ({"containers": "images{1}"}, "containers: images{1}"),
        ({"datasets": {"knees": {"source": "folder", "path": "{x}"}}}, "datasets.knees: {x}/"),
        ({"datasets": {"lidc": {"source": "phantom", "folds_file": "{x}"}}}, "datasets.lidc: {x}"),
    ],
)
def test_a_path_that_snakemake_would_read_as_a_pattern_is_an_error(
    keys: dict[str, object], where: str
) -> None:
    with pytest.raises(ProbunetError, match=re.escape(f"mine.yaml: {where}")):
        plan_of(**keys)  # type: ignore[arg-type]
    plan_of({"lidc": {"source": "local", "path": "{x}"}})  # no rule names this one


@pytest.mark.parametrize("character", [*" ;&|'\"(*~", "$1", "\\"])
def test_a_container_that_a_shell_would_read_as_more_is_an_error(character: str) -> None:
    """Snakemake writes it into a shell command without quotes."""
    for containers in (f"im{character}ages", f"docker://host/a{character}-{{kind}}:1.0"):
        with pytest.raises(ProbunetError, match=r"mine\.yaml: containers: .* does not quote"):
            plan_of(containers=containers)
    plan_of(containers="docker://host:5000/a_b/c-{kind}:1.0@sha256=0")


@pytest.mark.parametrize(
    "path", ["a}b", "a b", "q'u\"o", "a;b", "$ 5", "a&b|c>d", "*?[a]", "a,b:c"]
)
def test_other_characters_of_paths_stay(path: str) -> None:
    plan = plan_of({"lidc": {"source": "local", "path": path}}, paths={"data": path})
    assert plan.store("lidc") == f"{path}/lidc.zarr"


def test_paths_that_jobs_use_are_named() -> None:
    folder = {"source": "folder", "path": "/mnt/knees", "folds_file": "/mnt/folds/mine.json"}
    named = plan_of({"knees": folder}, paths={"data": "/mnt/data"}).named_paths()
    assert named == list(map(Path, ("/mnt/data", "results", "/mnt/knees", "/mnt/folds/mine.json")))
