"""Innovations and costate in plain loops, against dense solves; also with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest

from fastspline import Smoother
from fastspline._kernels.innovations import (
    N_COEFFICIENTS,
    SHARP,
    add_slopes,
    adjoint_add_slopes,
    adjoint_smooth_column,
    factor_innovations,
    smooth_column,
)
from tests.fastspline.kernels.test_reinsch import SIZES, dense_system
from tests.oracles.splines import ExactSmoother, rounded

NOISE = [1e-4, 1.0, 30.0]  # all knots sharp, some, none but the first


def problem(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    h, pull = 0.5 + rng.random(n - 1), noise * (0.5 + rng.random(n))
    table = np.zeros((n, N_COEFFICIENTS))
    factor_innovations(h, pull, table)
    return h, pull, table, rng.standard_normal(n)


def smooth(table, y):
    """Values, slopes and second derivatives."""
    g, slope, gamma = np.full((3, y.size), np.nan)
    last = smooth_column(table, y, g, gamma)
    add_slopes(table, last, gamma, slope)
    return g, slope, gamma


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", SIZES)
def test_smooth_column_solves_the_pentadiagonal_system(n, noise):
    h, pull, table, y = problem(n, noise)
    g, slope, gamma = smooth(table, y)
    q, a = dense_system(h, pull)
    inner = np.linalg.solve(a, q.T @ y)
    expected = np.concatenate([[0], inner, [0]])
    np.testing.assert_allclose(gamma, expected, rtol=0, atol=2e-13)
    np.testing.assert_allclose(g, y - pull * (q @ inner), rtol=0, atol=2e-13)
    rise, share = np.diff(y - pull * (q @ inner)) / h, h / 6
    before = rise - share * (2 * expected[:-1] + expected[1:])
    after = rise[-1] + share[-1] * (expected[-2] + 2 * expected[-1])
    np.testing.assert_allclose(slope, [*before, after], rtol=0, atol=2e-13)


def test_quick_and_sharp_steps_are_both_tested():
    sharp = [problem(40, noise)[2][1:, SHARP] for noise in NOISE]
    assert sharp[0].all()
    assert 0 < sharp[1].sum() < 39
    assert not sharp[2][1:].any()


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", SIZES)
def test_adjoint_is_the_transpose(n, noise):
    _, _, table, y = problem(n, noise)
    bar_g, bar_slope, bar_gamma = np.random.default_rng(1).standard_normal((3, n))
    g, slope, gamma = smooth(table, y)
    expected = bar_g @ g + bar_slope @ slope + bar_gamma @ gamma
    last = adjoint_add_slopes(table, bar_slope, bar_gamma)
    adjoint_smooth_column(table, last, bar_g, bar_gamma)
    assert bar_g @ y == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", SIZES)
def test_smooth_column_notices_every_value_that_is_not_finite(n, noise, bad):
    _, _, table, y = problem(n, noise)
    for k in range(n):
        spoilt = y.copy()
        spoilt[k] = bad
        with np.errstate(all="ignore"):  # without JIT, numpy warns of inf - inf
            assert not np.isfinite(smooth_column(table, spoilt, np.empty(n), np.empty(n)))


def make_gaps(kind, n, rng):
    match kind:
        case "uniform":
            return np.ones(n - 1)
        case "chebyshev":
            return -np.diff(np.cos(np.linspace(0, np.pi, n)))
        case "random":
            return rng.exponential(size=n - 1) + 1e-9
        case "ratios":
            return 10.0 ** rng.uniform(-6, 0, n - 1)
        case _:
            return np.geomspace(1e-6, 1.0, n - 1)


@pytest.mark.parametrize("kind", ["uniform", "chebyshev", "random", "ratios", "geometric"])
@pytest.mark.parametrize("decades", [0, 2])
@pytest.mark.parametrize("n", [3, 24])
def test_loses_no_digit_at_any_knots_and_lam(kind, decades, n):
    """Against the thin-plate form at 100 digits: 1e-13, as is measured over 1,316 plans.

    Relative to what bounds the entry: max |values|, the largest slope, and curvatures by the part
    that they have in the longer gap beside them.
    """
    rng = np.random.default_rng(n)
    gaps = make_gaps(kind, n, rng)
    knots = np.concatenate([[0.0], gaps.cumsum()]) / gaps.sum()
    h, weights = np.diff(knots), 10.0 ** rng.uniform(-decades, 0, n)
    values = np.stack([rng.standard_normal(n), rng.choice([-1.0, 1.0], n), np.eye(n)[n // 2]])
    longer = np.maximum([*h, 0.0], [0.0, *h]) ** 2 / 8
    for lam in 10.0 ** np.arange(-14, 9, 2):
        table = np.zeros((n, N_COEFFICIENTS))
        bound = factor_innovations(h, lam / weights, table)
        assert bound < 180
        oracle = ExactSmoother(knots, lam=lam, weights=weights)
        exact = [oracle.evaluate(values.T, knots, nu).T for nu in range(3)]
        for y, g0, slope0, gamma0 in zip(values, *exact, strict=True):
            g, slope, gamma = smooth(table, y)
            size = np.abs(y).max()
            assert np.abs(g - g0).max() <= 1e-13 * size
            assert np.abs(slope - slope0).max() <= 2e-12 * np.abs(slope0).max(initial=size)
            bend = max(size, np.abs(longer * gamma0).max())
            assert np.abs(longer * (gamma - gamma0)).max() <= 2e-13 * bend


def test_the_bound_tells_of_weights_over_many_decades():
    """Weak points left of heavy ones: the terms of a residual exceed it."""
    n, rng = 60, np.random.default_rng(0)
    h, weights = np.ones(n - 1), 10.0 ** rng.uniform(-8, 0, n)
    table = np.zeros((n, N_COEFFICIENTS))
    bound = factor_innovations(h, 1.0 / weights, table)
    y = rng.choice([-1.0, 1.0], n)
    exact = rounded(ExactSmoother(np.arange(n), lam=1.0, weights=weights).hat()) @ y
    error = np.abs(smooth(table, y)[0] - exact).max()
    assert 1e-13 < error <= 3 * np.finfo(float).eps * bound
    assert Smoother(np.arange(n), lam=1.0, weights=weights).solver == "state-space"
    assert Smoother(np.arange(n), lam=1.0, weights=weights**0.2).solver != "state-space"
