"""The SIMD search for lam against the plain kernel; it needs the compiler."""

import numpy as np
import pytest

from fastspline import Smoother, select_lam
from fastspline._kernels import score_lanes, scores
from fastspline._kernels.vector import LANES
from fastspline._score import scores_at
from tests.support.strategies import KNOT_KINDS, make_knots, make_weights

CRITERIA = ["gcv", "loo", "reml"]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("n", [4, 5, 40, 513, 1100])
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_lanes_score_as_the_plain_kernel(kind, n, criterion, rng):
    knots, weights = make_knots(kind, n), make_weights("random", n)
    gaps = Smoother(knots, lam=0.0, weights=weights)._plan.solver.gaps
    y = np.sin(9.0 * knots) + rng.standard_normal(n)
    places, scores = np.linspace(-10.0, 13.0, LANES + 2), np.empty(LANES + 2)
    scaled = gaps.weights / gaps.top
    problem = (CRITERIA.index(criterion), gaps.h, scaled, 1.0 / scaled, np.diff(y), 0.3)
    score_lanes.score_places(problem, places, scores)
    for place, score in zip(places[1:-1], scores[1:-1], strict=True):
        lam = 0.3 * 10.0**place
        exact = scores_at(gaps, lam, y[:, np.newaxis])
        expected = getattr(exact, criterion)[0]
        if criterion == "gcv" and exact.rest < 0.99e-3 * n:
            assert score == np.inf  # no candidate
        elif criterion == "reml":  # the lanes leave the unit of the knots to others
            expected -= 2.0 * np.log(gaps.unit)
            assert abs(score - expected) <= 1e-12 * (abs(expected) + n)
        else:
            assert score * gaps.top == pytest.approx(expected, rel=2e-12)


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_one_specialisation_whatever_the_layout(rng):
    places = make_knots("random", 30)
    values = np.sin(9.0 * places)[:, np.newaxis] + rng.standard_normal((30, 8))
    frozen = np.asfortranarray(values)
    frozen.flags.writeable = False
    for layout in (values, frozen, values[:, ::2], values[:, 0]):
        select_lam(places, layout, weights=np.ones(30))
        select_lam(places, layout)
    for kernel in (score_lanes.search_columns, scores.score_columns, scores.subtract_lines):
        assert len(kernel.signatures) <= 1
