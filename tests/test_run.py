import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.errors import ProbunetError
from probunet.run import Run, format_beta

NAMES = st.sampled_from(["lidc", "cityscapes", "probabilistic_unet", "m_heads"])


@given(
    st.builds(
        Run,
        dataset=NAMES,
        model=NAMES,
        beta=st.floats(0, 1e6, allow_nan=False),
        fold=st.integers(0, 100),
        seed=st.integers(0, 2**31),
    )
)
def test_folder_and_run_are_inverse(run):
    assert Run.parse(f"some/where/{run.folder}") == run


def test_equal_betas_have_one_path():
    assert {format_beta(beta) for beta in (1, 1.0, 1e0)} == {"1"}
    assert format_beta(1e-7) == "0.0000001"


@pytest.mark.parametrize("folder", ["", "results", "lidc/m/beta-1/fold-x/seed-0", "a/b/beta-1"])
def test_other_folders_are_refused(folder):
    with pytest.raises(ProbunetError, match="not a run's folder"):
        Run.parse(folder)


def test_beta_that_is_no_number_is_refused():
    with pytest.raises(ProbunetError, match="not a run's folder"):
        Run.parse("lidc/probabilistic_unet/beta-one/fold-0/seed-0")
