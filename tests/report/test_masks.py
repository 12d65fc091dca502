import numpy as np
import pytest

from probunet.metrics.bits import pack
from probunet.pictures import masks


def test_one_grader_disagrees_with_nobody() -> None:
    assert np.isnan(masks.disagreement(np.ones((1, 3, 3), bool)))
    assert masks.disagreement(np.zeros((3, 2, 2), bool)) == 0  # empty masks agree


@pytest.mark.parametrize("graders", [2, 3, 4])
def test_disagreement_is_of_all_pairs_self_pairs_included(graders: int) -> None:
    drawn = np.random.default_rng(graders).random((graders, 9, 7)) < 0.4
    pairs = [1 - (a & b).sum() / (a | b).sum() for a in drawn for b in drawn]
    assert masks.disagreement(drawn) == pytest.approx(np.mean(pairs))


def test_nothing_marked_has_no_box() -> None:
    assert masks.box(np.zeros((2, 5, 5), bool)) is None


def test_what_few_samples_mark_is_not_enlarged() -> None:
    drawn = np.zeros((8, 10, 12), bool)
    drawn[:2, 4:6, 3:9] = True
    drawn[0, 0, 0] = True  # one of eight: a stray pixel
    none = pack(np.zeros((10, 12), bool))
    shown = masks.ShownMasks()
    view = masks.view_masks(drawn, [1], subject="", name="", picture="")
    found = shown.drawn(view, pack(drawn), none)
    assert found["box"] == (3, 4, 9, 6)
    single = np.zeros((10, 12), bool)
    single[9, 11] = True
    found = shown.drawn(view, pack(drawn), pack(single))
    assert found["box"] == (3, 4, 12, 10)
