"""The SIMD searches for lam against the plain kernel and each other; they need the compiler."""

import numpy as np
import pytest

from fastspline import Smoother, select_lam
from fastspline._abreast import LEAST_COLUMNS, MOST_KNOTS, Abreast
from fastspline._kernels import score_lanes, score_panels, scores
from fastspline._kernels.vector import LANES
from fastspline._score import scaled_weights, scores_at
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
    problem = (
        CRITERIA.index(criterion),
        gaps.h,
        scaled,
        1.0 / scaled,
        np.diff(y),
        0.3,
        np.empty((0, LANES)),
    )
    score_lanes.score_places(problem, places, scores, 1)
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


@pytest.mark.parametrize("criterion", [*CRITERIA, "rest", "robust"])
@pytest.mark.parametrize("n", [4, 5, 40, MOST_KNOTS])
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_columns_abreast_score_as_alone(kind, n, criterion, rng):
    number = {"robust": scores.ROBUST, "rest": scores.REST}.get(criterion)
    number = CRITERIA.index(criterion) if number is None else number
    knots, weights = make_knots(kind, n), make_weights("random", n)
    gaps = Smoother(knots, lam=0.0, weights=weights)._plan.solver.gaps
    rises = rng.standard_normal((n - 1, 3 * LANES))
    scaled = scaled_weights(gaps)
    places, columns = np.linspace(-13.0, 13.0, LANES), np.arange(3 * LANES)[::-3].copy()
    panels = Abreast(number, gaps, scaled, 1.0 / scaled, rises, 0.3, 1)
    found, alone = np.empty((columns.size, LANES)), np.empty(LANES)
    panels.score(panels.tabulate(places), columns, found, 0)
    for j, row in zip(columns, found, strict=True):
        own = rises[:, j].copy(), 0.3, np.empty((0, LANES))
        score_lanes.score_places((number, gaps.h, scaled, 1.0 / scaled, *own), places, alone, 0)
        np.testing.assert_array_equal(row, alone)  # to the last bit


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("n", [30, MOST_KNOTS + 1])
def test_columns_abreast_get_the_lam_of_each(n, criterion, rng):
    """Also those whose least score lies below the grid, and those on a line."""
    knots = make_knots("random", n)
    waves = np.sin(np.outer(knots, rng.uniform(1.0, 40.0, LEAST_COLUMNS)))
    values = waves + 10.0 ** rng.uniform(-9.0, 0.5, LEAST_COLUMNS) * rng.standard_normal(
        waves.shape
    )
    values[:, 1], values[:, 2] = np.exp(knots), knots
    values[:, 3] *= 1e250
    together = select_lam(knots, values, criterion=criterion)
    alone = [select_lam(knots, column, criterion=criterion) for column in values.T]
    np.testing.assert_array_equal(together, alone)
    assert np.isinf(together[2])
    assert np.isfinite(together).sum() > LEAST_COLUMNS // 2


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_one_specialisation_whatever_the_layout(rng):
    places = make_knots("random", 30)
    values = np.sin(9.0 * places)[:, np.newaxis] + rng.standard_normal((30, 2 * LEAST_COLUMNS))
    frozen = np.asfortranarray(values)
    frozen.flags.writeable = False
    for layout in (values, frozen, values[:, ::2], values[:, 0]):
        select_lam(places, layout, weights=np.ones(30))
        select_lam(places, layout)
    compiled = (
        score_lanes.search_columns, score_lanes.score_places, score_panels.score_panels,
        scores.score_columns, scores.subtract_lines,
    )  # fmt: skip
    for kernel in compiled:
        assert len(kernel.signatures) <= 1
