import json
from pathlib import Path
from typing import get_args

import pytest
import yaml
from snakemake.utils import update_config

from probunet import config
from probunet.config import (
    WITHOUT_KL,
    Config,
    ModelName,
    Settings,
    check,
    json_schema,
    read_config,
    read_settings,
    read_whole,
)
from probunet.errors import ProbunetError

ROOT = Path(__file__).parents[1]
PHANTOM = {"datasets": {"lidc": {"source": "phantom"}}}


def refused(**keys: object) -> str:
    with pytest.raises(ProbunetError) as caught:
        check(Config, PHANTOM | keys, "mine.yaml")
    message = str(caught.value)
    assert all(line.startswith("mine.yaml: ") for line in message.splitlines())
    return message.replace("mine.yaml: ", "")


def test_schema_is_the_exported_one() -> None:
    committed = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert committed == json_schema(), "run `make schema`"


def test_every_key_is_described() -> None:
    def undescribed(schema: dict[str, object], path: str) -> list[str]:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        return [f"{path}.{name}" for name, leaf in properties.items() if "description" not in leaf]

    schema = json.loads(json_schema())
    sections = {"config": schema, **schema["$defs"]}
    assert [key for name, part in sections.items() for key in undescribed(part, name)] == []


def test_config_yaml_states_the_defaults() -> None:
    datasets = {"lidc": {"source": "phantom"}, "cityscapes": {"source": "phantom"}}
    keys = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"datasets": datasets}
    written = check(Config, keys, "config.yaml")
    left_out = check(Config, {"datasets": datasets}, "defaults")
    assert written.of("lidc") == left_out.of("lidc")
    assert written.of("cityscapes") == left_out.of("cityscapes")
    assert written.of("cityscapes") != written.of("lidc")
    assert written.model_copy(update={"overrides": left_out.overrides}) == left_out


def test_config_yaml_runs_lidc_and_one_line_more_runs_cityscapes_too() -> None:
    assert read_config(ROOT / "config.yaml").datasets.names == ["lidc"]
    lines = (ROOT / "config.yaml").read_text().replace("  # cityscapes:", "  cityscapes:")
    assert check(Config, yaml.safe_load(lines), "config.yaml").datasets.names == [
        "lidc",
        "cityscapes",
    ]


def test_demo_is_an_overlay() -> None:
    overlay = yaml.safe_load((ROOT / "workflow/demo.yaml").read_text())
    demo = check(Config, overlay, "demo.yaml")
    assert demo.datasets.lidc is not None
    assert demo.datasets.lidc.source == "phantom"


def test_the_demo_is_the_same_with_config_yaml_below_it_or_without() -> None:
    # Snakemake reads config.yaml where it is run in the source tree, and not elsewhere
    overlay = yaml.safe_load((ROOT / "workflow/demo.yaml").read_text())
    both = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(both, overlay)
    below, alone = check(Config, both, "both"), check(Config, overlay, "demo.yaml")
    for dataset in alone.datasets.names:
        assert below.of(dataset) == alone.of(dataset)
    assert below.folds == alone.folds
    assert below.datasets.names == alone.datasets.names


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fold": 3}, "fold: unknown key; remove it or correct its name."),
        ({"training": {"step": 3}}, "training.step: unknown key"),
        ({"folds": "4"}, "folds: Input should be a valid integer (given: '4')."),
        ({"folds": 1}, "folds: Input should be greater than or equal to 2"),
        ({"beta": [-1]}, "beta.0: Input should be greater than or equal to 0 (given: -1)."),
        ({"beta": ["a"]}, "beta.0: Input should be a valid number (given: 'a')."),
        ({"beta": [float("nan")]}, "beta.0: Input should be a finite number"),
        ({"beta": []}, "beta: is empty; name at least 1."),
        ({"beta": [1, 1.0]}, "beta: [1.0, 1.0] names a value twice."),
        ({"models": []}, "models: is empty; name at least 1."),
        ({"models": ["unett"]}, "models.0: Input should be"),
        ({"training": {"crop": 100}}, "training.crop: 100 is not a multiple of 16"),
        ({"evaluation": {"samples": 4}}, "evaluation.n: 16 is more than the 4"),
        (
            {"hierarchical_probabilistic_unet": {"channels": [8] * 8}, "training": {"crop": 64}},
            "training.crop: 64 is not a multiple of 128, which 8 scales need",
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
            "overrides.lidc.evaluation.bootstrap: is the same for all data sets",
        ),
        ({"overrides": {"mnist": {}}}, "overrides.mnist: `datasets` has no mnist; remove it"),
        (
            {"datasets": {"cityscapes": {"source": "phantom", "size": [100, 512]}}},
            "datasets.cityscapes.size: 100 is not a multiple of 64, which 7 scales need.",
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
        ({"augmentation": {"gamma": [2, 1]}}, "augmentation: gamma: 2.0 must not lie above 1.0"),
        ({"m_heads": {"rank": 3}}, "m_heads.rank: unknown key"),
        ({"intensity": {"window": [400, -1000]}}, "intensity: window: 400.0 must lie below"),
        (
            {"datasets": {}},
            "datasets: names no data set; choose at least one of: lidc, cityscapes, or images",
        ),
        ({"datasets": {"lidc": {"source": "local"}}}, "datasets.lidc: `source: local` needs"),
        (
            {"datasets": {"lidc": {"source": "phantom", "patients": 3}}},
            "folds: 4 is more than the 3 of datasets.lidc.patients; choose 2 to 3.",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(keys: dict[str, object], message: str) -> None:
    assert message in refused(**keys)


@pytest.mark.parametrize("dataset", ["lidc", "cityscapes"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3.example.org", "is not an address of the form http(s)://server[:port][/path]."),
        ("s3://bucket", "is not an address"),
        ("https://", "is not an address"),
        ("https://example.org:port/", "is not an address"),
        ("https://example.org/?token=s3cret", "is not an address"),
        ("https://me:s3cret@example.org", "holds a user's name or password, which would stand"),
        ("https://me:s3cret@example.org:port", "holds a user's name or password"),
        ("s3cret@example.org", "holds a user's name"),
        ("https://example.org/a b", "is not an address"),
    ],
)
def test_an_endpoint_is_an_address_without_secrets(dataset: str, url: str, message: str) -> None:
    told = refused(datasets={dataset: {"endpoint_url": url}})
    assert told.startswith(f"datasets.{dataset}.endpoint_url: {message}")
    assert "s3cret" not in told


def test_an_endpoint_may_have_a_port_and_a_path() -> None:
    for url in ("http://localhost:9000", "https://objects.example.org/mirrors/", "http://[::1]:80"):
        datasets = {"lidc": {"endpoint_url": url}}
        lidc = check(Config, {"datasets": datasets}, "").datasets.lidc
        assert lidc is not None
        assert (lidc.endpoint_url, lidc.source, lidc.slices) == (url, "idc", "outlined")


def test_an_overlay_can_ask_for_synthetic_images_instead_of_any_other() -> None:
    for below in ({"source": "local", "path": "mine"}, {"source": "idc", "slices": "all"}):
        assert check(Config, {"datasets": {"lidc": below | {"source": "phantom"}}}, "").datasets


def test_a_model_s_own_section_adds_to_the_architecture_and_goes_ahead_of_it() -> None:
    settings = check(Settings, {"architecture": {"latent_dim": 5}, "m_heads": {"heads": 7}}, "")
    shared = settings.architecture.model_dump(mode="json")
    assert settings.architecture_of("probabilistic_unet") == shared
    assert settings.architecture_of("m_heads") == shared | {"heads": 7, "others": 0.05}
    assert settings.architecture_of("image2image_vae") == shared | {"latent_dim": 3}
    hierarchical = settings.architecture_of("hierarchical_probabilistic_unet")
    geco = {"objective": "geco", "kappa": 0.05, "hard": 0.02, "decay": 0.99}
    assert hierarchical == shared | {"latent_scales": 4} | geco
    own = {"hierarchical_probabilistic_unet": {"channels": [8, 16]}}
    chosen = check(Settings, own, "").architecture_of("hierarchical_probabilistic_unet")
    assert chosen["channels"] == [8, 16]


def test_models_without_a_kl_are_trained_with_the_first_beta_alone() -> None:
    study = check(Config, PHANTOM | {"beta": [2.0, 1.0]}, "mine.yaml")
    for model in get_args(ModelName):
        assert study.betas_of(model) == ((2.0,) if model in WITHOUT_KL else (2.0, 1.0))


def test_all_mistakes_are_told_at_once() -> None:
    assert len(refused(fold=1, folds=0, beta=[-1, "x"]).splitlines()) == 4


def test_file_that_is_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(ProbunetError, match="no such file"):
        read_config(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("folds: [")
    with pytest.raises(ProbunetError, match="not YAML"):
        read_config(tmp_path / "bad.yaml")


def test_settings_from_file_json_and_nothing() -> None:
    assert read_settings(None) == Settings()
    assert read_settings('{"training": {"steps": 7}}').training.steps == 7
    whole = read_settings(str(ROOT / "config.yaml"))
    assert whole.training == Settings().training
    with pytest.raises(ProbunetError, match=r"--settings: training\.steps"):
        read_settings('{"training": {"steps": 0}}')
    with pytest.raises(ProbunetError, match="--settings: not JSON"):
        read_settings('{"training": ')


def test_the_whole_from_file_and_json() -> None:
    assert read_whole('{"folds": 3}') == {"folds": 3}
    assert read_whole(str(ROOT / "config.yaml")) == read_config(ROOT / "config.yaml").whole()
    with pytest.raises(ProbunetError, match="--config: not JSON"):
        read_whole('{"folds": ')


def test_module_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert config.json_schema().startswith('{\n  "$schema"')


def test_a_command_s_settings_need_not_fit_what_they_leave_out() -> None:
    assert read_settings('{"evaluation": {"samples": 4}}').evaluation.samples == 4
    assert read_settings('{"architecture": {"channels": [8, 8]}}').scales == 2


@pytest.mark.parametrize(
    ("containers", "torch"),
    [
        ("build", "containers/torch.sif"),
        ("/shared/images/", "/shared/images/torch.sif"),
        ("docker://host/probunet-{kind}:1.0", "docker://host/probunet-torch:1.0"),
    ],
)
def test_images_of_both_kinds(containers: str, torch: str) -> None:
    config = check(Config, PHANTOM | {"containers": containers}, "mine.yaml")
    assert config.image_of("torch") == torch
    assert config.image_of("data") == torch.replace("torch", "data")


MINE = {"source": "folder", "path": "/pictures"}


def test_images_of_ones_own_are_run_beside_the_others_under_any_name() -> None:
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
    assert config.datasets.names == ["lidc", "knees", "eyes2"]
    assert config.datasets.own["knees"].size == (96, 128)
    assert config.datasets.own["knees"].window == (0.0, 4095.0)
    assert config.datasets.own["eyes2"].size is None
    knees, eyes = config.of("knees"), config.of("eyes2")
    assert (knees.training.steps, knees.training.batch, knees.beta) == (7, 5, (3.0,))
    assert eyes == config.of("lidc")  # the paper's values
    assert config.folds_of("knees") == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"datasets": {"lidk": {"source": "phantom"}}},
            "datasets.lidk.source: phantom is no source of it: other data sets than lidc and",
        ),
        ({"datasets": {"mine": {"source": "folder"}}}, "datasets.mine.path: Field required"),
        ({"datasets": {"mine": MINE | {"siz": 3}}}, "datasets.mine.siz: unknown key"),
        ({"datasets": {"Mine": MINE}}, "Mine: cannot name a data set; a name is of small"),
        ({"datasets": {"a/b": MINE}}, "a/b: cannot name a data set"),
        ({"datasets": {"figures": MINE}}, "figures: cannot name a data set"),
        (
            {"datasets": {"mine": MINE | {"window": [5, 5]}}},
            "datasets.mine: window: 5.0 must lie below 5.0",
        ),
        (
            {"datasets": {"mine": MINE | {"size": [96, 100]}}},
            "datasets.mine.size: 100 is not a multiple of 16, which 5 scales need",
        ),
        (
            {
                "datasets": {"mine": MINE},
                "overrides": {"mine": {"evaluation": {"crop": 64}}},
            },
            "overrides.mine.evaluation.crop: is LIDC-IDRI's alone",
        ),
    ],
)
def test_a_mistake_about_images_of_ones_own(keys: dict[str, object], message: str) -> None:
    assert message in refused(**keys)


def test_one_address_for_both_images_is_refused() -> None:
    assert "write {kind} where the addresses" in refused(containers="docker://host/probunet:1.0")


@pytest.mark.parametrize("file", ["config.yaml", "workflow/demo.yaml"])
def test_the_whole_configuration_read_again_is_the_same_study(file: str) -> None:
    plan = read_config(ROOT / file)
    more = {"cityscapes": {"source": "phantom"}, "mine": {"source": "folder", "path": "there"}}
    own = {"lidc": {"training": {"batch": 3}, "models": ["unet"]}}
    text = json.loads(plan.model_dump_json(exclude_unset=True))
    text["datasets"] |= more
    text.setdefault("overrides", {}).update(own)
    for data in (json.loads(plan.model_dump_json(exclude_unset=True)), text):
        first = check(Config, data, "first")
        again = check(Config, json.loads(json.dumps(first.whole())), "again")
        for name in first.datasets.names:
            assert again.of(name) == first.of(name)
        assert again.datasets == first.datasets
        assert again.whole() == first.whole()
