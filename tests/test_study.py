"""The whole configuration: what it states, what it refuses, and what a command reads of it."""

import json
from pathlib import Path
from typing import get_args

import pytest
import yaml
from snakemake.utils import update_config

from probunet.config import WITHOUT_KL, ModelName, Settings, check
from probunet.errors import ProbunetError
from probunet.study import (
    Config,
    Study,
    json_schema,
    read_config,
    read_source,
    read_study,
    read_whole,
    report_section,
)

ROOT = Path(__file__).parents[1]
PHANTOM = {"datasets": {"lidc": {"source": "phantom"}}}


def refused(**keys: object) -> str:
    with pytest.raises(ProbunetError) as caught:
        check(Config, PHANTOM | keys, "mine.yaml")
    message = str(caught.value)
    assert all(line.startswith("mine.yaml: ") for line in message.splitlines())
    return message.replace("mine.yaml: ", "")


def test_schema_is_the_exported_one():
    committed = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert committed == json_schema(), "run `make schema`"


def test_every_key_is_described():
    def undescribed(schema: dict[str, object], path: str) -> list[str]:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        return [f"{path}.{name}" for name, leaf in properties.items() if "description" not in leaf]

    schema = json.loads(json_schema())
    sections = {"config": schema, **schema["$defs"]}
    assert [key for name, part in sections.items() for key in undescribed(part, name)] == []


def test_config_yaml_states_the_defaults():
    datasets = {"lidc": {"source": "phantom"}, "cityscapes": {"source": "phantom"}}
    keys = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"datasets": datasets}
    written = check(Config, keys, "config.yaml")
    left_out = check(Config, {"datasets": datasets}, "defaults")
    assert written.of("lidc") == left_out.of("lidc")
    assert written.of("cityscapes") == left_out.of("cityscapes")
    assert written.of("cityscapes") != written.of("lidc")
    assert written.model_copy(update={"overrides": left_out.overrides}) == left_out


def test_an_override_goes_ahead_of_a_key_that_is_not_always_written():
    shared = {"datasets": {"lidc": {"source": "phantom"}}, "training": {"deterministic": True}}
    assert check(Config, shared, "").of("lidc").training.deterministic is True
    overrides = {"overrides": {"lidc": {"training": {"deterministic": False}}}}
    assert check(Config, shared | overrides, "").of("lidc").training.deterministic is False


def test_config_yaml_runs_lidc_and_one_line_more_runs_cityscapes_too():
    assert read_config(ROOT / "config.yaml").datasets.sections.keys() == {"lidc"}
    lines = (ROOT / "config.yaml").read_text().replace("  # cityscapes:", "  cityscapes:")
    both = check(Config, yaml.safe_load(lines), "config.yaml")
    assert list(both.datasets.sections) == ["lidc", "cityscapes"]


def test_demo_is_an_overlay():
    overlay = yaml.safe_load((ROOT / "workflow/demo.yaml").read_text())
    demo = check(Config, overlay, "demo.yaml")
    assert demo.datasets.lidc is not None
    assert demo.datasets.lidc.source == "phantom"


def test_the_demo_is_the_same_with_config_yaml_below_it_or_without():
    # Snakemake reads config.yaml where it is run in the source tree, and not elsewhere
    overlay = yaml.safe_load((ROOT / "workflow/demo.yaml").read_text())
    both = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(both, overlay)
    below, alone = check(Config, both, "both"), check(Config, overlay, "demo.yaml")
    for dataset in alone.datasets.sections:
        assert below.of(dataset) == alone.of(dataset)
    assert below.folds == alone.folds
    assert list(below.datasets.sections) == list(alone.datasets.sections)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fold": 3}, "fold: unknown key; remove it or correct its name."),
        ({"training": {"step": 3}}, "training.step: unknown key"),
        ({"folds": "4"}, "folds: Input should be a valid integer (found: '4')."),
        ({"folds": 0}, "folds: Input should be greater than or equal to 1"),
        (
            {"folds": 1},
            "folds: 1 is a fixed split, and lidc has none; set datasets.lidc.folds_file to "
            "a file with your split, or choose 2 or more.",
        ),
        (
            {"folds": 1, "datasets": {"mine": {"source": "folder", "path": "here"}}},
            "and mine has none; set datasets.mine.folds_file",
        ),
        ({"beta": [-1]}, "beta.0: Input should be greater than or equal to 0 (found: -1)."),
        ({"beta": ["a"]}, "beta.0: Input should be a valid number (found: 'a')."),
        ({"beta": [float("nan")]}, "beta.0: Input should be a finite number"),
        ({"beta": []}, "beta: is empty; name at least 1."),
        ({"beta": [1, 1.0]}, "beta: [1.0, 1.0] contains a value twice; remove one."),
        ({"models": []}, "models: is empty; name at least 1."),
        ({"models": ["unett"]}, "models.0: Input should be"),
        ({"training": {"crop": 100}}, "training.crop: 100 is not a multiple of 16"),
        ({"evaluation": {"samples": 4}}, "evaluation.n: 16 is more than the 4"),
        (
            {"models": ["hierarchical_probabilistic_unet"], "training": {"crop": 64}},
            "training.crop: 64 is not a multiple of 128, as 8 scales require",
        ),
        (
            {"models": ["ccdm"], "evaluation": {"sampling_steps": 251}},
            "evaluation.sampling_steps: 251 is more than the 250 of ccdm.diffusion_steps",
        ),
        ({"dropout_unet": {"probability": 1.0}}, "dropout_unet.probability: Input should be less"),
        (
            {"overrides": {"lidc": {"training": {"step": 3}}}},
            "overrides.lidc.training.step: unknown key",
        ),
        (
            {"overrides": {"lidc": {"evaluation": {"samples": 4}}}},
            "overrides.lidc: evaluation.n: 16 is more than the 4",
        ),
        (
            {"overrides": {"lidc": {"evaluation": {"bootstrap": 7}}}},
            "overrides.lidc.evaluation.bootstrap: must be the same for all data sets",
        ),
        ({"overrides": {"mnist": {}}}, "overrides.mnist: `datasets` has no mnist; remove it"),
        (
            {"datasets": {"cityscapes": {"source": "phantom", "size": [100, 512]}}},
            "datasets.cityscapes.size: 100 is not a multiple of 64, as 7 scales require.",
        ),
        (
            {"datasets": {"cityscapes": {"source": "local"}}},
            "datasets.cityscapes: `source: local` needs `path`",
        ),
        (
            {"datasets": {"lidc": {"source": "idc", "path": "LIDC-IDRI"}}},
            "datasets.lidc: `source: idc` downloads below `paths.data`; remove `path`",
        ),
        (
            {"datasets": {"cityscapes": {"path": "cityscapes"}}},
            "datasets.cityscapes: `source: official` downloads below `paths.data`; remove `path`",
        ),
        (
            {"datasets": {"cityscapes": {"source": "idc"}}},
            "datasets.cityscapes.source: Input should be 'official', 'phantom' or 'local'",
        ),
        ({"datasets": {"lidc": {"slices": "some"}}}, "datasets.lidc.slices: Input should be 'out"),
        ({"datasets": {"lidc": {"bucket": "a/b"}}}, "datasets.lidc.bucket: String should match"),
        ({"fetch": {"connections": 0}}, "fetch.connections: Input should be greater"),
        ({"fetch": {"megabytes_per_second": -1}}, "fetch.megabytes_per_second: Input should be"),
        ({"fetch": {"speed": 1}}, "fetch.speed: unknown key"),
        (
            {"augmentation": {"gamma": [2, 1]}},
            "augmentation: gamma: 2.0 must not be greater than 1.0",
        ),
        ({"m_heads": {"rank": 3}}, "m_heads.rank: unknown key"),
        ({"intensity": {"window": [400, -1000]}}, "intensity.window: 400.0 must be less than"),
        (
            {"datasets": {}},
            "datasets: names no data set; choose at least one of: lidc, cityscapes, or a "
            "folder of your own images",
        ),
        ({"datasets": {"lidc": {"source": "local"}}}, "datasets.lidc: `source: local` needs"),
        (
            {"datasets": {"lidc": {"source": "phantom", "patients": 3}}},
            "folds: 4 is more than the 3 of datasets.lidc.patients; choose 2 to 3.",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(keys, message):
    assert message in refused(**keys)


def test_an_overlay_can_ask_for_synthetic_images_instead_of_any_other():
    for below in ({"source": "local", "path": "mine"}, {"source": "idc", "slices": "all"}):
        assert check(Config, {"datasets": {"lidc": below | {"source": "phantom"}}}, "").datasets


def test_models_without_a_kl_are_trained_with_the_first_beta_alone():
    study = check(Config, PHANTOM | {"beta": [2.0, 1.0]}, "mine.yaml")
    for model in get_args(ModelName):
        assert study.betas_of(model) == ((2.0,) if model in WITHOUT_KL else (2.0, 1.0))


def test_all_mistakes_are_in_one_error():
    assert len(refused(fold=1, folds=0, beta=[-1, "x"]).splitlines()) == 4


def test_file_that_is_not_there_or_not_yaml(tmp_path):
    with pytest.raises(ProbunetError, match="no such file"):
        read_config(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("folds: [")
    with pytest.raises(ProbunetError, match="not YAML"):
        read_config(tmp_path / "bad.yaml")


def write(path: Path, **keys: object) -> str:
    path.write_text(yaml.safe_dump(PHANTOM | keys))
    return str(path)


def test_settings_from_file_json_and_nothing(tmp_path):
    assert read_study(None, "lidc") == Study()
    assert read_study('{"training": {"steps": 7}}', "lidc").training.steps == 7
    assert read_study(str(ROOT / "config.yaml"), "lidc").training == Settings().training
    # a command's settings need not fit what they leave out
    assert read_study('{"evaluation": {"samples": 4}}', "lidc").evaluation.samples == 4
    assert read_study('{"architecture": {"channels": [8, 8]}}', "lidc").scales == 2
    with pytest.raises(ProbunetError, match=r"--settings: training\.steps"):
        read_study('{"training": {"steps": 0}}', "lidc")
    with pytest.raises(ProbunetError, match="--settings: not JSON"):
        read_study('{"training": ', "lidc")


def test_settings_of_a_file_are_those_of_the_data_set(tmp_path):
    """Those of all, the data set's own before them, and the paper's for the data set after them."""
    text = write(
        tmp_path / "mine.yaml",
        datasets={"lidc": {"source": "phantom"}, "cityscapes": {"source": "phantom"}},
        training={"steps": 7, "batch": 5},
        overrides={"cityscapes": {"training": {"batch": 3}, "beta": [2.0]}},
    )
    lidc, cityscapes = read_study(text, "lidc"), read_study(text, "cityscapes")
    assert (lidc.training.steps, lidc.training.batch, lidc.beta) == (7, 5, (1.0, 10.0))
    assert (cityscapes.training.steps, cityscapes.training.batch) == (7, 3)
    assert cityscapes.beta == (2.0,)
    assert cityscapes.training.learning_rates == (1e-4, 5e-5, 1e-5)
    assert read_study('{"training": {"steps": 7}}', "cityscapes").training.batch == 16
    assert (lidc.folds_of("lidc"), cityscapes.folds_of("cityscapes")) == (4, 1)
    assert read_source(cityscapes, "cityscapes").size == (256, 512)


@pytest.mark.parametrize("as_json", [True, False])
def test_settings_without_the_data_set_name_those_that_they_have(tmp_path, as_json):
    text = json.dumps(PHANTOM) if as_json else write(tmp_path / "mine.yaml")
    where = "--settings" if as_json else r".*mine\.yaml"
    message = rf"^{where}: `datasets` has no knees, which --dataset asks for; it names lidc\.$"
    with pytest.raises(ProbunetError, match=message):
        read_study(text, "knees")


def test_a_source_that_is_not_set_is_asked_for():
    with pytest.raises(ProbunetError, match=r"has no section datasets\.lidc; add it"):
        read_source(read_study(None, "lidc"), "lidc")


def test_the_whole_from_file_and_json():
    assert read_whole('{"folds": 3}') == {"folds": 3}
    assert read_whole(str(ROOT / "config.yaml")) == read_config(ROOT / "config.yaml").whole()
    with pytest.raises(ProbunetError, match="--settings: not JSON"):
        read_whole('{"folds": ')


@pytest.mark.parametrize(
    ("containers", "torch"),
    [
        ("build", "containers/torch.sif"),
        ("/shared/images/", "/shared/images/torch.sif"),
        ("docker://host/probunet-{kind}:1.0", "docker://host/probunet-torch:1.0"),
    ],
)
def test_images_of_both_kinds(containers, torch):
    config = check(Config, PHANTOM | {"containers": containers}, "mine.yaml")
    assert config.container_of("torch") == torch
    assert config.container_of("data") == torch.replace("torch", "data")


MINE = {"source": "folder", "path": "/pictures"}
OWN_SIZES = MINE | {"size": "own"}


@pytest.mark.parametrize("name", ["copy", "names", "own", "json", "schema", "validate", "sections"])
def test_a_data_set_can_have_the_name_of_anything(name):
    data = {
        "datasets": {name: MINE, "lidc": {"source": "phantom"}},
        "overrides": {name: {"beta": [3]}},
    }
    config = check(Config, data, "mine.yaml")
    assert list(config.datasets.sections) == ["lidc", name]
    assert config.datasets.sections[name].path == MINE["path"]
    assert config.of(name).beta == (3.0,)
    assert read_source(config.of(name), name) == config.datasets.sections[name]
    again = check(Config, config.whole(), "again")
    assert again.whole() == config.whole()


def test_own_images_run_beside_the_others_under_any_name():
    config = check(
        Config,
        {
            "datasets": {
                "knees": MINE | {"size": [96, 128], "window": [0, 4095]},
                "lidc": {"source": "phantom"},
                "eyes2": MINE | {"table": "eyes.csv"},
            },
            "training": {"steps": 7},
            "overrides": {"knees": {"beta": [3], "training": {"batch": 5}}},
        },
        "mine.yaml",
    )
    assert list(config.datasets.sections) == ["lidc", "knees", "eyes2"]
    assert config.datasets.sections["knees"].size == (96, 128)
    assert config.datasets.sections["knees"].window == (0.0, 4095.0)
    assert config.datasets.sections["eyes2"].size is None
    knees, eyes = config.of("knees"), config.of("eyes2")
    assert (knees.training.steps, knees.training.batch, knees.beta) == (7, 5, (3.0,))
    assert eyes == config.of("lidc")  # the paper's values
    assert config.folds_of("knees") == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"datasets": {"lidk": {"source": "phantom"}}},
            "datasets.lidk.source: phantom is not a source of it: every data set that is not "
            "built in is a folder of your own images, `source: folder`",
        ),
        ({"datasets": {"mine": {"source": "folder"}}}, "datasets.mine.path: Field required"),
        ({"datasets": {"mine": MINE | {"siz": 3}}}, "datasets.mine.siz: unknown key"),
        (
            {"datasets": {"Mine": MINE}},
            "Mine: not a valid name of a data set; use lower-case",
        ),
        ({"datasets": {"a/b": MINE}}, "a/b: not a valid name of a data set"),
        ({"datasets": {"figures": MINE}}, "figures: not a valid name of a data set"),
        (
            {"datasets": {"mine": MINE | {"window": [5, 5]}}},
            "datasets.mine.window: 5.0 must be less than 5.0",
        ),
        (
            {"datasets": {"mine": MINE | {"size": [96, 100]}}},
            "datasets.mine.size: 100 is not a multiple of 16, as 5 scales require",
        ),
        (
            {"datasets": {"mine": MINE}, "overrides": {"mine": {"evaluation": {"crop": 64}}}},
            "overrides.mine.evaluation.crop: images of mine are not cropped",
        ),
        (
            {"datasets": {"mine": OWN_SIZES}, "overrides": {"mine": {"evaluation": {"crop": 64}}}},
            "overrides.mine.evaluation.crop: images of mine are sampled and scored whole; remove",
        ),
        (
            {"datasets": {"mine": OWN_SIZES}, "training": {"crop": 200}},
            "training.crop: 200 is not a multiple of 16, as 5 scales require",
        ),
        (
            {"datasets": {"mine": OWN_SIZES, "lidc": {"source": "phantom"}}}
            | {"training": {"crop": 256}},
            "training.crop: 256 is more than the 180 pixels of the crops of lidc; choose at most",
        ),
        (
            {"datasets": {"mine": MINE | {"size": "whole"}}},
            "datasets.mine.size: is no size; write `own`, or height and width, such as [256, 256]",
        ),
        (
            {"datasets": {"mine": MINE | {"size": [96]}}},
            "datasets.mine.size.1: Field required",
        ),
        (
            {"datasets": {"mine": MINE | {"size": [96, "own"]}}},
            "datasets.mine.size.1: Input should be a valid integer (found: 'own')",
        ),
    ],
)
def test_a_mistake_about_own_images(keys, message):
    assert message in refused(**keys)


def test_patches_of_own_sizes_have_a_side_of_their_own():
    overrides = {"mine": {"training": {"crop": 512}}}
    config = check(Config, {"datasets": {"mine": OWN_SIZES}, "overrides": overrides}, "a test")
    assert config.of("mine").training.crop == 512
    assert config.datasets.sections["mine"].size == "own"
    assert config.whole()["datasets"]["mine"]["size"] == "own"


def test_one_address_for_both_images_is_refused():
    assert "write {kind} instead of" in refused(containers="docker://host/probunet:1.0")


@pytest.mark.parametrize("file", ["config.yaml", "workflow/demo.yaml"])
def test_the_whole_configuration_read_again_is_the_same_study(file):
    plan = read_config(ROOT / file)
    more = {"cityscapes": {"source": "phantom"}, "mine": {"source": "folder", "path": "there"}}
    own = {"lidc": {"training": {"batch": 3}, "models": ["unet"]}}
    text = json.loads(plan.model_dump_json(exclude_unset=True))
    text["datasets"] |= more
    text.setdefault("overrides", {}).update(own)
    for data in (json.loads(plan.model_dump_json(exclude_unset=True)), text):
        first = check(Config, data, "first")
        again = check(Config, json.loads(json.dumps(first.whole())), "again")
        for name in first.datasets.sections:
            assert again.of(name) == first.of(name)
        assert again.datasets == first.datasets
        assert again.whole() == first.whole()


def test_one_fold_needs_a_split_by_a_file_or_the_publisher():
    published = check(Config, {"datasets": {"cityscapes": {"source": "phantom"}}, "folds": 1}, "")
    assert published.folds_of("cityscapes") == 1
    lidc = {"source": "phantom", "folds_file": "mine.json"}
    assert check(Config, {"datasets": {"lidc": lidc}, "folds": 1}, "").folds_of("lidc") == 1


def test_the_report_s_section_has_defaults_too():
    assert report_section({}).title == "Probabilistic U-Net"
    with pytest.raises(ProbunetError, match="--settings: report: examples: Input should be"):
        report_section({"report": {"examples": -1}})
