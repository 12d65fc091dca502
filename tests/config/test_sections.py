"""Single sections: addresses, and what a model is built from."""

import pytest

from probunet.config import Settings, check
from probunet.config.training import Training
from probunet.datasets.cityscapes.config import CityscapesSource
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.lidc.config import LidcSource
from probunet.errors import ProbunetError


@pytest.mark.parametrize("section", [LidcSource, CityscapesSource])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3.example.org", "is not an address of the form http(s)://server[:port][/path]."),
        ("s3://bucket", "is not an address"),
        ("https://", "is not an address"),
        ("https://example.org:port/", "is not an address"),
        ("https://example.org/?token=s3cret", "is not an address"),
        ("https://me:s3cret@example.org", "contains a user name or password, which would appear"),
        ("https://me:s3cret@example.org:port", "contains a user name or password"),
        ("s3cret@example.org", "contains a user name"),
        ("https://example.org/a b", "is not an address"),
    ],
)
def test_an_endpoint_is_an_address_without_secrets(section, url, message):
    with pytest.raises(ProbunetError) as refused:
        check(section, {"endpoint_url": url}, "here")
    assert str(refused.value).startswith(f"here: endpoint_url: {message}")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:9000", "https://objects.example.org/mirrors/", "http://[::1]:80"]
)
def test_an_endpoint_may_have_a_port_and_a_path(url):
    lidc = LidcSource(endpoint_url=url)
    assert (lidc.endpoint_url, lidc.source, lidc.slices) == (url, "idc", "outlined")


def test_a_model_s_own_section_adds_to_the_architecture_and_goes_ahead_of_it():
    settings = check(Settings, {"architecture": {"latent_dim": 5}, "m_heads": {"heads": 7}}, "")
    shared = settings.architecture.model_dump(mode="json")
    assert settings.architecture_of("probabilistic_unet") == shared
    assert settings.architecture_of("m_heads") == shared | {"heads": 7, "others": 0.05}
    assert settings.architecture_of("image2image_vae") == shared | {"latent_dim": 3}
    hierarchical = settings.architecture_of("hierarchical_probabilistic_unet")
    released = {"channels": [24, 48, 96, *[192] * 5], "latent_scales": 4, "blocks": 3}
    geco = {"objective": "geco", "kappa": 0.05, "hard": 0.02, "decay": 0.99}
    assert hierarchical == shared | released | geco
    for channels, expected in (([8, 16], [8, 16]), (None, shared["channels"])):
        own = {"hierarchical_probabilistic_unet": {"channels": channels}}
        chosen = check(Settings, own, "").architecture_of("hierarchical_probabilistic_unet")
        assert chosen["channels"] == expected


def test_a_key_that_came_later_repeats_no_training_while_it_is_not_set():
    """Keys of the section are parameters of finished steps."""
    assert "deterministic" not in Training().model_dump(mode="json")
    for value in (True, False):
        assert Training(deterministic=value).model_dump(mode="json")["deterministic"] is value


def test_a_step_depends_on_the_keys_that_it_uses():
    """And not on any other: a change in those does not repeat it."""
    lidc = LidcSource(source="phantom", on_error="skip", folds_file="mine.json")
    assert "protocol" not in lidc.for_step("fetch")
    assert "on_error" not in lidc.for_step("fetch")
    assert lidc.for_step("prepare").keys() - lidc.for_step("fetch").keys() == {
        "on_error",
        "protocol",
    }
    assert lidc.for_step("folds").keys() - lidc.for_step("prepare").keys() == {"folds_file"}
    scenes = CityscapesSource(source="phantom")
    assert scenes.for_step("prepare").keys() - scenes.for_step("fetch").keys() == {
        "on_error",
        "size",
    }
    assert "split" in scenes.for_step("folds").keys() - scenes.for_step("prepare").keys()
    own = FolderSource(source="folder", path="here", size=(16, 16), window=(0.0, 1.0))
    assert {"size", "window"} <= own.for_step("prepare").keys() - own.for_step("fetch").keys()


def test_a_model_can_have_steps_of_its_own():
    settings = check(Settings, {"training": {"steps": 9, "model_steps": {"unet": 4}}}, "")
    for model, steps in (("unet", 4), ("m_heads", 9), ("", 9)):
        training = settings.of_model(model).training
        assert (training.steps, training.model_steps) == (steps, {})
    same = check(Settings, {"training": {"steps": 4}}, "")
    assert settings.of_model("unet") == same.of_model("unet") == same


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model_steps": {"u_net": 4}}, "here: training.model_steps.u_net"),
        ({"model_steps": {"unet": 0}}, "here: training.model_steps.unet: Input should be greater"),
        (
            {"model_steps": {"unet": 4}, "warm_up": 4},
            "here: training: warm_up: 4 must be less than model_steps.unet, 4",
        ),
    ],
)
def test_wrong_steps_of_a_model_are_named(keys, message):
    with pytest.raises(ProbunetError, match=message):
        check(Settings, {"training": keys}, "here")
