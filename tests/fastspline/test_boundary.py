"""Given end slopes, periodic splines and roughness weights, against dense algebra at 100 digits."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from fastspline import Smoother
from tests.oracles.beam import BeamSmoother
from tests.oracles.splines import ExactSmoother, HermiteSmoother, exact, rounded
from tests.support.strategies import KNOT_KINDS, designs, knots, make_knots, make_points

EXACT, CLOSE = 1e-12, 1e-11
LAMS = [0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12, np.inf]
SLOPES = ("slope", 2.0, -1.0)
BOUNDARIES = ["natural", SLOPES, "periodic"]


def make_roughness(n):
    return 10.0 ** np.random.default_rng(7).uniform(-1.0, 1.0, n - 1)


def test_the_oracles_agree():
    x, w = make_knots("random", 9), np.linspace(0.0, 2.0, 9)
    y = np.random.default_rng(0).standard_normal((9, 2))
    points = make_points(x)
    for nu in range(3):
        ours = HermiteSmoother(x, lam=1e-3, weights=w).evaluate(y, points, nu)
        np.testing.assert_allclose(
            ours,
            ExactSmoother(x, lam=1e-3, weights=w).evaluate(y, points, nu),
            rtol=1e-13,
            atol=1e-90,
        )


@pytest.mark.parametrize(
    ("bc", "rough"),
    [("natural", True), (SLOPES, False), (SLOPES, True), ("periodic", False), ("periodic", True)],
    ids=str,
)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_values_and_derivatives(bc, kind, lam, rough):
    n = 14
    x = make_knots(kind, n)
    rng = np.random.default_rng(3)
    w, y = 10.0 ** rng.uniform(-2.0, 2.0, n), rng.standard_normal((n, 2))
    roughness = make_roughness(n) if rough else None
    oracle = HermiteSmoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    plan = Smoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    assert plan.solver == "state-space"
    points = make_points(x)
    whole = np.abs(y).max() / (x[-1] - x[0]) ** np.arange(4)  # constants and lines have no bends
    flat = bc == "periodic" or np.isinf(lam)
    sizes = []
    for nu in range(4):
        expected = oracle.evaluate(y, points, nu)
        sizes.append(max(np.abs(expected).max(), whole[nu] if nu == 0 or flat else 0.0))
        if nu == 3:
            sizes[3] += sizes[2] / np.diff(x).min()  # it is a difference
        actual = plan.operator(points, nu=nu)(y)
        bound = [EXACT, 5 * CLOSE, CLOSE, CLOSE][nu]
        assert np.abs(actual - expected).max() <= bound * sizes[nu], nu


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_leverages_and_residuals(bc, kind, lam):
    n = 13
    x = make_knots(kind, n)
    rng = np.random.default_rng(4)
    w, y = 10.0 ** rng.uniform(-2.0, 2.0, n), rng.standard_normal((n, 2))
    oracle = HermiteSmoother(x, lam=lam, weights=w, bc=bc, roughness=make_roughness(n))
    plan = Smoother(x, lam=lam, weights=w, bc=bc, roughness=make_roughness(n))
    hat = oracle.matrix(x)
    lever, complement = plan._plan.solver.exact().leverages()
    expected = rounded(np.diag(hat[:, :-1]))
    np.testing.assert_allclose(lever, expected, rtol=CLOSE)
    if lam > 0.0:
        np.testing.assert_allclose(complement, rounded(1 - np.diag(hat[:, :-1])), rtol=CLOSE)
    assert plan.df == pytest.approx(expected.sum(), rel=CLOSE)
    residuals = rounded(exact(y) - hat[:, :-1] @ exact(y) - hat[:, -1:])
    if lam > 0.0:
        error = np.abs(plan._plan.solver.exact().residuals(y) - residuals).max()
        assert error <= CLOSE * np.abs(residuals).max()


@pytest.mark.parametrize("kind", ["uniform", "chebyshev", "random"])
@pytest.mark.parametrize("lam", [1e-14, 1e-10, 1e-5, 1.0])
def test_residuals_of_nearly_interpolating_circles(kind, lam):
    n = 12
    x, y = make_knots(kind, n), np.random.default_rng(4).standard_normal((n, 2))
    y[-1] = y[0]
    hat = HermiteSmoother(x, lam=lam, weights=np.ones(n), bc="periodic").matrix(x)[:, :-1]
    expected = rounded(exact(y) - hat @ exact(y))
    actual = Smoother(x, lam=lam, bc="periodic")._plan.solver.exact().residuals(y)
    assert np.abs(actual - expected).max() <= CLOSE * np.abs(expected).max()


@pytest.mark.parametrize("bc", ["natural", "periodic"])
@pytest.mark.parametrize("kind", ["chebyshev", "clustered"])
@pytest.mark.parametrize("lam", [1e-22, 1e-12, 1e-3, 1e6])
@pytest.mark.parametrize("decades", [0.0, 8.0])
def test_leverages_next_to_interpolation_and_of_weights_over_decades(decades, lam, kind, bc):
    n = 31
    x, w = make_knots(kind, n), 10.0 ** np.random.default_rng(4).uniform(-decades, decades, n)
    expected = np.diag(BeamSmoother(x, lam=lam, weights=w, bc=bc).hat())
    lever, complement = Smoother(x, lam=lam, weights=w, bc=bc)._plan.solver.exact().leverages()
    np.testing.assert_allclose(lever, rounded(expected), rtol=CLOSE)
    np.testing.assert_allclose(complement, rounded(1 - expected), rtol=CLOSE)


@pytest.mark.parametrize("bc", BOUNDARIES[1:], ids=str)
@pytest.mark.parametrize("nu", [0, 1])
def test_what_overflows_is_refused_without_a_warning(bc, nu):
    x, y = 1e-90 * np.arange(5.0), 1e250 * np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    operator = Smoother(x, lam=0.0, bc=bc).operator(x, nu=nu)
    if nu == 0:
        np.testing.assert_allclose(operator(y), y, rtol=EXACT, atol=1e-14 * y.max())
    else:
        with pytest.raises(ValueError, match="results overflow float64"):
            operator(y)


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-12, 1e-6, 1.0, 1e6])
def test_posterior_variances(bc, kind, lam):
    n = 12
    x = make_knots(kind, n)
    w = 10.0 ** np.random.default_rng(4).uniform(-2.0, 2.0, n)
    oracle = HermiteSmoother(x, lam=lam, weights=w, bc=bc, roughness=make_roughness(n))
    plan = Smoother(x, lam=lam, weights=w, bc=bc, roughness=make_roughness(n))
    points = np.concatenate([x, 0.3 * x[:-1] + 0.7 * x[1:]])
    actual = plan._plan.solver.exact().variances(points)
    # What the cubic between the knots does not tell: the bridge of an integrated Wiener process.
    h = np.diff(x)[np.minimum(np.searchsorted(x, points, "right") - 1, n - 2)]
    u = np.concatenate([np.zeros(n), np.full(n - 1, 0.7)])
    rho = make_roughness(n)[np.minimum(np.searchsorted(x, points, "right") - 1, n - 2)]
    bridge = h**3 * (u * (1.0 - u)) ** 3 / 3.0 / (lam * rho)
    np.testing.assert_allclose(actual, oracle.covariance(points) + bridge, rtol=CLOSE)


@pytest.mark.parametrize(
    "zero",
    [
        [3, 4],
        [0],
        [9],
        [0, 9],
        [0, 1, 8, 9],
        list(range(1, 10)),
        list(range(9)),
        [0, 1, 2, 3, 5, 6, 7, 8, 9],
    ],
    ids=str,
)
@pytest.mark.parametrize("lam", [0.0, 1e-3, np.inf])
def test_periodic_with_weights_of_zero(zero, lam):
    x = make_knots("random", 10)
    w = np.linspace(1.0, 2.0, 10)
    w[zero] = 0.0
    y = np.random.default_rng(5).standard_normal((10, 3))
    holes = y.copy()
    holes[zero] = np.nan
    points = make_points(x)
    plan = Smoother(x, lam=lam, weights=w, bc="periodic")
    expected = HermiteSmoother(x, lam=lam, weights=w, bc="periodic").evaluate(y, points)
    np.testing.assert_allclose(plan.operator(points)(holes), expected, atol=EXACT)


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e3])
def test_few_knots(bc, n, lam):
    x = np.array([0.0, 0.3, 1.0, 1.2])[:n]
    y = np.array([[1.0], [-2.0], [0.5], [0.7]])[:n]
    points = np.linspace(-2.0, 3.0, 17)
    roughness = make_roughness(n)
    plan = Smoother(x, lam=lam, bc=bc, roughness=roughness)
    expected = HermiteSmoother(x, lam=lam, bc=bc, roughness=roughness).evaluate(y, points)
    np.testing.assert_allclose(
        plan.operator(points)(y), expected, atol=EXACT * np.abs(expected).max()
    )


@pytest.mark.parametrize("bc", BOUNDARIES[1:], ids=str)
def test_interpolation_is_scipys(bc):
    x = make_knots("random", 30)
    y = np.random.default_rng(1).standard_normal((30, 2))
    if bc == "periodic":
        y[-1] = y[0]
        scipys = CubicSpline(x, y, bc_type="periodic")
    else:
        scipys = CubicSpline(x, y, bc_type=((1, [bc[1]] * 2), (1, [bc[2]] * 2)))
    points = np.linspace(x[0], x[-1], 200)
    plan = Smoother(x, lam=0.0, bc=bc)
    np.testing.assert_allclose(plan.operator(points)(y), scipys(points), atol=1e-9)
    np.testing.assert_allclose(plan.operator(x)(y), y, atol=1e-13)


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
@pytest.mark.parametrize("nu", range(4))
def test_adjoint_is_the_transpose(bc, nu):
    x = make_knots("random", 12)
    w = np.linspace(1.0, 3.0, 12)
    w[[5]] = 0.0
    roughness = make_roughness(12)
    roughness[5] = roughness[4]
    operator = Smoother(x, lam=1e-3, weights=w, bc=bc, roughness=roughness).operator(
        make_points(x), nu=nu
    )
    n = operator.shape[1]
    matrix = operator.dense()
    transposed = operator.adjoint(np.eye(operator.shape[0]))
    np.testing.assert_allclose(transposed, matrix.T, atol=1e-12 * np.abs(matrix).max())
    affine = operator(np.zeros(n))
    y = np.random.default_rng(0).standard_normal(n)
    np.testing.assert_allclose(operator(y) - affine, matrix @ y, atol=1e-10 * np.abs(matrix).max())


@settings(max_examples=60)
@given(designs(min_size=2, max_size=9), st.sampled_from(BOUNDARIES), st.integers(0, 2**32 - 1))
def test_any_design(design, bc, seed):
    x, w, lam = design
    rng = np.random.default_rng(seed)
    roughness = 10.0 ** rng.uniform(-2.0, 2.0, x.size - 1)
    y = rng.uniform(-1.0, 1.0, (x.size, 2))
    points = np.concatenate([x, 0.5 * (x[:-1] + x[1:])])
    oracle = HermiteSmoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    expected = oracle.evaluate(y, points)
    plan = Smoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    gaps = np.diff(x)  # the slope of a short gap goes on through long ones
    scale = max(1.0, np.abs(expected).max()) * (1.0 + 1e-3 * gaps.max() / gaps.min())
    assert np.abs(plan.operator(points)(y) - expected).max() <= EXACT * scale


@given(knots(min_size=3), st.sampled_from(BOUNDARIES[1:]))
def test_units_of_powers_of_two_change_nothing(x, bc):
    y = np.cos(np.arange(x.size))
    other = ("slope", bc[1] / 8.0, bc[2] / 8.0) if bc != "periodic" else bc
    ours = Smoother(x, lam=1.0, bc=bc).fit(y).values
    scaled = Smoother(8.0 * x, lam=4.0 * 512.0, weights=np.full(x.size, 4.0), bc=other).fit(y)
    np.testing.assert_array_equal(scaled.values, ours)


def test_periods_repeat():
    x = make_knots("random", 12)
    spline = Smoother(x, lam=1e-4, bc="periodic").fit(np.sin(np.arange(12.0)))
    points, period = np.linspace(x[0], x[-1], 30), x[-1] - x[0]
    for nu in range(3):
        np.testing.assert_allclose(spline(points + 3 * period, nu), spline(points, nu), rtol=1e-9)
    assert spline(x[0]) == spline(x[-1])
    plan = pickle.loads(pickle.dumps(Smoother(x, lam=1e-4, bc="periodic")))
    assert plan.bc == "periodic"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bc": "clamped"}, 'bc must be "natural"'),
        ({"bc": ("slope", 1.0)}, 'bc must be "natural"'),
        ({"bc": ("slope", np.nan, 0.0)}, "finite a and b"),
        ({"bc": ("slope", 0.0, 0.0), "weights": [0.0, 1.0, 1.0]}, "first and the last knot"),
        ({"roughness": [1.0]}, "roughness has 1 entries"),
        ({"roughness": [1.0, 0.0]}, r"roughness\[1\] = 0"),
        ({"roughness": [1.0, np.nan]}, "roughness must be finite"),
        ({"roughness": [1.0, 2.0], "weights": [1.0, 0.0, 1.0]}, "both sides"),
        ({"roughness": [1.0, 2.0], "weights": [0.0, 1.0, 0.0], "bc": "periodic"}, "both sides"),
        ({"roughness": [1.0, 1e-60]}, "times the largest"),
    ],
)
def test_refusals(arguments, text):
    with pytest.raises(ValueError, match=text):
        Smoother([0.0, 1.0, 2.0], lam=1.0, **arguments)


def test_refuses_slopes_that_are_no_numbers():
    with pytest.raises(TypeError, match="numbers a and b"):
        Smoother([0.0, 1.0, 2.0], lam=1.0, bc=("slope", "0", 1.0))


@pytest.mark.parametrize("bc", BOUNDARIES[1:], ids=str)
def test_one_knot_is_refused(bc):
    with pytest.raises(ValueError, match="two knots"):
        Smoother([0.0], lam=1.0, bc=bc)


@pytest.mark.parametrize("bc", BOUNDARIES, ids=str)
def test_a_value_that_is_not_finite(bc):
    values = np.ones((5, 100))
    values[3, 70] = np.inf
    plan = Smoother(np.arange(5.0), lam=1.0, bc=bc, roughness=np.ones(4))
    with pytest.raises(ValueError, match=r"values\[3, 70\] = inf"):
        plan.operator([0.5])(values)
