"""Area under the risk-coverage curve, against all orders of the images."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.metrics.risk_coverage import aurc, excess_aurc

few = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def area(risk: list[float]) -> float:
    return float(np.mean([np.mean(risk[: k + 1]) for k in range(len(risk))]))


@given(st.lists(st.tuples(few, few), min_size=1, max_size=6))
@settings(deadline=None, max_examples=80)
def test_images_of_equal_confidence_are_averaged_over_all_their_orders(images):
    risk, uncertainty = np.array(images).T
    orders = [
        order
        for order in permutations(range(len(images)))
        if all(uncertainty[a] <= uncertainty[b] for a, b in pairwise(order))
    ]
    expected = np.mean([area([risk[i] for i in order]) for order in orders])
    assert aurc(risk, uncertainty) == pytest.approx(expected)
    best = min(area([risk[i] for i in order]) for order in permutations(range(len(images))))
    assert excess_aurc(risk, uncertainty) == pytest.approx(expected - best, abs=1e-12)
    assert excess_aurc(risk, risk) == pytest.approx(0, abs=1e-12)


def test_one_confidence_for_all_images_has_the_mean_risk():
    assert aurc(np.array([0.2, 0.4]), np.zeros(2)) == pytest.approx(0.3)


def test_images_without_a_score_have_no_part():
    risk, uncertainty = np.array([np.nan, 0.2, 0.4, 0.9]), np.array([0.0, 0.1, 0.2, np.nan])
    assert aurc(risk, uncertainty) == pytest.approx(np.mean([0.2, 0.3]))
    assert excess_aurc(risk, uncertainty) == pytest.approx(0)
    assert np.isnan(aurc(risk, np.full(4, np.nan)))
    assert np.isnan(excess_aurc(risk, np.full(4, np.nan)))
