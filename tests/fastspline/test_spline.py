import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline, CubicHermiteSpline, CubicSpline, PPoly
from scipy.optimize import brentq

from fastspline import Smoother, resample, smooth_spline
from tests.oracles.splines import (
    ExactSmoother,
    HermiteSmoother,
    exact,
    exact_scores,
    rounded,
    squared_trace,
)
from tests.support.strategies import columns, knots, make_knots, make_points, make_weights

EXACT = 1e-12  # of max |values|
CLOSE = 1e-11  # of the largest entry


@pytest.fixture
def jittered(rng):
    """Twenty knots whose gaps differ by less than a factor of three: scipy is accurate on them."""
    return np.arange(20) + rng.uniform(-0.25, 0.25, 20)


# --- against scipy's natural cubic spline --------------------------------------------------------


@pytest.mark.parametrize("nu", range(4))
@pytest.mark.parametrize("n", [3, 4, 5, 20])
def test_lam_zero_is_the_natural_spline(n, nu, jittered, rng):
    places, values = jittered[:n], rng.standard_normal((n, 3))
    natural = CubicSpline(places, values, bc_type="natural")
    points = rng.uniform(places[0], places[-1], 50)
    points = np.concatenate([points, places[:-1]])  # scipy has no right limit at the last knot
    expected = natural(points, nu)
    bound = CLOSE * np.abs(expected).max()
    spline = smooth_spline(places, values, lam=0.0)
    assert np.abs(spline(points, nu) - expected).max() <= bound
    operator = Smoother(places, lam=0.0).operator(points, nu=nu)
    assert np.abs(operator(values) - expected).max() <= bound
    assert (
        np.abs(spline.second_derivatives - natural(places, 2)).max()
        <= CLOSE * np.abs(natural(places, 2)).max()
    )


@given(knots(min_size=3), st.data())
def test_smoothed_curve_is_the_natural_spline_of_its_own_values(places, data):
    values = data.draw(columns(len(places), 1))
    spline = smooth_spline(places, values, lam=0.1)
    points = make_points(places)
    again = ExactSmoother(places, lam=0.0).evaluate(spline.values, points)
    # An error of the fitted values grows by the norm of interpolation, on clusters far outside.
    norm = np.abs(rounded(ExactSmoother(places, lam=0.0).matrix(points))).sum(axis=1, keepdims=True)
    assert (np.abs(spline(points) - again) <= EXACT * norm * np.abs(values).max()).all()


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((20,), 0),
        ((20,), -1),
        ((20, 3), 0),
        ((3, 20), 1),
        ((3, 20), -1),
        ((2, 20, 3), 1),
        ((20, 2, 3), -3),
    ],
)
@pytest.mark.parametrize("points_shape", [(), (1,), (7,), (2, 3), (0,)])
def test_shapes_are_those_of_scipy(shape, axis, points_shape, jittered, rng):
    values, points = rng.standard_normal(shape), rng.uniform(0.5, 18.5, points_shape)
    natural = CubicSpline(jittered, values, bc_type="natural", axis=axis)
    spline = smooth_spline(jittered, values, lam=0.0, axis=axis)
    for nu in range(4):
        expected = natural(points, nu)
        actual = spline(points, nu)
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=CLOSE * np.abs(natural(jittered, nu)).max()
        )
    assert spline.values.shape == values.shape
    assert spline.second_derivatives.shape == values.shape
    np.testing.assert_array_equal(spline.values, values)
    np.testing.assert_allclose(
        spline.integrate(1.5, 17.0), natural.integrate(1.5, 17.0), rtol=CLOSE, atol=CLOSE
    )


def test_no_columns(jittered):
    spline = smooth_spline(jittered, np.empty((20, 0)), lam=0.5)
    assert spline(jittered[:4]).shape == (4, 0)
    assert spline.values.shape == (20, 0)


# --- outside the knots ---------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.1, 1e6, np.inf])
def test_linear_outside(lam, jittered, rng):
    spline = smooth_spline(jittered, rng.standard_normal(20), lam=lam)
    for knot, way in ((jittered[0], -1.0), (jittered[-1], 1.0)):
        distance = np.array([1e-3, 1.0, 50.0])
        outside = knot + way * distance
        slope = spline(knot, 1)
        np.testing.assert_allclose(
            spline(outside), spline(knot) + slope * (outside - knot), rtol=1e-12, atol=1e-12
        )
        np.testing.assert_allclose(spline(outside, 1), np.full(3, slope), rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(spline(outside, 2), np.zeros(3))
        np.testing.assert_array_equal(spline(outside, 3), np.zeros(3))
    assert spline(jittered[-1], 3) == 0.0


def test_second_derivatives_end_in_zero(jittered, rng):
    spline = smooth_spline(jittered, rng.standard_normal((20, 2)), lam=0.01)
    np.testing.assert_array_equal(spline.second_derivatives[[0, -1]], np.zeros((2, 2)))
    np.testing.assert_allclose(
        spline.second_derivatives, spline(jittered, 2), rtol=CLOSE, atol=CLOSE
    )


# --- calculus ------------------------------------------------------------------------------------


@pytest.fixture(params=[0.0, 0.02, 1e7, np.inf], ids=["lam0", "lam0.02", "lam1e7", "line"])
def fitted(request, jittered, rng):
    weights = make_weights("zeros", 20)
    return smooth_spline(jittered, rng.standard_normal((20, 2)), lam=request.param, weights=weights)


def test_piecewise_polynomial_is_the_spline_everywhere(fitted):
    points = make_points(fitted.knots)
    piecewise = fitted.to_ppoly()
    assert isinstance(piecewise, PPoly)
    for nu in range(4):
        inside = points[:-2] if nu < 3 else points[(points < fitted.knots[-1])]
        expected = fitted(inside, nu)
        bound = CLOSE * max(np.abs(expected).max(), 1e-3)
        assert np.abs(piecewise(inside, nu) - expected).max() <= bound
        assert (
            np.abs(piecewise(points, 0) - fitted(points)).max()
            <= CLOSE * np.abs(fitted(points)).max()
        )


@pytest.mark.parametrize("nu", [1, 2, 3])
def test_derivative(fitted, nu):
    points = make_points(fitted.knots)
    derivative = fitted.derivative(nu)
    assert isinstance(derivative, PPoly)
    expected = fitted(points, nu)
    assert np.abs(derivative(points) - expected).max() <= CLOSE * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize(
    ("a", "b"), [(2.2, 11.0), (11.0, 2.2), (-7.0, 30.0), (25.0, 40.0), (-9.0, -2.0), (4.0, 4.0)]
)
def test_integral(fitted, a, b):
    # Gauss-Legendre is exact for a cubic on each piece, and shares nothing with antiderivatives.
    low, high = sorted((a, b))
    breaks = fitted.knots[(fitted.knots > low) & (fitted.knots < high)]
    edges = np.concatenate([[low], breaks, [high]])
    nodes, weights = np.polynomial.legendre.leggauss(2)
    half = np.diff(edges) / 2
    points = (edges[:-1] + half)[:, np.newaxis] + half[:, np.newaxis] * nodes
    expected = np.einsum("pij,p,i->j", fitted(points), half, weights) * np.sign(b - a)
    bound = CLOSE * (1 + np.abs(fitted(points)).max() * (high - low))
    assert fitted.integrate(a, b).shape == (2,)
    assert np.abs(fitted.integrate(a, b) - expected).max() <= bound
    antiderivative = fitted.antiderivative()
    assert isinstance(antiderivative, PPoly)
    assert np.abs(antiderivative(b) - antiderivative(a) - expected).max() <= 10 * bound


def test_repeated_antiderivative(fitted):
    twice = fitted.antiderivative(2)
    points = make_points(fitted.knots)
    expected = fitted(points)
    assert np.abs(twice(points, 2) - expected).max() <= CLOSE * np.abs(expected).max()


def test_b_spline_is_the_spline_inside(fitted):
    b_spline = fitted.to_bspline()
    assert isinstance(b_spline, BSpline)
    assert b_spline.k == 3
    active = fitted.knots
    points = np.linspace(active[0], active[-1], 101)
    for nu in range(3):
        expected = fitted(points, nu)
        assert np.abs(b_spline(points, nu) - expected).max() <= 10 * CLOSE * max(
            np.abs(expected).max(), 1e-3
        )


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("lam", [0.0, 0.5, np.inf])
def test_conversions_of_short_splines(n, lam, rng):
    places, values = np.arange(n) + 0.5, rng.standard_normal(n)
    spline = smooth_spline(places, values, lam=lam)
    points = np.linspace(-2.0, n + 2.0, 29)
    inside = np.linspace(places[0], places[-1], 9)
    bound = CLOSE * np.abs(spline(points)).max()
    assert np.abs(spline.to_ppoly()(points) - spline(points)).max() <= bound
    assert np.abs(spline.to_bspline()(inside) - spline(inside)).max() <= bound
    assert np.abs(spline.derivative()(points) - spline(points, 1)).max() <= bound
    trapezoid = np.sum((spline(points)[1:] + spline(points)[:-1]) / 2 * np.diff(points))
    assert spline.integrate(-2.0, n + 2.0) == pytest.approx(trapezoid, abs=0.5)
    if n <= 2:
        assert spline.integrate(-2.0, n + 2.0) == pytest.approx(trapezoid, rel=CLOSE)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_conversions_keep_the_axis(axis, jittered, rng):
    values = np.moveaxis(rng.standard_normal((20, 2, 3)), 0, axis)
    spline = smooth_spline(jittered, values, lam=0.1, axis=axis)
    points = np.linspace(1.0, 17.0, 5)
    for curve in (spline.to_ppoly(), spline.to_bspline()):
        assert curve(points).shape == spline(points).shape
        np.testing.assert_allclose(curve(points), spline(points), rtol=0, atol=100 * CLOSE)
    assert spline.integrate(1.0, 5.0).shape == tuple(np.delete(values.shape, axis))
    np.testing.assert_allclose(
        spline.derivative()(points), spline(points, 1), rtol=0, atol=100 * CLOSE
    )


def test_roots(jittered, rng):
    values = np.sin(0.9 * jittered) + 0.1 * rng.standard_normal(20)
    spline = smooth_spline(jittered, values, lam=0.0)
    natural = CubicSpline(jittered, values, bc_type="natural")
    roots = np.asarray(spline.roots())
    inside = roots[(roots >= jittered[0]) & (roots <= jittered[-1])]
    np.testing.assert_allclose(inside, natural.roots(extrapolate=False), rtol=CLOSE)
    assert np.abs(spline(roots)).max() <= CLOSE


def test_roots_of_lines_lie_outside_too():
    np.testing.assert_allclose(
        smooth_spline([0.0, 1.0], [1.0, 2.0], lam=0.0).roots(), [-1.0], rtol=1e-14
    )
    line = smooth_spline([0.0, 1.0, 2.0], [-3.0, -2.0, -1.0], lam=np.inf)
    np.testing.assert_allclose(line.roots(), [3.0], rtol=1e-13)


# --- calculus of other ends, against scipy on the same curve -------------------------------------

PLACES = np.array([0.0, 0.3, 0.5, 0.9, 1.0, 1.6, 2.0, 2.2, 3.0])
ROUGHNESS = np.array([1.0, 3.0, 3.0, 0.2, 5.0, 1.0, 0.5, 2.0])
ENDS = {
    "natural": {},
    "periodic": {"bc": "periodic"},
    "slopes": {"bc": ("slope", 2.0, -1.0)},
    "roughness": {"roughness": ROUGHNESS},
    "periodic and roughness": {"bc": "periodic", "roughness": ROUGHNESS},
}
by_ends = pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)


def fit_waves(ends, lam=1e-3, axis=0):
    values = np.stack([np.sin(2.1 * PLACES) + 0.1, np.cos(3.0 * PLACES)], axis=1)
    return smooth_spline(PLACES, np.moveaxis(values, 0, axis), lam=lam, axis=axis, **ends)


def make_oracle(ends, lam=1e-3):
    """Scipy's Hermite pieces through the exact values and slopes at the knots."""
    values = np.stack([np.sin(2.1 * PLACES) + 0.1, np.cos(3.0 * PLACES)], axis=1)
    exact_fit = HermiteSmoother(PLACES, lam=lam, **ends)
    return CubicHermiteSpline(
        PLACES, exact_fit.evaluate(values, PLACES), exact_fit.evaluate(values, PLACES, 1)
    )


@by_ends
def test_other_ends_inside_the_knots(ends):
    spline, oracle = fit_waves(ends), make_oracle(ends)
    points = np.setdiff1d(np.linspace(0.0, 2.99, 173), PLACES)
    for nu in range(4):
        expected = oracle(points, nu)
        bound = 10 * CLOSE * np.abs(expected).max()
        assert np.abs(spline(points, nu) - expected).max() <= bound
        assert np.abs(spline.to_ppoly()(points, nu) - expected).max() <= bound
        assert np.abs(spline.derivative(nu)(points) - expected).max() <= bound
    gaps = np.sort(np.concatenate([points, PLACES]))
    np.testing.assert_allclose(
        spline.antiderivative()(gaps) - spline.antiderivative()(0.0),
        oracle.antiderivative()(gaps),
        atol=1e-11,
    )
    for a, b in [(0.1, 2.7), (2.7, 0.1), (0.0, 3.0), (1.0, 1.0)]:
        np.testing.assert_allclose(spline.integrate(a, b), oracle.integrate(a, b), atol=1e-11)


@by_ends
def test_other_ends_outside_the_knots(ends):
    spline, oracle = fit_waves(ends), make_oracle(ends)
    piecewise = spline.to_ppoly()
    left, right = -np.array([0.01, 0.7, 2.9]), 3.0 + np.array([0.01, 0.7, 2.9])
    if ends.get("bc") == "periodic":
        expected = [oracle(left + 3.0), oracle(right - 3.0)]
        whole, half = oracle.integrate(0.0, 3.0), oracle.integrate(0.4, 3.0)
        over = 2 * whole + half + oracle.integrate(0.0, 1.1)
        np.testing.assert_allclose(spline.integrate(0.4, 10.1), over, atol=1e-11)
        np.testing.assert_allclose(spline.integrate(10.1 - 15.0, 0.4 - 15.0), -over, atol=1e-11)
        np.testing.assert_allclose(spline.derivative()(right), oracle(right - 3.0, 1), atol=1e-10)
    else:
        slopes = oracle(PLACES[[0, -1]], 1)
        if "bc" in ends:
            np.testing.assert_allclose(slopes, [[2.0] * 2, [-1.0] * 2], rtol=1e-13)
        expected = [
            oracle(end) + slope * (t - end)[:, np.newaxis]
            for end, slope, t in zip(PLACES[[0, -1]], slopes, (left, right), strict=True)
        ]
        before = (oracle(0.0) + expected[0][1]) / 2 * 0.7
        after = (oracle(3.0) + expected[1][2]) / 2 * 2.9
        np.testing.assert_allclose(
            spline.integrate(-0.7, 5.9), before + oracle.integrate(0.0, 3.0) + after, atol=1e-11
        )
        np.testing.assert_allclose(
            spline.antiderivative()(5.9) - spline.antiderivative()(-0.7),
            spline.integrate(-0.7, 5.9),
            atol=1e-11,
        )
    for curve in (spline, piecewise):
        np.testing.assert_allclose(curve(left), expected[0], atol=1e-11)
        np.testing.assert_allclose(curve(right), expected[1], atol=1e-11)


@by_ends
@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.1])
def test_roots_of_other_ends(ends, lam):
    spline = fit_waves(ends, lam)
    periodic = ends.get("bc") == "periodic"
    low, high = (0.0, 3.0) if periodic else (-20.0, 20.0)
    points = np.unique(np.concatenate([np.linspace(low, high, 19_997), PLACES]))
    dense = spline(points)
    for j, roots in enumerate(spline.roots()):
        signs = np.sign(dense[:, j])
        changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
        found = [
            brentq(lambda t, j=j: spline(t)[j], points[i], points[i + 1], xtol=1e-14)
            for i in changes
        ]
        assert len(found) >= 1
        ours = np.asarray(roots)
        np.testing.assert_allclose(ours[(ours >= low) & (ours <= high)], found, atol=1e-11)
        if periodic:
            assert ours.size == len(found)


def test_constant_periodic_curve_has_no_roots():
    spline = smooth_spline(PLACES, np.cos(PLACES) + 2.0, lam=np.inf, bc="periodic")
    assert spline.roots().size == 0


@pytest.mark.parametrize("name", ["natural", "periodic", "slopes"])
def test_b_spline_of_other_ends(name):
    spline = fit_waves(ENDS[name])
    b_spline = spline.to_bspline()
    assert isinstance(b_spline, BSpline)
    points = np.linspace(0.0, 3.0, 101)
    for nu in range(3):
        expected = spline(points, nu)
        bound = 10 * CLOSE * np.abs(expected).max()
        assert np.abs(b_spline(points, nu) - expected).max() <= bound
    outside = np.array([-1.3, 3.4, 7.0])
    if name == "periodic":
        np.testing.assert_allclose(b_spline(outside), spline(outside), atol=1e-11)
    else:  # scipy goes on with the end cubics
        assert np.abs(b_spline(outside) - spline(outside)).max() > 1e-3


@pytest.mark.parametrize("name", ["roughness", "periodic and roughness"])
def test_b_spline_cannot_have_jumps(name):
    spline = fit_waves(ENDS[name])
    with pytest.raises(ValueError, match=r"jump at the knots.*use to_ppoly\(\)"):
        spline.to_bspline()


@by_ends
def test_conversions_of_other_ends_keep_the_axis(ends):
    spline, across = fit_waves(ends), fit_waves(ends, axis=1)
    points = np.linspace(-1.0, 4.0, 7)
    for curve, plain in [
        (across.to_ppoly(), spline.to_ppoly()),
        (across.derivative(2), spline.derivative(2)),
    ]:
        np.testing.assert_array_equal(curve(points), plain(points).T)
    np.testing.assert_array_equal(across.second_derivatives, spline.second_derivatives.T)
    np.testing.assert_array_equal(across.integrate(0.2, 1.0), spline.integrate(0.2, 1.0))


@by_ends
@pytest.mark.parametrize("n", [2, 3])
def test_conversions_of_few_knots_with_other_ends(ends, n):
    options = {**ends, "roughness": ROUGHNESS[: n - 1]} if "roughness" in ends else ends
    spline = smooth_spline(PLACES[:n], [0.3, -1.0, 0.7][:n], lam=0.1, **options)
    points = np.linspace(-1.0, 1.0, 21)
    piecewise = spline.to_ppoly()
    np.testing.assert_allclose(piecewise(points), spline(points), atol=1e-12)
    np.testing.assert_allclose(spline.derivative()(points), spline(points, 1), atol=1e-11)
    inside = np.linspace(0.0, PLACES[n - 1], 9)
    if "roughness" not in ends:
        np.testing.assert_allclose(spline.to_bspline()(inside), spline(inside), atol=1e-12)
    nodes, weights = np.polynomial.legendre.leggauss(2)
    half = np.diff(PLACES[:n]) / 2
    middle = PLACES[: n - 1] + half
    expected = sum(h * weights @ spline(m + h * nodes) for h, m in zip(half, middle, strict=True))
    assert spline.integrate(0.0, PLACES[n - 1]) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("scale", [2.0**996, 2.0**-996])
@by_ends
def test_calculus_of_huge_and_tiny_values(ends, scale):
    values = np.sin(2.1 * PLACES) + 0.1
    if "bc" in ends and ends["bc"] != "periodic":
        ends = {"bc": ("slope", 0.0, 0.0)}
    plain = smooth_spline(PLACES, values, lam=1e-3, **ends)
    scaled = smooth_spline(PLACES, scale * values, lam=1e-3, **ends)
    points = np.linspace(-1.0, 4.0, 21)
    np.testing.assert_allclose(scaled(points) / scale, plain(points), atol=1e-12)
    np.testing.assert_allclose(scaled.derivative()(points) / scale, plain(points, 1), atol=1e-11)
    np.testing.assert_allclose(scaled.roots(), plain.roots(), atol=1e-12)
    assert scaled.integrate(0.1, 2.0) / scale == pytest.approx(plain.integrate(0.1, 2.0))


@pytest.mark.parametrize("power", [-300, -100, 100, 300])
@by_ends
def test_units_of_the_knots_do_not_matter(ends, power):
    unit = 2.0**power
    values = np.sin(2.1 * PLACES) + 0.1
    if ends.get("bc") == ("slope", 2.0, -1.0):
        ends = {"bc": ("slope", 2.0 / unit, -1.0 / unit)}
    scaled = smooth_spline(unit * PLACES, values, lam=1e-3 * unit**3, **ends)
    if "bc" in ends and ends["bc"] != "periodic":
        ends = {"bc": ("slope", 2.0, -1.0)}
    plain = smooth_spline(PLACES, values, lam=1e-3, **ends)
    points = np.linspace(-1.0, 4.0, 21)
    np.testing.assert_allclose(scaled.std(unit * points), plain.std(points), rtol=1e-13)
    np.testing.assert_allclose(scaled.roots() / unit, plain.roots(), rtol=1e-13)
    for a, b in [(0.1, 2.0), (-1.0, 7.0)]:
        ours = scaled.integrate(unit * a, unit * b) / unit
        assert ours == pytest.approx(plain.integrate(a, b), rel=1e-13)
    assert scaled.gcv == pytest.approx(plain.gcv, rel=1e-13)
    assert scaled.loo == pytest.approx(plain.loo, rel=1e-13)
    if not ends:  # X' V^-1 X scales by the square of the unit
        expected = plain.reml + 2.0 * power * np.log(2.0)
        assert scaled.reml == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("question", ["std", "interval"])
def test_a_band_that_overflows_is_refused(question):
    spline = smooth_spline(PLACES, np.cos(9.0 * PLACES), lam=1e-3)
    with pytest.raises(ValueError, match=r"deviation overflows .* take nearer points"):
        getattr(spline, question)([0.5, 1e200])
    with pytest.raises(ValueError, match=r"integral from 0 to 1e\+200 overflows"):
        spline.integrate(0, 1e200)


def test_a_curve_that_overflows_is_refused():
    with pytest.raises(ValueError, match="overflow"):
        smooth_spline(PLACES, 1.5e308 * np.cos(9.0 * PLACES), lam=0.0)
    spline = smooth_spline(PLACES, 1e307 * np.sin(PLACES), lam=0.0)
    with pytest.raises(ValueError, match="nearer points"):
        spline(1e9)


# --- what a fit tells ----------------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "random", "zeros"])
@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e5, np.inf])
def test_scores_follow_their_definitions(weight_kind, lam, rng):
    places, weights = make_knots("random", 12), make_weights(weight_kind, 12)
    values = rng.standard_normal((12, 3))
    spline = smooth_spline(places, values, weights=weights, lam=lam)
    hat = ExactSmoother(places, lam=lam, weights=weights).hat()
    w = np.ones(12) if weights is None else weights
    rss = rounded(exact(w) @ (exact(values) - hat @ exact(values)) ** 2)
    df = float(np.trace(hat))
    assert spline.lam == lam
    assert spline.df == pytest.approx(df, rel=EXACT)
    np.testing.assert_allclose(spline.leverages, rounded(np.diag(hat)), rtol=EXACT, atol=0)
    variance = rss / float(squared_trace(hat[np.ix_(w > 0, w > 0)]))
    np.testing.assert_allclose(spline.residual_variance, variance, rtol=CLOSE)
    for j in range(3):
        gcv = exact_scores(places, values[:, j], lam=lam, weights=weights)["gcv"]
        assert spline.gcv[j] == pytest.approx(gcv, rel=CLOSE)
        alone = smooth_spline(places, values[:, j], weights=weights, lam=lam)
        assert np.ndim(alone.gcv) == 0
        assert alone.gcv == pytest.approx(gcv, rel=CLOSE)
        assert alone.residual_variance == pytest.approx(variance[j], rel=CLOSE)


def test_one_lam_a_column(rng):
    places, values = make_knots("random", 15), rng.standard_normal((15, 4))
    lam = np.array([0.0, 1e-4, 10.0, np.inf])
    spline = smooth_spline(places, values, lam=lam)
    points = make_points(places)
    np.testing.assert_array_equal(spline.lam, lam)
    assert spline.leverages.shape == (15, 4)
    for j in range(4):
        alone = smooth_spline(places, values[:, j], lam=lam[j])
        for nu in range(4):
            np.testing.assert_array_equal(spline(points, nu)[:, j], alone(points, nu))
        np.testing.assert_array_equal(spline.values[:, j], alone.values)
        np.testing.assert_array_equal(spline.second_derivatives[:, j], alone.second_derivatives)
        np.testing.assert_array_equal(spline.leverages[:, j], alone.leverages)
        assert spline.df[j] == alone.df
        if lam[j] > 0:
            assert spline.gcv[j] == alone.gcv
            assert spline.residual_variance[j] == alone.residual_variance


def test_one_lam_a_column_along_another_axis(rng):
    places, values = make_knots("random", 15), rng.standard_normal((3, 15))
    lam = np.array([1e-4, 10.0, np.inf])
    spline = smooth_spline(places, values, lam=lam, axis=1)
    for j in range(3):
        np.testing.assert_array_equal(
            spline(places)[j], smooth_spline(places, values[j], lam=lam[j])(places)
        )


# --- resample ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e9, np.inf])
@pytest.mark.parametrize(
    ("shape", "axis"), [((15,), 0), ((15, 3), 0), ((2, 15, 3), 1), ((3, 15), -1)]
)
def test_resample_is_smoother_and_operator(lam, shape, axis, rng):
    places, weights = make_knots("random", 15), make_weights("zeros", 15)
    values, points = rng.standard_normal(shape), np.array([0.9, 0.1, -0.5, 0.5])
    expected = Smoother(places, lam=lam, weights=weights).operator(points)(values, axis=axis)
    actual = resample(places, values, points, lam=lam, weights=weights, axis=axis)
    np.testing.assert_array_equal(actual, expected)
    out = np.empty_like(expected)
    assert resample(places, values, points, lam=lam, weights=weights, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_resample_interpolates_by_default(jittered, rng):
    values, points = rng.standard_normal(20), np.array([3.3, 0.5, 11.0])
    natural = CubicSpline(jittered, values, bc_type="natural")
    np.testing.assert_allclose(
        resample(jittered, values, points), natural(points), rtol=0, atol=CLOSE
    )


# --- bad input -----------------------------------------------------------------------------------

BAD = {
    "unknown criterion": (ValueError, ["lam", "best", "gcv"], {"lam": "best"}),
    "negative lam": (ValueError, ["lam", "-1"], {"lam": -1.0}),
    "nan lam": (ValueError, ["lam", "nan"], {"lam": np.nan}),
    "no lam": (TypeError, ["lam", "None"], {"lam": None}),
    "complex lam": (TypeError, ["lam"], {"lam": 1j}),
    "lam for too many columns": (ValueError, ["lam", "3", "2"], {"lam": np.ones(3)}),
    "negative lam of a column": (ValueError, ["lam[1]", "-2"], {"lam": np.array([1.0, -2.0])}),
    "nan lam of a column": (ValueError, ["lam[0]", "nan"], {"lam": np.array([np.nan, 1.0])}),
    "unsorted knots": (ValueError, ["knots[1]", "ascending"], {"knots": np.arange(6)[::-1]}),
    "nan value": (
        ValueError,
        ["values[4, 1]", "nan"],
        {"values": np.where(np.arange(12) == 9, np.nan, 0).reshape(6, 2)},
    ),
    "wrong length": (ValueError, ["values", "(5, 2)", "6"], {"values": np.ones((5, 2))}),
    "negative weight": (
        ValueError,
        ["weights[0]", "-1.0"],
        {"weights": np.array([-1.0, 1, 1, 1, 1, 1])},
    ),
    "text values": (TypeError, ["values"], {"values": [["a", "b"]] * 6}),
    "axis": (ValueError, ["axis", "5"], {"axis": 5}),
}


@pytest.mark.parametrize(("kind", "fragments", "arguments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, fragments, arguments):
    good = {"knots": np.arange(6.0), "values": np.zeros((6, 2)), "lam": 1.0}
    with pytest.raises(kind) as error:
        smooth_spline(**{**good, **arguments})
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (ValueError, lambda spline: spline([0.0, np.nan])),
        (ValueError, lambda spline: spline([0.0, np.inf])),
        (TypeError, lambda spline: spline(["a"])),
        (ValueError, lambda spline: spline([0.0], 4)),
        (ValueError, lambda spline: spline([0.0], -1)),
        (ValueError, lambda spline: spline.integrate(0.0, np.nan)),
        (ValueError, lambda spline: spline.integrate(np.inf, 1.0)),
    ],
    ids=["nan point", "infinite point", "text", "nu 4", "nu -1", "nan bound", "infinite bound"],
)
def test_bad_questions_are_refused(kind, call):
    spline = smooth_spline(np.arange(6.0), np.arange(6.0) ** 2, lam=1.0)
    with pytest.raises(kind):
        call(spline)


def test_one_point_that_is_not_finite_has_no_index():
    with pytest.raises(ValueError, match="points must be finite, but points = nan"):
        smooth_spline(np.arange(6.0), np.arange(6.0), lam=1.0)(np.nan)


@pytest.mark.parametrize(
    ("kind", "fragments", "arguments"),
    [
        (ValueError, ["points[0]", "nan"], {"points": [np.nan]}),
        (ValueError, ["lam", "-1"], {"lam": -1.0}),
        (TypeError, ["lam"], {"lam": "gcv"}),
        (ValueError, ["values[2]", "inf"], {"values": [0.0, 0.0, np.inf, 0.0]}),
        (ValueError, ["out", "(3,)", "(2,)"], {"out": np.empty(3)}),
    ],
    ids=["point", "lam", "lam by name", "value", "out"],
)
def test_resample_refuses_bad_input(kind, fragments, arguments):
    good = {"knots": np.arange(4.0), "values": np.zeros(4), "points": [0.5, 1.5]}
    with pytest.raises(kind) as error:
        resample(**{**good, **arguments})
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)
