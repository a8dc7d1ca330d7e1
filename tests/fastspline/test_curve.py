"""Bands of slopes, simultaneous and prediction bands, draws: by dense algebra and simulation."""

import math
import warnings

import numpy as np
import pytest
import torch
from gmpy2 import mpfr
from scipy import stats

from fastspline import Smoother, smooth_spline
from fastspline._posterior import path_length
from tests.oracles.raw import RawFit
from tests.oracles.splines import HermiteSmoother, exact, rounded, solve
from tests.support.strategies import KNOT_KINDS, make_knots, make_weights

CLOSE = 1e-11
SLOPES = ("slope", 2.0, -1.0)
LAMS = [1e-9, 1e-4, 1.0, 1e5]


def posterior_covariance(knots, weights, lam, points):
    """Of f and then of f' at the points (2 m, 2 m), in units of the noise, by kriging.

    As in `test_inference`, with derivatives of the generalised covariance |s - t|**3 / (12 lam).
    """
    x, t, n, m = exact(knots), exact(points), len(knots), len(points)
    strength = mpfr(float(lam))

    def kernel(s, t, of_s, of_t):
        d = s[:, np.newaxis] - t
        if of_s + of_t == 2:
            return -abs(d) / 2 / strength
        sign = 1 if of_s else -1
        return d * abs(d) * sign / 4 / strength if of_s + of_t else abs(d) ** 3 / 12 / strength

    system = np.full((n + 2, n + 2), mpfr(0), dtype=object)
    system[:n, :n] = kernel(x, x, 0, 0)
    system[range(n), range(n)] += 1 / exact(weights)
    system[:n, n] = system[n, :n] = mpfr(1)
    system[:n, n + 1] = system[n + 1, :n] = x
    right = np.full((n + 2, 2 * m), mpfr(0), dtype=object)
    right[:n] = np.concatenate([kernel(x, t, 0, 0), kernel(x, t, 0, 1)], axis=1)
    right[n, :m], right[n + 1, :m], right[n + 1, m:] = mpfr(1), t, mpfr(1)
    among = np.block([[kernel(t, t, i, j) for j in range(2)] for i in range(2)])
    return rounded(among - right.T @ solve(system, right))


def make_places(knots):
    """Knots, points between and outside."""
    between = 0.3 * knots[:-1] + 0.7 * knots[1:]
    outside = [knots[0] - 2.0, knots[0] - 1e-3, knots[-1] + 0.5, knots[-1] + 3.0]
    return np.concatenate([knots, between, outside])


def drawn_matrix(plan, points):
    """The maps from normal numbers to draws of f and of f', one above the other."""
    draws = plan._plan.solver.exact().draws(points)
    ones = np.eye(2 * draws.nodes).reshape(2, draws.nodes, -1)
    return np.concatenate([draws(ones.copy(), nu) for nu in (0, 1)])


# --- standard deviations of slopes ---------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "random", "zeros"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_std_of_the_slope_is_that_of_the_gaussian_process(kind, weight_kind, lam, rng):
    knots, weights = make_knots(kind, 12), make_weights(weight_kind, 12)
    values, points = rng.standard_normal((12, 3)), make_places(knots)
    w = np.ones(12) if weights is None else weights
    unit = np.diag(posterior_covariance(knots[w > 0], w[w > 0], lam, points))[points.size :]
    raw = RawFit(knots, values, weights=weights, lam=lam)
    spline = smooth_spline(knots, values, weights=weights, lam=lam)
    expected = np.sqrt(unit[:, np.newaxis] * raw.curve_variance)
    np.testing.assert_allclose(spline.std(points, nu=1), expected, rtol=CLOSE)


@pytest.mark.parametrize("stretch", [1e-30, 3.0, 1e30])
def test_stds_follow_the_unit_of_the_knots(stretch, rng):
    knots, values = make_knots("random", 12), rng.standard_normal(12)
    points = make_places(knots)
    spline = smooth_spline(knots, values, lam=1e-3)
    other = smooth_spline(stretch * knots, values, lam=1e-3 * stretch**3)
    far = stretch * points
    np.testing.assert_allclose(other.std(far), spline.std(points), rtol=1e-9)
    np.testing.assert_allclose(other.std(far, 1) * stretch, spline.std(points, 1), rtol=1e-9)
    bands = [s.interval(p, kind="simultaneous") for s, p in ((spline, points), (other, far))]
    np.testing.assert_allclose(bands[0], bands[1], rtol=1e-5)


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
@pytest.mark.parametrize("lam", [1e-8, 1e-3, 10.0])
def test_std_of_the_slope_of_other_ends(bc, rough, lam, rng):
    n = 11
    knots, weights = make_knots("random", n), make_weights("random", n)
    values = rng.standard_normal((n, 2))
    roughness = 10.0 ** np.random.default_rng(7).uniform(-1.0, 1.0, n - 1) if rough else None
    options = {"weights": weights, "lam": lam, "bc": bc, "roughness": roughness}
    spline = smooth_spline(knots, values, **options)
    u = np.repeat([0.0, 0.2, 0.7], n - 1)
    cell = np.tile(np.arange(n - 1), 3)
    h = np.diff(knots)[cell]
    points = knots[cell] + u * h
    rho = np.ones(n - 1) if roughness is None else roughness
    # What values and slopes at the knots do not tell: a bridge of Brownian motion whose integral
    # is known too.
    v = u * (1.0 - u)
    bridge = h * v * (1.0 - 3.0 * v) / (lam * rho[cell])
    joint = HermiteSmoother(knots, **options).joint_covariance(points)
    unit = np.diag(joint)[points.size :] + bridge
    expected = np.sqrt(unit[:, np.newaxis] * RawFit(knots, values, **options).curve_variance)
    least = 1e-10 * expected.max()  # a given slope has none
    np.testing.assert_allclose(spline.std(points, 1), expected, rtol=1e-9, atol=least)
    beyond = knots[-1] + np.array([0.1, 0.4])
    if bc == "periodic":
        np.testing.assert_allclose(
            spline.std(beyond, 1), spline.std(beyond - np.ptp(knots), 1), rtol=1e-12
        )
    elif bc != "natural":
        assert (spline.std(beyond, 1) == 0.0).all()
        assert (spline.std(knots[:1] - 0.3, 1) == 0.0).all()


def test_std_of_the_line_has_the_slope_of_regression(rng):
    knots, values = make_knots("random", 15), rng.standard_normal(15)
    error = stats.linregress(knots, values).stderr
    points = np.linspace(-3.0, 4.0, 11)
    spline = smooth_spline(knots, values, lam=np.inf)
    np.testing.assert_allclose(spline.std(points, nu=1), error, rtol=1e-12)
    lower, upper = spline.interval(points, 0.9, nu=1)
    np.testing.assert_allclose(upper - lower, 2.0 * stats.t.ppf(0.95, 13) * error, rtol=1e-12)


@pytest.mark.parametrize("nu", [2, 3])
def test_a_second_derivative_has_no_band(nu, rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    for question in (
        lambda: spline.std(0.5, nu),
        lambda: spline.interval(0.5, nu=nu),
        lambda: spline.sample(0.5, nu=nu),
    ):
        with pytest.raises(ValueError, match=r"0 \(the curve\) or 1 \(its slope\), got"):
            question()


# --- draws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "zeros"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_draws_have_the_posterior_covariance(kind, weight_kind, lam):
    knots, weights = make_knots(kind, 9), make_weights(weight_kind, 9)
    points = np.random.default_rng(1).permutation(make_places(knots))
    w = np.ones(9) if weights is None else weights
    expected = posterior_covariance(knots[w > 0], w[w > 0], lam, points)
    drawn = drawn_matrix(Smoother(knots, lam=lam, weights=weights), points)
    size = np.sqrt(np.diag(expected))
    correlation = (drawn @ drawn.T) / size / size[:, np.newaxis]
    np.testing.assert_allclose(
        correlation, expected / size / size[:, np.newaxis], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("bc", ["periodic", SLOPES], ids=str)
@pytest.mark.parametrize("lam", [1e-6, 1e-2, 10.0])
def test_draws_of_other_ends(bc, rough, lam):
    n = 9
    knots, weights = make_knots("random", n), make_weights("random", n)
    roughness = 10.0 ** np.random.default_rng(7).uniform(-1.0, 1.0, n - 1) if rough else None
    options = {"weights": weights, "lam": lam, "bc": bc, "roughness": roughness}
    expected = HermiteSmoother(knots, **options).joint_covariance(knots)
    between = np.concatenate([0.5 * (knots[1:] + knots[:-1]), knots[-1] + np.array([0.2, 0.5])])
    plan = Smoother(knots, **options)
    drawn = drawn_matrix(plan, np.concatenate([knots, between]))
    at_knots = np.concatenate([drawn[:n], drawn[n + between.size :][:n]])
    size = np.sqrt(np.diag(expected))
    size = np.where(size > 1e-12 * size.max(), size, 1.0)
    np.testing.assert_allclose(
        at_knots @ at_knots.T / size / size[:, np.newaxis],
        expected / size / size[:, np.newaxis], rtol=0, atol=1e-8,
    )  # fmt: skip
    solver = plan._plan.solver.exact()
    for nu, row in ((0, 0), (1, 2)):
        part = drawn[nu * (n + between.size) :][n : n + between.size]
        unit = solver.covariances(between)[row]
        np.testing.assert_allclose((part**2).sum(axis=1), unit, rtol=1e-9, atol=1e-20)


def test_draws_are_mean_and_deviation_of_each_column(rng):
    knots, values = make_knots("random", 20), rng.standard_normal((20, 2, 3)) * [1.0, 10.0, 0.1]
    lams = np.array([[1e-4, 1e-3, 1e-4], [1.0, 1e-4, np.inf]])
    points = np.linspace(-0.2, 1.3, 7)
    spline = smooth_spline(knots, values, lam=lams)
    for nu in (0, 1):
        draws = spline.sample(points, 4000, rng=3, nu=nu)
        assert draws.shape == (4000, 7, 2, 3)
        std = spline.std(points, nu)
        error = std / math.sqrt(4000)
        assert (np.abs(draws.mean(axis=0) - spline(points, nu)) < 4.5 * error).all()
        assert (np.abs(draws.std(axis=0) / std - 1.0) < 4.5 / math.sqrt(8000)).all()
    apart = draws - draws.mean(axis=0)
    across = (apart[:, 3, 0, 0] * apart[:, 3, 1, 1]).mean() / np.prod(
        [apart[:, 3, 0, 0].std(), apart[:, 3, 1, 1].std()]
    )
    assert abs(across) < 4.5 / math.sqrt(4000)


def test_draws_of_slopes_belong_to_those_of_curves(rng):
    knots, values = make_knots("random", 20), rng.standard_normal(20)
    spline = smooth_spline(knots, values, lam=1e-3)
    near = np.array([0.5, 0.5 + 1e-7])
    curves, slopes = spline.sample(near, 5, rng=1), spline.sample(near, 5, rng=1, nu=1)
    np.testing.assert_allclose(np.diff(curves)[:, 0] / 1e-7, slopes[:, 0], rtol=1e-2, atol=1e-2)


def test_a_generator_is_advanced_and_a_seed_repeats(rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal((9, 3)), lam=0.01)
    generator, at = np.random.default_rng(5), [0.1, 0.7]
    first, second = spline.sample(at, 3, generator), spline.sample(at, 3, generator)
    assert (first != second).all()
    np.testing.assert_array_equal(first, spline.sample(at, 3, np.random.default_rng(5)))
    np.testing.assert_array_equal(first, spline.sample(at, 3, 5))
    assert (first != spline.sample(at, 3, 6)).all()
    # Columns do not see each other.
    alone = smooth_spline(make_knots("random", 9), spline.values[:, :1], lam=0.01)
    assert alone.sample(at, 3, generator).shape == (3, 2, 1)


@pytest.mark.parametrize("given", ["nothing", "generator", "legacy"])
def test_draws_of_two_fits_are_independent(given, rng):
    knots = make_knots("random", 9)
    splines = [smooth_spline(knots, rng.standard_normal(9), lam=0.01) for _ in range(2)]
    if given == "nothing":
        one, other = (spline.sample(0.5, 4000) for spline in splines)
    else:
        bits = np.random.MT19937 if given == "legacy" else np.random.PCG64
        generator = np.random.Generator(bits(7))
        one, other = (spline.sample(0.5, 4000, generator) for spline in splines)
    assert abs(np.corrcoef(one, other)[0, 1]) < 6.0 / np.sqrt(4000.0)


def test_bands_are_the_same_by_default_and_advance_a_generator(rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)

    def upper(**options):
        return spline.interval(0.5, nu=1, kind="simultaneous", **options)[1]

    assert upper() == upper() == upper(rng=0) == upper(rng=np.random.default_rng(0))
    generator = np.random.default_rng(0)
    assert upper(rng=generator) != upper(rng=generator)


@pytest.mark.parametrize("size", [0, 1, 1203])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("points_shape", [(), (4,), (2, 3), (0,)])
def test_shapes_of_draws(axis, points_shape, size, rng):
    values = np.moveaxis(rng.standard_normal((15, 2, 3)), 0, axis)
    points = rng.uniform(-0.5, 1.5, points_shape)
    spline = smooth_spline(make_knots("random", 15), values, lam=0.01, axis=axis)
    draws = spline.sample(points, size, rng=1)
    assert draws.shape == (size, *spline(points).shape)
    if size > 1:
        plain = smooth_spline(make_knots("random", 15), np.moveaxis(values, axis, 0), lam=0.01)
        ndim = len(points_shape)
        moved = np.moveaxis(
            plain.sample(points, size, rng=1), range(1, ndim + 1), range(axis + 1, axis + ndim + 1)
        )
        np.testing.assert_array_equal(draws, moved)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_kinds_of_draws_and_bands(dtype, rng):
    knots = make_knots("random", 15)
    tensor = torch.from_numpy(rng.standard_normal((15, 2))).to(dtype)
    spline = smooth_spline(knots, tensor, lam=0.01)
    made = [spline.sample(knots, 2), *spline.interval(knots, kind="simultaneous"),
            *spline.interval(knots, kind="prediction", level=0.5)]  # fmt: skip
    for one in made:
        assert isinstance(one, torch.Tensor)
        assert one.dtype == dtype
    signs = spline.slope_signs(knots)
    assert (type(signs), signs.dtype, signs.shape) == (np.ndarray, np.int8, (15, 2))


@pytest.mark.parametrize(
    ("size", "rng_given", "error", "match"),
    [
        (-1, 0, ValueError, "size must not be negative"),
        (1.5, 0, TypeError, "size must be an integer"),
        (True, 0, TypeError, "size must be an integer"),
        (1, -1, ValueError, "rng must not be negative"),
        (1, 0.5, TypeError, "None, an int or a numpy.random.Generator"),
        (1, "0", TypeError, "None, an int or a numpy.random.Generator"),
    ],
)
def test_draws_refuse_what_they_cannot_count(size, rng_given, error, match, rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    with pytest.raises(error, match=match):
        spline.sample(0.5, size, rng_given)


def test_what_interpolates_or_hangs_on_one_knot_has_no_draws(rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.0)
    with pytest.raises(ValueError, match="smooth with lam > 0"):
        spline.sample(0.5)
    lone = smooth_spline([0.0, 0.0], [1.0, 2.0], lam=1.0, duplicates="merge")
    with pytest.raises(ValueError, match="two knots or more"):
        lone.sample(0.5)


# --- simultaneous and prediction bands, slopes ---------------------------------------------------


@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_length_of_the_path_is_that_of_many_chords(kind, lam):
    # f / std draws a curve on the unit sphere; the angle between two of its points is the arc
    # cosine of their correlation, here from 2 sin(angle / 2) = |difference| of draws.
    knots = make_knots(kind, 9)
    plan = Smoother(knots, lam=lam)
    solver = plan._plan.solver.exact()
    part = np.linspace(0.0, 1.0, 201)[:-1]
    graded = part**3 / (part**3 + (1.0 - part) ** 3)
    ends = np.append(knots, knots[-1] + 1.0)
    dense = (ends[:-1, np.newaxis] + np.diff(ends)[:, np.newaxis] * graded).ravel()
    dense = np.append(dense, ends[-1])
    drawn = drawn_matrix(plan, dense)[: dense.size]
    on_sphere = drawn / np.sqrt((drawn**2).sum(axis=1, keepdims=True))

    def measure(path):
        chords = np.sqrt((np.diff(path, axis=0) ** 2).sum(axis=1))
        return 2.0 * np.arcsin(chords / 2.0).sum()

    # Slopes are Brownian, so that chords err by the first power of their length.
    expected = 2.0 * measure(on_sphere) - measure(on_sphere[::2])
    assert path_length(solver, ends) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
def test_simultaneous_factor_is_the_quantile_of_the_largest_deviation(bc, rng):
    # Rice's formula counts a path above c as often as it crosses: an upper bound, next to exact
    # where levels are high. With 20,000 draws a quantile of level 0.95 errs by 0.02.
    knots = make_knots("random", 40)
    values = np.sin(6.0 * knots) + 0.3 * rng.standard_normal(40)
    values[-1] = values[0]
    spline = smooth_spline(knots, values, lam=1e-5, bc=bc)
    points = np.linspace(knots[0], knots[-1], 300)
    draws = spline.sample(points, 20_000, rng=2)
    upper = spline.interval(points, kind="simultaneous")[1]
    factor = ((upper - spline(points)) / spline.std(points)).mean()
    freedom = 40 - spline.df
    scale = np.sqrt(np.random.default_rng(3).chisquare(freedom, 20_000) / freedom)
    largest = np.abs((draws - spline(points)) / spline.std(points)).max(axis=1) / scale
    assert np.quantile(largest, 0.95) - 0.03 < factor < np.quantile(largest, 0.95) + 0.12


def test_simultaneous_band_of_one_point_is_that_of_student(rng):
    knots, values = make_knots("random", 15), rng.standard_normal(15)
    spline = smooth_spline(knots, values, lam=0.01)
    freedom = RawFit(knots, values[:, np.newaxis], lam=0.01).freedom
    expected = stats.t.ppf(0.95, freedom) * spline.std(0.3)
    lower, upper = spline.interval(0.3, 0.9, kind="simultaneous")
    assert (upper - lower) / 2.0 == pytest.approx(expected, rel=1e-10)
    none = spline.interval(np.empty(0), kind="simultaneous")
    assert none[0].shape == none[1].shape == (0,)


def test_prediction_of_the_line_is_that_of_regression(rng):
    n = 15
    knots, values = make_knots("random", n), rng.standard_normal((n, 2))
    points = np.linspace(-1.0, 2.0, 7)
    lower, upper = smooth_spline(knots, values, lam=np.inf).interval(points, kind="prediction")
    design, rows = (np.stack([np.ones(t.size), t], axis=1) for t in (knots, points))
    beta, rss, *_ = np.linalg.lstsq(design, values, rcond=None)
    unit = 1.0 + np.einsum("ij,jk,ik->i", rows, np.linalg.inv(design.T @ design), rows)
    half = stats.t.ppf(0.975, n - 2) * np.sqrt(unit[:, np.newaxis] * rss / (n - 2))
    np.testing.assert_allclose(lower, rows @ beta - half, rtol=1e-11)
    np.testing.assert_allclose(upper, rows @ beta + half, rtol=1e-11)


def test_bands_refuse_other_kinds(rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    with pytest.raises(ValueError, match='"pointwise", "simultaneous" or "prediction", got'):
        spline.interval(0.5, kind="confidence")
    with pytest.raises(ValueError, match="these have no slope"):
        spline.interval(0.5, nu=1, kind="prediction")


def draw_process(x, columns, strength, rng):
    """Curves of an integrated Wiener process and their slopes, (n, columns) each."""
    h = np.diff(x, prepend=0.0)
    curve, slope = np.empty((2, x.size, columns))
    f, v = np.zeros(columns), 5.0 * rng.standard_normal(columns)
    for i in range(x.size):
        z = rng.standard_normal((2, columns)) * math.sqrt(strength * h[i])
        f = f + h[i] * v + h[i] * (z[0] / 2.0 + z[1] / math.sqrt(12.0))
        v = v + z[0]
        curve[i], slope[i] = f, v
    return curve, slope


def coverage(band, truth):
    lower, upper = band
    return (lower <= truth) & (truth <= upper)


def expected_coverage(level, x, spline, *, of_values=False):
    """What bands hold of curves of the process, or of values about them: a little too much.

    Of these RSS has the mean ``sigma**2 (n - df)``, of noise alone ``sigma**2 tr((I - S)**2)``.
    """
    n, rest = x.size, x.size - spline.df
    hat = Smoother(x, lam=spline.lam).fit(np.eye(n)).values
    squared = np.trace((np.eye(n) - hat) @ (np.eye(n) - hat))
    freedom, larger = rest**2 / squared, np.array([(n - 2) / rest])
    if of_values:
        larger = (rest / squared + larger * np.diag(hat)) / (1.0 + np.diag(hat))
    assert larger.min() > 1.02
    assert larger.max() < 1.15
    factors = np.sqrt(larger) * stats.t.isf(0.5 - level / 2, freedom)
    return 1.0 - 2.0 * stats.t.sf(factors, freedom).mean()


@pytest.fixture(scope="module")
def curves():
    """1,000 noisy series about curves of the process itself, fitted by its lam."""
    rng, sigma, lam = np.random.default_rng(21), 0.2, 1e-4
    x = np.sort(rng.uniform(0.0, 1.0, 80))
    curve, slope = draw_process(x, 1000, sigma**2 / lam, rng)
    values = curve + sigma * rng.standard_normal(curve.shape)
    return x, curve, slope, sigma, smooth_spline(x, values, lam=lam)


@pytest.fixture(scope="module")
def waves():
    """400 noisy series about a smooth curve, fitted by GCV; the truth and its slope."""
    rng, sigma = np.random.default_rng(21), 0.2
    x = np.sort(rng.uniform(0.0, 1.0, 80))
    curve = (np.sin(2.0 * np.pi * x) + 0.5 * np.cos(5.0 * x))[:, np.newaxis]
    slope = (2.0 * np.pi * np.cos(2.0 * np.pi * x) - 2.5 * np.sin(5.0 * x))[:, np.newaxis]
    values = curve + sigma * rng.standard_normal((80, 400))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few series are best interpolated
        return x, curve, slope, sigma, smooth_spline(x, values)


def test_the_band_of_the_slope_covers_it(curves):
    x, _, slope, _, spline = curves
    inside = coverage(spline.interval(x, nu=1), slope).mean(axis=0)
    error = inside.std() / math.sqrt(inside.size)
    assert abs(inside.mean() - expected_coverage(0.95, x, spline)) < 3.0 * error + 0.001


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_simultaneous_band_covers_the_whole_curve(curves, level):
    x, curve, _, _, spline = curves
    whole = coverage(spline.interval(x, level, kind="simultaneous"), curve).all(axis=0).mean()
    # The number of crossings is an upper bound, and the band covers more than the 80 points.
    assert level - 3.0 * math.sqrt(level * (1.0 - level) / 1000) < whole < 0.4 * level + 0.6
    assert coverage(spline.interval(x, level), curve).all(axis=0).mean() < level - 0.2


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_simultaneous_band_covers_the_whole_slope(curves, level):
    x, _, slope, _, spline = curves
    band = spline.interval(x, level, nu=1, kind="simultaneous")
    whole = coverage(band, slope).all(axis=0).mean()
    # The band is 1.06 times as wide as it need be for curves of the process.
    assert level - 3.0 * math.sqrt(level * (1.0 - level) / 1000) < whole < 0.45 * level + 0.55


def test_the_simultaneous_bands_cover_a_smooth_curve_of_chosen_lam(waves):
    x, curve, slope, _, spline = waves
    whole = coverage(spline.interval(x, kind="simultaneous"), curve).all(axis=0).mean()
    assert whole > 0.95 - 3.0 * math.sqrt(0.95 * 0.05 / 400)
    assert coverage(spline.interval(x), curve).all(axis=0).mean() < 0.7
    assert coverage(spline.interval(x, nu=1), slope).mean() > 0.97  # smoother than the process


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_prediction_interval_covers_further_values(curves, level):
    x, curve, _, sigma, spline = curves
    again = curve + sigma * np.random.default_rng(5).standard_normal(curve.shape)
    inside = coverage(spline.interval(x, level, kind="prediction"), again).mean(axis=0)
    error = inside.std() / math.sqrt(inside.size)
    expected = expected_coverage(level, x, spline, of_values=True)
    assert abs(inside.mean() - expected) < 3.0 * error + 0.001


def test_signs_tell_where_the_band_of_the_slope_excludes_0(curves):
    x, _, slope, _, spline = curves
    signs = spline.slope_signs(x)
    lower, upper = spline.interval(x, nu=1)
    np.testing.assert_array_equal(signs, (lower > 0.0).astype(int) - (upper < 0.0))
    assert 0.3 < np.abs(signs).mean() < 0.9
    assert (signs * slope < 0.0).mean() < 0.025
    sure = spline.slope_signs(x, kind="simultaneous")
    assert (np.abs(sure) <= np.abs(signs)).all()
    assert (sure * slope < 0.0).any(axis=0).mean() < 0.05
    assert np.abs(sure).mean() > 0.1


def test_draws_take_the_roughness_of_end_gaps_without_values():
    knots = np.array([0.0, 1.0, 2.5, 3.0, 4.0, 5.5, 6.0, 8.0])
    weights = np.array([0.0, 0.0, 1.0, 2.0, 1.0, 3.0, 0.0, 0.0])
    roughness = np.array([0.5, 4.0, 1.0, 2.0, 0.5, 8.0, 0.25])
    plan = Smoother(knots, lam=0.3, weights=weights, roughness=roughness)
    solver = plan._plan.solver.exact()
    points = np.array([-2.0, 0.4, 1.7, 2.5, 3.3, 5.9, 6.5, 8.0, 11.0])
    draws = solver.draws(points)
    count = 2 * draws.nodes
    for nu, row in ((0, 0), (1, 2)):
        roots = draws(np.eye(count).reshape(2, draws.nodes, count), nu)
        np.testing.assert_allclose(
            (roots**2).sum(axis=1), solver.covariances(points)[row], rtol=1e-12
        )
