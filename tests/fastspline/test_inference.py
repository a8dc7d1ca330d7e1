"""Bands, scores and degrees of freedom of a fit, by dense algebra and by simulation."""

import math
import statistics

import numpy as np
import pytest
import torch
from gmpy2 import mpfr
from scipy import stats

from fastspline import Smoother, select_lam, smooth_spline
from fastspline._plan import Plan
from tests.oracles.beam import BeamSmoother
from tests.oracles.raw import RawFit
from tests.oracles.splines import (
    ExactSmoother,
    HermiteSmoother,
    exact,
    exact_scores,
    rounded,
    solve,
    squared_trace,
)
from tests.support.strategies import KNOT_KINDS, make_knots, make_weights

EXACT, CLOSE = 1e-12, 1e-11
SLOPES = ("slope", 2.0, -1.0)
bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")


def posterior_variances(knots, weights, lam, points):
    """Var f(t) in units of the noise: kriging with a generalised covariance, at 100 digits.

    With drifts [1, t] without a prior, a covariance need only be right for contrasts that vanish on
    lines: |s - t|**3 / (12 lam) is (Matheron 1973; Wahba 1990, section 2.4). The variance of the
    best predictor of f(t) is k(t, t) - b' A^-1 b, A the bordered system and b its right side.
    """
    x, t, strength = exact(knots), exact(points), mpfr(float(lam))
    n = len(x)
    system = np.full((n + 2, n + 2), mpfr(0), dtype=object)
    system[:n, :n] = abs(x[:, np.newaxis] - x) ** 3 / 12 / strength
    system[range(n), range(n)] += 1 / exact(weights)
    system[:n, n] = system[n, :n] = mpfr(1)
    system[:n, n + 1] = system[n + 1, :n] = x
    right = np.full((n + 2, len(t)), mpfr(0), dtype=object)
    right[:n] = abs(x[:, np.newaxis] - t) ** 3 / 12 / strength
    right[n], right[n + 1] = mpfr(1), t
    return rounded(-np.sum(right * solve(system, right), axis=0))


# --- standard deviations -------------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "random", "zeros"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-9, 1e-4, 1.0, 1e5])
def test_std_is_that_of_the_gaussian_process(kind, weight_kind, lam, rng):
    knots, weights = make_knots(kind, 12), make_weights(weight_kind, 12)
    values = rng.standard_normal((12, 3))
    w = np.ones(12) if weights is None else weights
    used = w > 0
    between = 0.3 * knots[:-1] + 0.7 * knots[1:]
    outside = np.array([knots[0] - 2.0, knots[0] - 1e-3, knots[-1] + 0.5, knots[-1] + 3.0])
    points = np.concatenate([knots, between, outside])
    spline = smooth_spline(knots, values, weights=weights, lam=lam)
    unit = posterior_variances(knots[used], w[used], lam, points)
    raw = RawFit(knots, values, weights=weights, lam=lam)
    expected = np.sqrt(unit[:, np.newaxis] * raw.curve_variance)
    np.testing.assert_allclose(spline.std(points), expected, rtol=CLOSE)


@pytest.mark.parametrize("weight_kind", ["one", "random", "zeros"])
@pytest.mark.parametrize("lam", [1e-6, 1.0, np.inf])
def test_std_at_the_knots_is_wahbas(weight_kind, lam, rng):
    # Wahba (1983), eq. 2.5: sigma**2 S_ii / w_i, here with the score of GCV less 2 / n of it.
    knots, weights = make_knots("random", 14), make_weights(weight_kind, 14)
    values = rng.standard_normal(14)
    w = np.ones(14) if weights is None else weights
    used = w > 0
    hat = ExactSmoother(knots, lam=lam, weights=weights).hat()
    lever = np.diag(hat)[used]
    residuals = (exact(values) - hat @ exact(values))[used]
    rest, n = used.sum() - lever.sum(), int(used.sum())
    variance = (n - 2) * (exact(w[used]) @ residuals**2) / rest**2
    expected = np.sqrt(rounded(variance * lever / exact(w[used])))
    spline = smooth_spline(knots, values, weights=weights, lam=lam)
    np.testing.assert_allclose(spline.std(knots[used]), expected, rtol=CLOSE)


def test_std_of_the_line_is_that_of_regression(rng):
    knots, values = make_knots("random", 15), rng.standard_normal(15)
    spline = smooth_spline(knots, values, lam=np.inf)
    points = np.linspace(-3.0, 4.0, 11)
    design, rows = (np.stack([np.ones(t.size), t], axis=1) for t in (knots, points))
    rss = np.linalg.lstsq(design, values, rcond=None)[1]
    unit = np.einsum("ij,jk,ik->i", rows, np.linalg.inv(design.T @ design), rows)
    np.testing.assert_allclose(spline.std(points), np.sqrt(unit * rss / 13), rtol=1e-12)


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
@pytest.mark.parametrize("lam", [1e-8, 1e-3, 10.0])
def test_std_of_other_ends(bc, rough, lam, rng):
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
    # Between the knots what their values and slopes do not tell: the bridge of the process.
    bridge = h**3 * (u * (1.0 - u)) ** 3 / 3.0 / (lam * rho[cell])
    unit = HermiteSmoother(knots, **options).covariance(points) + bridge
    expected = np.sqrt(unit[:, np.newaxis] * RawFit(knots, values, **options).curve_variance)
    np.testing.assert_allclose(spline.std(points), expected, rtol=1e-10)
    beyond = knots[-1] + np.array([0.1, 0.4])
    if bc == "periodic":
        period = knots[-1] - knots[0]
        np.testing.assert_allclose(spline.std(beyond), spline.std(beyond - period), rtol=1e-12)
    elif bc != "natural":  # the slope is known there
        before = knots[0] - np.array([0.4, 0.1])
        np.testing.assert_allclose(spline.std(beyond), spline.std(knots[[-1, -1]]), rtol=1e-12)
        np.testing.assert_allclose(spline.std(before), spline.std(knots[[0, 0]]), rtol=1e-12)


@pytest.mark.parametrize("idle", [[0], [8], [0, 1, 7, 8]], ids=str)
@pytest.mark.parametrize("lam", [1e-6, 1e-2, 10.0])
def test_std_beyond_the_values_knows_the_roughness_of_gaps_there(idle, lam, rng):
    """Knots of weight 0 at the ends: as with a value there of next to no weight."""
    n = 9
    knots, values = make_knots("random", n), rng.standard_normal(n)
    roughness = 10.0 ** np.random.default_rng(7).uniform(-2.0, 2.0, n - 1)
    weights = rng.uniform(0.5, 2.0, n)
    weights[idle] = 0.0
    outside = [knots[0] - 1.5, knots[0] - 0.1, knots[-1] + 0.2, knots[-1] + 3.0]
    points = np.concatenate([knots, 0.3 * knots[1:] + 0.7 * knots[:-1], outside])
    spline = smooth_spline(knots, values, weights=weights, lam=lam, roughness=roughness)
    faint = np.where(weights > 0.0, weights, 1e-60)
    unit = BeamSmoother(knots, lam=lam, weights=faint, roughness=roughness).variances(points)
    used = weights > 0.0
    inner = roughness[np.flatnonzero(used)[0] : np.flatnonzero(used)[-1]]
    variance = RawFit(
        knots[used], values[used, np.newaxis], weights=weights[used], lam=lam, roughness=inner
    ).curve_variance
    np.testing.assert_allclose(spline.std(points), np.sqrt(unit * variance), rtol=CLOSE)


def test_merged_rows_have_the_std_of_all_of_them(rng):
    knots = np.array([0.0, 0.0, 0.3, 0.5, 0.5, 0.5, 0.9, 1.0, 1.0])
    values, weights = rng.standard_normal(9), rng.uniform(0.5, 2.0, 9)
    spline = smooth_spline(knots, values, weights=weights, lam=0.01, duplicates="merge")
    points = np.linspace(-0.5, 1.5, 15)
    places, row = np.unique(knots, return_inverse=True)
    unit = posterior_variances(places, np.bincount(row, weights), 0.01, points)
    variance = RawFit(knots, values[:, np.newaxis], weights=weights, lam=0.01).curve_variance
    np.testing.assert_allclose(spline.std(points), np.sqrt(unit * variance), rtol=CLOSE)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("points_shape", [(), (4,), (2, 3), (0,)])
def test_shapes_of_bands(axis, points_shape, rng):
    knots, values = make_knots("random", 15), rng.standard_normal((15, 2, 3))
    points = rng.uniform(-0.5, 1.5, points_shape)
    spline = smooth_spline(knots, np.moveaxis(values, 0, axis), lam=0.01, axis=axis)
    plain = smooth_spline(knots, values, lam=0.01)
    expected = plain.std(points.ravel()).reshape(*points_shape, 2, 3)
    ndim = len(points_shape)
    moved = np.moveaxis(expected, range(ndim), range(axis, axis + ndim))
    np.testing.assert_array_equal(spline.std(points), moved)
    lower, upper = spline.interval(points)
    assert lower.shape == upper.shape == spline(points).shape == moved.shape


@pytest.mark.parametrize("lam", ["gcv", 1e-3, [1e-3, 1e-2, 1e-3]], ids=["gcv", "one", "own"])
@pytest.mark.parametrize("few", [1, 2])
def test_a_column_with_too_few_values_takes_no_band_from_others(few, lam, rng):
    x = np.linspace(0.0, 1.0, 20)
    y = np.sin(6.0 * x)[:, np.newaxis] + 0.1 * rng.standard_normal((20, 3))
    y[few:, 1] = np.nan
    curve = smooth_spline(x, y, lam=lam, missing="omit")
    given = lam if isinstance(lam, str | float) else lam[::2]
    others = smooth_spline(x, y[:, ::2], lam=given)
    at = [0.2, 0.5, 1.2]
    for kind in ("pointwise", "simultaneous", "prediction"):
        ends, expected = curve.interval(at, kind=kind), others.interval(at, kind=kind)
        for found, own in zip(ends, expected, strict=True):
            assert np.isnan(found[:, 1]).all()
            np.testing.assert_allclose(found[:, ::2], own, rtol=1e-12)
    assert np.isnan(curve.std(at, 1)[:, 1]).all()
    assert not curve.slope_signs(at)[:, 1].any()
    drawn = curve.sample(at, 2, 1)
    assert np.isnan(drawn[..., 1]).all()
    assert np.isfinite(drawn[..., ::2]).all()
    with pytest.raises(ValueError, match="no standard deviation"):
        smooth_spline(x, y[:, [1]], lam=1e-3, missing="omit").std(at)
    with pytest.raises(ValueError, match="in column 2"):
        smooth_spline(x, y, lam=[1.0, 1.0, 0.0], missing="omit").std(at)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_interval_is_centre_and_quantile(level, rng):
    knots = make_knots("random", 15)
    values = rng.standard_normal((15, 2))
    spline = smooth_spline(knots, values, lam=0.01)
    points = np.linspace(-0.5, 1.5, 9)
    lower, upper = spline.interval(points, level)
    factor = stats.t.ppf(0.5 + level / 2, RawFit(knots, values, lam=0.01).freedom)
    np.testing.assert_allclose((lower + upper) / 2, spline(points), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose((upper - lower) / 2, factor * spline.std(points), rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_kinds_of_bands(dtype, rng):
    knots = make_knots("random", 15)
    tensor = torch.from_numpy(rng.standard_normal((15, 2))).to(dtype)
    spline = smooth_spline(knots, tensor, lam=0.01)
    ours = [spline.std(knots), *spline.interval(knots)]
    array = smooth_spline(knots, tensor.numpy(), lam=0.01)
    theirs = [array.std(knots), *array.interval(knots)]
    for mine, same in zip(ours, theirs, strict=True):
        assert isinstance(mine, torch.Tensor)
        assert mine.dtype == dtype
        assert mine.numpy().dtype == same.dtype
        np.testing.assert_array_equal(mine.numpy(), same)


@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
def test_a_curve_that_interpolates_has_no_band(bc, rng):
    knots, values = make_knots("random", 15), rng.standard_normal(15)
    spline = smooth_spline(knots, values, lam=0.0, bc=bc)
    for question in (spline.std, spline.interval):
        with pytest.raises(ValueError, match=r"lam = 0.*smooth with lam > 0"):
            question(0.5)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95, np.nan])
def test_level_is_a_probability(level, rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    with pytest.raises(ValueError, match="between 0 and 1"):
        spline.interval(0.5, level)


@pytest.mark.parametrize("level", ["0.95", None, True])
def test_level_is_a_number(level, rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    with pytest.raises(TypeError, match="level must be a number between 0 and 1"):
        spline.interval(0.5, level)


def test_bands_refuse_points_that_are_not_finite(rng):
    spline = smooth_spline(make_knots("random", 9), rng.standard_normal(9), lam=0.01)
    for question in (spline.std, spline.interval):
        with pytest.raises(ValueError, match=r"points\[1\] = nan"):
            question([0.0, np.nan])


@bounds_expected  # by GCV a curve in a hundred follows its noise (Wahba and Wang 1995)
@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("weighted", [False, True])
def test_band_covers_the_truth_on_average_over_the_knots(weighted, level):
    # Nychka (1988): the mean coverage over the knots is near the level. The knots of one curve are
    # not independent, curves are: of 400 the mean has a standard error of s / sqrt(400), s that of
    # the curves' fractions. We allow three, and 0.01 for what the theorem leaves open.
    n, curves = 100, 400
    rng = np.random.default_rng(11)
    knots = np.sort(rng.uniform(0.0, 1.0, n))
    truth = np.sin(2.0 * np.pi * knots) + 0.5 * np.cos(5.0 * knots)
    weights = rng.uniform(0.3, 3.0, n) if weighted else None
    noise = 0.2 / np.sqrt(np.ones(n) if weights is None else weights)
    values = truth[:, np.newaxis] + noise[:, np.newaxis] * rng.standard_normal((n, curves))
    lower, upper = smooth_spline(knots, values, weights=weights).interval(knots, level)
    inside = (lower <= truth[:, np.newaxis]) & (truth[:, np.newaxis] <= upper)
    fractions = inside.mean(axis=0)
    error = statistics.stdev(fractions.tolist()) / math.sqrt(curves)
    assert error < 0.01
    assert abs(fractions.mean() - level) <= 3.0 * error + 0.01


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("decades", [0.0, 6.0])
@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-14, 1e-6, 1e-2, 1e8])
def test_the_trace_of_the_squared_rest_is_that_of_dense_algebra(lam, kind, bc, decades, rough):
    n, rng = 8, np.random.default_rng(17)
    knots, weights = make_knots(kind, n), 10.0 ** rng.uniform(-decades / 2, decades / 2, n)
    if bc == "periodic":
        weights[-1] *= rng.integers(2)  # there is a value at one end, or at both
    roughness = 10.0 ** rng.uniform(-1.0, 1.0, n - 1) if rough else None
    plan = Plan(knots, lam, weights, bc, roughness)
    raw = RawFit(knots, np.zeros((n, 1)), lam=lam, weights=weights, bc=bc, roughness=roughness)
    expected = float(squared_trace(raw.hat))
    assert plan.solver.exact().squared_rest() == pytest.approx(expected, rel=1e-10, abs=0.0)


def test_variance_estimates_the_noise():
    # RSS / tr((I - S)^2) has mean sigma**2 but for squared bias, and variance about 2 sigma**4 / (n
    # - df): of 300 curves the mean lies within four standard errors.
    n, curves, sigma = 100, 300, 0.2
    rng = np.random.default_rng(12)
    knots = np.sort(rng.uniform(0.0, 1.0, n))
    truth = np.sin(2.0 * np.pi * knots)
    values = truth[:, np.newaxis] + sigma * rng.standard_normal((n, curves))
    spline = smooth_spline(knots, values, lam=1e-5)
    error = sigma**2 * math.sqrt(2.0 / (n - spline.df) / curves)
    assert abs(spline.residual_variance.mean() - sigma**2) <= 4.0 * error


@pytest.mark.parametrize("bc", ["natural", "periodic", ("slope", 0.0, 0.0)], ids=str)
@pytest.mark.parametrize("lam", [1e-12, 1e-7, 1e-4, np.inf])
def test_variance_of_noise_alone_is_unbiased_for_every_lam(lam, bc):
    # RSS / (n - df) would be 2e-6 sigma**2 for the least lam. With M = (I - S)(I - S)' an estimate
    # has the variance 2 sigma**4 tr(M M) / tr(M)**2.
    n, draws, sigma = 60, 2000, 0.2
    rng = np.random.default_rng(13)
    knots = np.sort(rng.uniform(0.0, 1.0, n))
    values = 2.0 + sigma * rng.standard_normal((n, draws))
    found = smooth_spline(knots, values, lam=lam, bc=bc).residual_variance
    hat = RawFit(knots, np.eye(n), lam=min(lam, 1e12), bc=bc, digits=False).hat
    rest = (np.eye(n) - hat) @ (np.eye(n) - hat).T
    error = sigma**2 * math.sqrt(2.0 * (rest * rest).sum() / draws) / np.trace(rest)
    assert abs(found.mean() - sigma**2) <= 4.0 * error


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", ["one", "random", "zeros"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-9, 1e-3, 10.0, 1e9, np.inf])
def test_scores_by_their_definitions(kind, weight_kind, lam, rng):
    knots, weights = make_knots(kind, 12), make_weights(weight_kind, 12)
    values = 3.0 + 5.0 * knots + rng.standard_normal(12)
    spline = smooth_spline(knots, values, weights=weights, lam=lam)
    expected = exact_scores(knots, values, lam=lam, weights=weights)
    assert spline.gcv == pytest.approx(expected["gcv"], rel=CLOSE)
    assert spline.loo == pytest.approx(expected["loo"], rel=CLOSE)
    assert spline.reml == pytest.approx(expected["reml"], rel=CLOSE, abs=12 * CLOSE)
    variance = expected["rss"] / expected["squared"]
    assert spline.residual_variance == pytest.approx(variance, rel=CLOSE)


def test_scores_of_one_lam_a_column(rng):
    knots, values = make_knots("random", 12), rng.standard_normal((12, 4))
    weights, lams = make_weights("random", 12), np.array([1e-6, 1e-2, 1e-6, np.inf])
    spline = smooth_spline(knots, values, weights=weights, lam=lams)
    for j in range(4):
        expected = exact_scores(knots, values[:, j], lam=lams[j], weights=weights)
        for name in ("gcv", "loo", "reml"):
            assert getattr(spline, name)[j] == pytest.approx(expected[name], rel=CLOSE), name


@bounds_expected
@pytest.mark.parametrize("criterion", ["gcv-plain", "loo", "reml"])
def test_chosen_lam_has_the_least_score(criterion, rng):
    name = criterion.removesuffix("-plain")
    knots = make_knots("random", 40)
    values = np.sin(7.0 * knots)[:, np.newaxis] + 0.3 * rng.standard_normal((40, 5))
    lam = select_lam(knots, values, criterion=criterion)
    best = getattr(smooth_spline(knots, values, lam=criterion), name)
    np.testing.assert_array_equal(best, getattr(smooth_spline(knots, values, lam=lam), name))
    for factor in (0.7, 1.4):
        other = getattr(smooth_spline(knots, values, lam=lam * factor), name)
        assert (best <= other).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bc": "periodic"},
        {"bc": SLOPES},
        {"roughness": np.geomspace(0.2, 5.0, 19)},
    ],
    ids=str,
)
def test_loo_by_leaving_out(options, rng):
    n = 20
    knots, weights = make_knots("random", n), make_weights("random", n)
    values, lam = rng.standard_normal((n, 2)), 1e-3
    spline = smooth_spline(knots, values, weights=weights, lam=lam, **options)
    # A knot whose roughness differs on both sides, or with a given slope, cannot be dropped: its
    # weight is made too small to matter.
    apart = np.empty((n, 2))
    for i in range(n):
        less = weights.copy()
        less[i] *= 1e-14
        apart[i] = values[i] - smooth_spline(knots, values, weights=less, lam=lam, **options)(
            knots[i]
        )
    np.testing.assert_allclose(spline.loo, weights @ apart**2 / n, rtol=1e-9)


def test_loo_of_repeats_by_leaving_out(rng):
    knots = np.repeat(np.linspace(0.0, 1.0, 10), [1, 3, 1, 2, 2, 1, 4, 1, 3, 2])
    n = knots.size
    assert n == 20
    values, lam = rng.standard_normal(n), 1e-3
    apart = np.empty(n)
    for i in range(n):
        kept = np.arange(n) != i
        less = smooth_spline(knots[kept], values[kept], lam=lam, duplicates="merge")
        apart[i] = values[i] - less(knots[i])
    spline = smooth_spline(knots, values, lam=lam, duplicates="merge")
    assert spline.loo == pytest.approx(np.mean(apart**2), rel=1e-11)


@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-10, 1e-5, 1.0])
def test_scores_of_periodic_splines(kind, lam, rng):
    n = 12
    knots, values = make_knots(kind, n), rng.standard_normal((n, 2))
    spline = smooth_spline(knots, values, lam=lam, bc="periodic")
    raw = RawFit(knots, values, lam=lam, bc="periodic")
    np.testing.assert_allclose(spline.gcv, raw.gcv, rtol=10 * CLOSE)
    np.testing.assert_allclose(spline.loo, raw.loo, rtol=10 * CLOSE)


@pytest.mark.parametrize("lam", [1e-22, 1e-16])
def test_loo_of_circles_next_to_interpolation(lam, rng):
    knots = make_knots("chebyshev", 31)
    values = rng.standard_normal((31, 2))
    values[-1] = values[0]
    spline = smooth_spline(knots, values, lam=lam, bc="periodic")
    raw = RawFit(knots, values, lam=lam, bc="periodic")
    np.testing.assert_allclose(spline.loo, raw.loo, rtol=CLOSE)
    np.testing.assert_allclose(spline.gcv, raw.gcv, rtol=CLOSE)


def test_leverages_tell_how_far_a_fit_follows_a_value(rng):
    knots, values = make_knots("random", 12), rng.standard_normal(12)
    for bc in ("natural", "periodic", SLOPES):
        spline = Smoother(knots, lam=1e-3, bc=bc).fit(values)
        for i in (0, 4, 11):
            moved = values.copy()
            moved[i] += 1.0
            change = Smoother(knots, lam=1e-3, bc=bc).fit(moved).values[i] - spline.values[i]
            assert spline.leverages[i] == pytest.approx(change, rel=1e-10)
        assert spline.df == pytest.approx(spline.leverages.sum(), rel=1e-14)
