import mpmath
import numpy as np
import pytest

from coded.estimation.blend import blend
from coded.estimation.candidates import (
    Mean,
    Nearest,
    candidates,
    fit_process,
    trend_of,
    trend_with_line,
)
from coded.estimation.covariances import LINEAR, QUADRATIC, covariances
from coded.estimation.fitted import estimate
from coded.estimation.likelihood import JITTER, Values
from coded.estimation.views import Description

FAMILIES = ["squared-exponential", "matern-5/2", "matern-3/2", 1.5, LINEAR, 3.0, QUADRATIC]
every_family = pytest.mark.parametrize("family", FAMILIES)


def case(n=14, t=5, d=2, columns=3, seed=0, counts=None):
    rng = np.random.default_rng(seed)
    here, there = rng.normal(size=(n, d)), rng.normal(size=(t, d))
    values = np.cos(here @ rng.normal(size=(d, columns))) + 0.05 * rng.normal(size=(n, columns))
    return here, there, Values(values, np.ones(n) if counts is None else counts)


def squared(a, b):
    return ((a[:, None] - b) ** 2).sum(axis=2)


def fitted(family, here, there, values, with_line):
    make = trend_with_line if with_line else trend_of
    zero = slice(None) if with_line else slice(0)
    trend = make(values, here[:, zero], there[:, zero])
    return fit_process(family, trend, squared(here, here), squared(there, here), values)


def solved(family, here, there, values, noise, with_line, unit):
    """Universal kriging by the bordered system: what is predicted, and its variance."""
    n, t = len(here), len(there)
    ones = [np.ones((m, 1)) for m in (n, t)]
    trend, drift = (
        np.hstack([one, rows]) if with_line else one
        for one, rows in zip(ones, (here, there), strict=True)
    )
    p = trend.shape[1]
    among = covariances(family, squared(here, here)) / unit + np.diag(noise / values.counts)
    system = np.block([[among + 1e-14 * np.eye(n), trend], [trend.T, np.zeros((p, p))]])
    to = covariances(family, squared(there, here)) / unit
    wanted = np.hstack([to, drift]).T
    found = np.linalg.solve(system, wanted)
    at_zero = 0.0 if isinstance(family, float) else 1.0
    return found[:n].T @ values.means, at_zero + noise - (found * wanted).sum(axis=0)


def unit_of(family, here):
    is_power = isinstance(family, float)
    return np.abs(covariances(family, squared(here, here))).max() if is_power else 1.0


@every_family
@pytest.mark.parametrize("with_line", [False, True])
@pytest.mark.parametrize("counted", [False, True])
def test_weights_and_variances_are_those_of_the_bordered_system(family, with_line, counted):
    with_line = (with_line or family in (3.0, QUADRATIC)) and family != LINEAR
    counts = np.arange(1.0, 15.0) % 4 + 1 if counted else None
    here, there, values = case(counts=counts)
    process = fitted(family, here, there, values, with_line)
    expected, variances = solved(
        family, here, there, values, process.noise, with_line, unit_of(family, here)
    )
    np.testing.assert_allclose(process.weights() @ values.means, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(process.target_variances(), variances, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(process.weights().sum(axis=1), 1.0, rtol=0, atol=1e-9)


@every_family
@pytest.mark.parametrize("counted", [False, True])
def test_what_is_left_out_is_what_the_others_miss(family, counted):
    counts = np.arange(1.0, 15.0) % 4 + 1 if counted else None
    here, there, values = case(counts=counts)
    with_line = family in (3.0, QUADRATIC)
    process = fitted(family, here, there, values, with_line)
    unit = unit_of(family, here)
    for i in range(len(here)):
        rest = np.delete(np.arange(len(here)), i)
        predicted, variance = solved(
            family, here[rest], here[[i]], values.part(rest), process.noise, with_line, unit
        )
        noise_there = process.noise / values.counts[i] - process.noise
        np.testing.assert_allclose(
            process.left_out[i], values.means[i] - predicted[0], rtol=1e-5, atol=1e-6
        )
        assert process.variances[i] == pytest.approx(variance[0] + noise_there, rel=1e-5)


@every_family
@pytest.mark.parametrize("counted", [False, True])
def test_what_is_left_out_with_a_neighbour_is_what_the_rest_misses(family, counted):
    counts = np.arange(1.0, 15.0) % 4 + 1 if counted else None
    here, there, values = case(counts=counts)
    process = fitted(family, here, there, values, family in (3.0, QUADRATIC))
    unit, others = unit_of(family, here), (np.arange(14) * 5 + 3) % 14
    found, variances = process.without(others), process.variances_without(others)
    nearest = Nearest(squared(here, here), squared(there, here), values.means)
    from_nearest = nearest.without(others)
    from_mean = Mean(5, values.means).without(others)
    for i in range(len(here)):
        rest = np.delete(np.arange(len(here)), [i, others[i]])
        predicted, variance = solved(
            family, here[rest], here[[i]], values.part(rest), process.noise,
            family in (3.0, QUADRATIC), unit,
        )  # fmt: skip
        own = process.noise / values.counts[i] - process.noise
        missed = values.means[i] - predicted[0]
        np.testing.assert_allclose(found[i], missed, rtol=1e-4, atol=1e-5)
        assert variances[i] == pytest.approx(variance[0] + own, rel=1e-4)
        near = rest[squared(here[[i]], here[rest]).argmin()]
        np.testing.assert_array_equal(from_nearest[i], values.means[i] - values.means[near])
        np.testing.assert_allclose(from_mean[i], values.means[i] - values.means[rest].mean(axis=0))


def test_neighbours_are_the_values_that_vary_together_most():
    here, there, values = case()
    near = (squared(here, here) + np.diag(np.full(14, np.inf))).argmin(axis=1)
    for family in ("matern-5/2", 1.5):
        found = fitted(family, here, there, values, with_line=False).neighbours
        np.testing.assert_array_equal(found, near)


@pytest.mark.parametrize("family", [LINEAR, QUADRATIC])
def test_even_powers_of_distance_are_ridge_regression(family):
    here, there, values = case(n=30)
    process = fitted(family, here, there, values, with_line=family == QUADRATIC)
    unit = np.abs(covariances(family, squared(here, here))).max()

    def terms(rows):
        free, products = [np.ones((len(rows), 1))], np.einsum("ni,nj->nij", rows, rows)
        if family == LINEAR:
            return free[0], np.sqrt(2.0) * rows
        lengths = np.sqrt(2.0) * products.trace(axis1=1, axis2=2)[:, None]
        return np.hstack([*free, rows]), np.hstack([2.0 * products.reshape(len(rows), -1), lengths])

    free, bound = terms(here)
    count = bound.shape[1]
    penalty = np.hstack([np.zeros((count, free.shape[1])), np.eye(count)])
    penalty *= np.sqrt(unit * (process.noise + 1e-14))
    system = np.vstack([np.hstack([free, bound]), penalty])
    wanted = np.vstack([values.means, np.zeros((count, values.means.shape[1]))])
    found = np.linalg.lstsq(system, wanted, rcond=None)[0]
    expected = np.hstack(terms(there)) @ found
    np.testing.assert_allclose(process.weights() @ values.means, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("d", [3, 20])
def test_a_blend_knows_polynomials(d):
    """Quadratic ones of few numbers, linear ones of many."""
    here, there = case(n=40, d=d)[:2]
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(d, 2)), rng.normal(size=(d, 2)) * (d == 3)
    values, expected = (rows @ a + (rows @ b) ** 2 for rows in (here, there))
    spread = values.std()
    views = Description(np.concatenate([here, there])).views
    found = estimate(views, np.arange(40), np.arange(40, 45), Values(values, np.ones(40)))
    np.testing.assert_allclose(found.weights @ values, expected, rtol=0, atol=1e-4 * spread)


def test_numbers_that_do_not_matter_cost_little():
    """Of six two do."""
    errors = []
    for seed in range(5):
        rows = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(70, 6))
        values = rows[:, :1] ** 2 + np.sin(3.0 * rows[:, 1:2])
        given = Values(values[:60], np.ones(60))
        found = estimate(Description(rows).views, np.arange(60), np.arange(60, 70), given)
        errors.append((found.weights @ values[:60] - values[60:]) / values.std())
    assert np.sqrt(np.mean(np.square(errors))) < 0.003  # .008 where all lengths are pulled alike


def test_nearest_and_mean_are_left_out_by_refitting():
    here, there, values = case()
    nearest = Nearest(squared(here, here), squared(there, here), values.means)
    mean = Mean(len(there), values.means)
    for i in range(len(here)):
        rest = np.delete(np.arange(len(here)), i)
        closest = rest[squared(here[[i]], here[rest]).argmin()]
        np.testing.assert_allclose(nearest.left_out[i], values.means[i] - values.means[closest])
        np.testing.assert_allclose(
            mean.left_out[i], values.means[i] - values.means[rest].mean(axis=0)
        )
    assert (nearest.weights().argmax(axis=1) == squared(there, here).argmin(axis=1)).all()
    assert (nearest.weights().sum(axis=1) == 1.0).all()
    np.testing.assert_allclose(mean.weights() @ values.means, [values.means.mean(axis=0)] * 5)


def test_a_line_needs_points_that_span_it():
    here, there, values = case(n=14)
    assert trend_with_line(values, here, there) is not None
    assert trend_with_line(values.part(np.arange(5)), here[:5], there) is None  # 3 terms
    on_a_line = here[:, :1] * np.array([1.0, 2.0])
    assert trend_with_line(values, on_a_line, there) is None


def test_a_blend_gives_weight_by_left_out_errors_alone():
    here, there, values = case(n=30)
    between = [((a.T[:, :, None] - here.T[:, None]) ** 2) for a in (here, there)]
    found = [Mean(5, values.means), *candidates(here, there, tuple(between), values)[0]]
    weights, variances, _ = blend(found, values.means)
    errors = np.array([np.linalg.norm(one.left_out, axis=1).mean() for one in found])
    # Of two lengths one is fitted beyond a common one, but for the mean, the nearest, and equal.
    lengths = np.array([0, 0, 1, 1, 1, 1, 1, 0, 0])
    assert [one.lengths for one in found] == lengths.tolist()
    share = (errors * (1.0 + lengths / 30)) ** -5.0
    share[share < 0.05 * share.max()] = 0.0
    expected = sum(s * one.weights() for s, one in zip(share / share.sum(), found, strict=True))
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12)
    assert (variances > 0).all()
    assert share[0] == 0.0  # the mean errs much more than kriging


@pytest.mark.parametrize("count", [30, 65])
def test_smooth_functions_are_as_exact_as_their_values(count):
    """Long lengths need little noise, and their weights are solved for: rounding stays small."""
    here, there = np.linspace(-1.0, 1.0, count)[:, None], np.linspace(-0.95, 0.95, 7)[:, None]
    values, expected = (1.0 / (1.0 + np.exp(-3.0 * rows)) for rows in (here, there))
    far = 4.0 * squared(here, here), 4.0 * squared(there, here)
    trend = trend_of(Values(values, np.ones(count)), here[:, :0], there[:, :0])
    process = fit_process("squared-exponential", trend, *far, Values(values, np.ones(count)))
    assert process.noise == 1e-13
    # .003 and more by an inverse of the same matrix, 5e-7 and 2e-7 with noise of 1e-10
    np.testing.assert_allclose(process.weights() @ values, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", ["squared-exponential", "matern-5/2", QUADRATIC])
def test_rounding_is_told(family):
    """Of what is solved for in floats and with 50 digits."""
    rng = np.random.default_rng(40)
    here, there = rng.uniform(-1.0, 1.0, size=(30, 2)), rng.uniform(-1.0, 1.0, size=(6, 2))
    values = Values(np.sin(here[:, :1] + 0.3 * here[:, 1:]), np.ones(30))
    process = fitted(family, here, there, values, with_line=True)
    trend = process.trend
    with mpmath.workdps(50):
        system = mpmath.zeros(33, 33)
        system[:30, :30] = mpmath.matrix(process.among.tolist()) + JITTER * mpmath.eye(30)
        system[:30, 30:] = mpmath.matrix(trend.here.tolist())
        system[30:, :30] = mpmath.matrix(trend.here.T.tolist())
        known = mpmath.matrix([*values.means[:, 0].tolist(), 0, 0, 0])
        wanted = mpmath.matrix(np.hstack([process.to, trend.there]).tolist())
        exact = wanted * mpmath.lu_solve(system, known)
        found = process.weights() @ values.means[:, 0]
        missed = [float(exact[i] - mpmath.mpf(found[i])) for i in range(6)]
    told = process.rounding(values.means)
    assert 0.05 < np.sqrt(np.mean(np.square(missed)) / told.mean()) < 1.5
