"""Weights over 16 decades on clustered knots: filtered values are large and next to unknown."""

import numpy as np
import pytest

from fastspline import Smoother
from tests.oracles.splines import HermiteSmoother, rounded

EXACT, CLOSE = 1e-12, 1e-11
SLOPES = ("slope", 2.0, -1.0)


def make_design(seed):
    """Knots of which about every second gap is short, weights 1e-8 and 1e8, and lam."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 16))
    short = 10.0 ** rng.choice([-6, -8])
    gaps = np.where(rng.random(n - 1) < 0.5, short, 1.0) * rng.uniform(0.5, 1.5, n - 1)
    x = np.concatenate([[0.0], gaps.cumsum()]) / gaps.sum()
    return x, 10.0 ** rng.choice([-8.0, 8.0], n), 10.0 ** rng.uniform(-6.0, 10.0), rng


@pytest.mark.parametrize("bc", ["natural", SLOPES, "periodic"], ids=str)
@pytest.mark.parametrize("seed", range(40))
def test_values_and_slopes(seed, bc):
    x, w, lam, rng = make_design(seed)
    y = rng.standard_normal((x.size, 2))
    points = np.concatenate([x, (x[1:] + x[:-1]) / 2])
    oracle = HermiteSmoother(x, lam=lam, weights=w, bc=bc)
    plan = Smoother(x, lam=lam, weights=w, bc=bc)
    # Round a circle the value at one knot is rounded, which shows in slopes next to it.
    rounding = 1e-4 / np.diff(x).min() if bc == "periodic" else 1.0
    sizes = []
    for nu, bound in enumerate([EXACT, CLOSE, CLOSE, 10 * CLOSE]):
        expected = oracle.evaluate(y, points, nu)
        sizes.append(max(np.abs(expected).max(), np.abs(y).max() if nu < 2 else 0.0))
        if bc == "periodic" and nu > 0:  # nearly a constant
            sizes[nu] = max(sizes[nu], rounding)
        operator = plan.operator(points, nu=nu)
        assert np.abs(operator(y) - expected).max() <= bound * sizes[nu], nu
        assert np.abs(plan.fit(y)(points, nu) - expected).max() <= bound * sizes[nu], nu
        matrix = rounded(oracle.matrix(points, nu)[:, :-1])
        cotangent = rng.standard_normal(points.size)
        pulled = operator.adjoint(cotangent)
        scale = max(np.abs(matrix).sum(axis=0).max(), rounding)
        assert np.abs(pulled - matrix.T @ cotangent).max() <= max(bound, CLOSE) * scale, nu


def test_columns_do_not_see_each_other_and_float32_is_near(rng):
    x, w, lam, _ = make_design(3)
    y = rng.standard_normal((x.size, 70))
    operator = Smoother(x, lam=lam, weights=w).operator(np.linspace(-0.1, 1.1, 9))
    together = operator(y)
    np.testing.assert_array_equal(operator(y[:, 33]), together[:, 33])
    single = y.astype(np.float32)
    misses = np.abs(operator(single) - operator(single.astype(float))).max()
    assert misses <= 4 * np.finfo(np.float32).eps * np.abs(together).max()
    y[2, 40] = np.nan
    with pytest.raises(ValueError, match=r"values\[2, 40\] = nan"):
        operator(y)
