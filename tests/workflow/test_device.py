"""The device of training and sampling: passed to the commands, and no reason to repeat a step."""

import re
from pathlib import Path

import pytest

from probunet.config import check
from probunet.errors import ProbunetError
from probunet.study import Config
from support.studies import PHANTOM, printed


@pytest.mark.parametrize("device", [None, "cpu", "cuda", "mps"])
def test_the_device_is_passed_and_is_no_setting(tmp_path: Path, device: str | None) -> None:
    config = {"datasets": PHANTOM, "folds": 2, "beta": [1], "models": ["unet", "unet_ensemble"]}
    output = printed(tmp_path, config | ({"device": device} if device else {}), "-p")
    for verb in ("train", "sample"):
        commands = re.findall(rf"probunet {verb} --.*", output)
        assert len(commands) == 2 * (17 if verb == "train" else 2)
        for command in commands:
            assert f" --device {device or 'auto'} " in command
            assert (" --data auto " in command) is (verb == "train")
            assert '"device"' not in command


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ProbunetError, match=r"mine\.yaml: device: Input should be 'auto', 'cpu', "):
        check(Config, {"datasets": PHANTOM, "device": "gpu"}, "mine.yaml")
