"""Every result of the library against 500 bits: all families of knots, weights and lam."""

import itertools

import numpy as np
import pytest

from bench.exactness import __main__ as exactness
from bench.exactness.exact import Case, ExactCircle, ExactPlan
from tests.oracles.beam import BeamSmoother
from tests.oracles.splines import ExactSmoother, rounded
from tests.support.strategies import make_knots, make_weights

pytestmark = pytest.mark.outer
REFERENCES = {"natural": ExactPlan, "periodic": ExactCircle}


def floats(numbers):
    return np.array([float(number) for number in numbers])


# --- the reference -----------------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "zeros"])
@pytest.mark.parametrize("kind", ["random", "clustered"])
@pytest.mark.parametrize("lam", [0.0, 1e-9, 1.0, 1e9, np.inf])
@pytest.mark.parametrize("n", [4, 12])
def test_the_reference_is_the_dense_solution(n, lam, kind, weight_kind, rng):
    x, w = make_knots(kind, n), make_weights(weight_kind, n)
    points = np.concatenate([x, 0.3 * x[1:] + 0.7 * x[:-1], [x[0] - 1.0, x[-1] + 2.0]])
    y, cotangent = rng.standard_normal(n), rng.standard_normal(points.size)
    oracle, exact = ExactSmoother(x, lam=lam, weights=w), ExactPlan(x, lam=lam, weights=w)
    for nu in range(4):
        matrix = rounded(oracle.matrix(points, nu))
        states = exact.fit(y)
        tiny = 1e-25 / np.diff(x).min() ** nu  # lam = 0 and inf are approached
        for actual, expected in (
            (exact.evaluate(states, points, nu), oracle.evaluate(y, points, nu)),
            (exact.adjoint(cotangent, points, nu), matrix.T @ cotangent),
        ):
            bound = 1e-14 * np.abs(matrix).sum() + tiny
            np.testing.assert_allclose(floats(actual), expected, rtol=0, atol=bound)
    hat = oracle.hat()
    levers, rest = exact.leverages()
    np.testing.assert_allclose(floats(levers), rounded(np.diag(hat)), rtol=1e-15, atol=0)
    np.testing.assert_allclose(floats(rest), rounded(1 - np.diag(hat)), rtol=1e-15, atol=1e-25)


@pytest.mark.parametrize("place", [-0.7, 0.05, 0.5, 1.3])
def test_the_reference_s_variance_is_that_of_one_more_value(place):
    """A value of weight 1 there would have leverage S = V / (1 + V)."""
    x = make_knots("random", 6)
    more = np.sort(np.append(x, place))
    i = int(np.searchsorted(more, place))
    lever = ExactSmoother(more, lam=0.01).hat()[i, i]
    (variance,) = ExactPlan(x, lam=0.01).variances([place])
    assert float(variance) == pytest.approx(float(lever / (1 - lever)), rel=1e-14)


@pytest.mark.parametrize("bc", ["natural", "periodic"])
@pytest.mark.parametrize("kind", ["uniform", "random", "clustered"])
@pytest.mark.parametrize("decades", [1.0, 8.0])
@pytest.mark.parametrize("lam", [1e-12, 1e-4, 1e3])
@pytest.mark.parametrize("n", [3, 4, 9])
def test_the_reference_is_a_loaded_beam(n, lam, decades, kind, bc, rng):
    """With roughness, round the circle, and third derivatives."""
    x, w = make_knots(kind, n), 10.0 ** rng.uniform(-decades, decades, n)
    roughness = 10.0 ** rng.uniform(-decades, decades, n - 1)
    points = np.concatenate([x, 0.3 * x[1:] + 0.7 * x[:-1], [x[0] - 1.3, x[-1] + 2.1]])
    beam = BeamSmoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    exact = REFERENCES[bc](x, lam=lam, weights=w, roughness=roughness)
    y, cotangent = rng.standard_normal(n), rng.standard_normal(points.size)
    states = exact.fit(y)
    for nu in range(4):
        matrix = beam.matrix(points, nu)
        for actual, expected in (
            (exact.evaluate(states, points, nu), matrix @ y),
            (exact.adjoint(cotangent, points, nu), matrix.T @ cotangent),
        ):
            bound = 1e-14 * float(np.abs(matrix).max())
            np.testing.assert_allclose(floats(actual), rounded(expected), rtol=1e-14, atol=bound)
    levers, rest = exact.leverages()
    expected = np.diag(beam.hat())
    np.testing.assert_allclose(floats(levers), rounded(expected), rtol=1e-14, atol=0)
    np.testing.assert_allclose(floats(rest), rounded(1 - expected), rtol=1e-14, atol=0)


@pytest.mark.parametrize("bc", ["natural", "periodic"])
@pytest.mark.parametrize("place", [0.05, 0.5, 0.93])
def test_the_reference_s_variance_with_roughness(place, bc):
    """A value of weight 1 there would have leverage S = V / (1 + V)."""
    x, roughness = np.linspace(0.0, 1.0, 7) ** 1.3, np.geomspace(1e-2, 1e3, 6)
    more = np.sort(np.append(x, place))
    i = int(np.searchsorted(more, place))
    split = np.insert(roughness, i, roughness[i - 1])
    lever = BeamSmoother(more, lam=0.01, bc=bc, roughness=split).hat()[i, i]
    (variance,) = REFERENCES[bc](x, lam=0.01, roughness=roughness).variances([place])
    assert float(variance) == pytest.approx(float(lever / (1 - lever)), rel=1e-14)


# --- the library -------------------------------------------------------------------------------

DESIGNS = [*itertools.product([3, 10, 100, 2000], exactness.KNOTS, exactness.WEIGHTS)]
DESIGNS += itertools.product([4, 5, 10, 100], ["groups", "pairs"], exactness.WEIGHTS)
WORST = [
    Case("uniform", 20_000, 1e12),
    Case("Chebyshev 2", 20_000, 1e-12, "6 decades"),
    Case("random", 20_000, 1e6),
    Case("groups", 20_000, 1e-12, "some zero"),
    Case("clustered", 20_000, np.inf),
]


@pytest.mark.parametrize(("n", "knots", "weights"), DESIGNS)
def test_every_result_is_exact_for_every_lam(n, knots, weights):
    for lam in exactness.LAMS[:: 2 if n > 1000 else 1]:
        errors = exactness.measure_errors(Case(knots, n, lam, weights))
        assert not exactness.exceeds(errors), lam


KINDS = [*exactness.KNOTS, "groups", "pairs"]
MORE = [*itertools.product([30], KINDS, exactness.WEIGHTS, ["natural"], ["4 decades"])]
MORE += itertools.product([30], KINDS, exactness.WEIGHTS, ["periodic"], exactness.ROUGHNESS)
MORE += itertools.product([30], KINDS, [exactness.EXTREME], exactness.ENDS, exactness.ROUGHNESS)


@pytest.mark.parametrize(("n", "knots", "weights", "bc", "roughness"), MORE)
def test_every_result_is_exact_with_roughness_round_the_circle_and_for_uneven_weights(
    n, knots, weights, bc, roughness
):
    for lam in exactness.LAMS[::2]:
        errors = exactness.measure_errors(Case(knots, n, lam, weights, bc, roughness))
        assert not exactness.exceeds(errors), lam


@pytest.mark.parametrize("case", WORST, ids=str)
def test_every_result_is_exact_for_many_knots(case):
    assert not exactness.exceeds(exactness.measure_errors(case))


def test_the_table_tells_the_worst_and_its_bound():
    (table,) = exactness.tables(exactness.run(quick=True)).values()
    rows = [line.split(" | ") for line in table.splitlines()[2:] if line.startswith("| ")]
    assert len(rows) > 15
    assert all(float(worst) <= float(bound.strip(" |")) for _, worst, bound in rows)


@pytest.mark.parametrize("seed", range(20))
def test_curvatures_of_few_knots_with_uneven_weights(seed, rng):
    """No larger second derivative stands beside their error: only innovations may enter."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.choice([1e-6, 1.0], 4 + seed % 5) * rng.uniform(0.5, 1.5, 4 + seed % 5))
    w, y = 10.0 ** rng.uniform(-3.0, 3.0, x.size), rng.standard_normal(x.size)
    for lam in (1e-6, 1.0, 1e6, 1e12):
        exact = ExactPlan(x, lam=lam, weights=w)
        expected = floats(exact.evaluate(exact.fit(y), x, 2))
        fitted = exactness.Smoother(x, lam=lam, weights=w).fit(y).second_derivatives
        assert np.abs(fitted - expected).max() <= 1e-12 * np.abs(expected).max(), lam


def test_a_wrong_result_exceeds():
    assert exactness.exceeds({"values": 1e-11, "df": 1e-12, "slopes": np.nan}) == pytest.approx(
        {"values": 1e-11, "slopes": np.nan}, nan_ok=True
    )
    assert exactness.exceeds({"float32 value": 1e-6}) == {"float32 value": 1e-6}
