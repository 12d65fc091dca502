"""Which weights an ensemble is made of; single files are refused in `test_draw`."""

from dataclasses import replace

import numpy as np
import pytest

from probunet.config.models import UNetEnsemble
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.metrics.bits import unpack
from probunet.run import Run
from support.weights import write_untrained

RUN = Run("discs", "unet_ensemble", 1.0, 0, 0)


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"unet_ensemble": UNetEnsemble(members=3)})


@pytest.fixture
def members(tmp_path, store, settings):
    runs = [replace(RUN, member=i) for i in range(4)]
    return [
        write_untrained(tmp_path / run.folder / "weights.pt", run, store, settings, "unet", seed=i)
        for i, run in enumerate(runs)
    ]


def test_sample_i_is_of_member_i(draw, members, store, folds, settings):
    given = [members[i] for i in (2, 0, 1)]  # the order does not matter
    stored = draw(given, store, folds, RUN, settings)
    assert stored.attributes.run == RUN.folder
    assert stored.attributes.weights_sha256 == tuple(map(sha256, members[:3]))
    assert stored.attributes.weights_step == (0, 1, 2)
    assert stored.prior_mean is None
    assert stored.reconstruction is None
    samples = unpack(np.asarray(stored.samples[:]), 32, 32)
    assert samples.shape == (6, 4, 32, 32)
    np.testing.assert_array_equal(samples[:, 3], samples[:, 0])
    assert not np.array_equal(samples[:, 1], samples[:, 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1], "unet_ensemble.members is 3; missing: the weights of member 2;"),
        ([2], "missing: the weights of members 0, 1;"),
        ([0, 1, 2, 1], "repeated: the weights of member 1;"),
        ([0, 1, 2, 3], "too many: the weights of member 3;"),
    ],
)
def test_members_are_given_once_each(
    tmp_path, draw, members, store, folds, settings, given, message
):
    with pytest.raises(ProbunetError, match=message):
        draw([members[i] for i in given], store, folds, RUN, settings)
    assert not (tmp_path / "samples.zarr").exists()


@pytest.mark.parametrize("other", [{"seed": 1, "member": 2}, {"model": "unet"}, {"member": None}])
def test_members_of_another_run_are_refused(tmp_path, draw, members, store, folds, settings, other):
    foreign = write_untrained(tmp_path / "w.pt", replace(RUN, **other), store, settings, "unet")
    with pytest.raises(ProbunetError, match=r"w\.pt: was trained for another run"):
        draw([*members[:2], foreign], store, folds, RUN, settings)


def test_a_member_alone_is_refused(draw, members, store, folds, settings):
    with pytest.raises(ProbunetError, match="member-1: a single member cannot be sampled"):
        draw(members[1:2], store, folds, replace(RUN, member=1), settings)
