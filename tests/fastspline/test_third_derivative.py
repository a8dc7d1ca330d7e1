"""f''' without a difference of second derivatives: next to short gaps it keeps its digits."""

import numpy as np
import pytest

from fastspline import Smoother, smooth_spline
from tests.oracles.splines import HermiteSmoother, rounded

CLOSE = 1e-13  # of the largest third derivative
SLOPES = ("slope", 2.0, -1.0)


def make_close_knots(gap, n=14):
    """Two pairs that are a short gap apart, among others a tenth apart."""
    gaps = np.full(n - 1, 0.1)
    gaps[[4, 9]] = gap
    return np.concatenate([[0.0], gaps.cumsum()])


@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("lam", [1e-25, 1e-8, 1e-3, 1e3])
@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8, 1e-10])
def test_close_knots(gap, lam, rough, bc):
    x = make_close_knots(gap)
    roughness = np.geomspace(0.1, 10.0, x.size - 1) if rough else None
    options = {"lam": lam, "bc": bc, "roughness": roughness}
    y = np.stack([np.sin(2.0 * np.pi * x / x[-1]), np.cos(np.arange(x.size))], axis=1)
    points = np.concatenate([x, 0.6 * x[1:] + 0.4 * x[:-1], [x[0] - 0.3, x[-1] + 0.4]])
    oracle = HermiteSmoother(x, **options)
    expected = oracle.evaluate(y, points, 3)
    size = np.abs(expected).max(axis=0)
    if lam < 1e-20:  # a rounded value of one column bends it as the other bends by itself
        size = size.max()
    flat = 1.0 / (x[-1] - x[0]) ** 3 if bc == "periodic" else 0.0  # a constant for large lam
    size = np.maximum(size, flat)
    bound = CLOSE * size
    if isinstance(bc, tuple):  # what is smoothed are rounded distances from a parabola
        bound += 1e-15 / lam
    plan = Smoother(x, **options)
    operator = plan.operator(points, nu=3)
    assert (np.abs(operator(y) - expected) <= bound).all()
    assert (np.abs(plan.fit(y)(points, 3) - expected) <= bound).all()
    single = y.astype(np.float32)
    ours = operator(single)
    misses = np.abs(ours - operator(single.astype(float))).max()
    assert misses <= 1e-6 * max(np.abs(ours).max(), flat)
    matrix = rounded(oracle.matrix(points, 3)[:, :-1])
    for cotangent in (np.ones(points.size), np.cos(np.arange(points.size))):
        misses = np.abs(operator.adjoint(cotangent) - matrix.T @ cotangent).max()
        assert misses <= CLOSE * max(np.abs(matrix).max(), flat)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("idle", [[], [0], [1], [-1], [0, -1]], ids=str)
def test_knots_of_weight_zero_and_few_knots(n, idle, rng):
    x, w = np.array([0.0, 1e-7, 1.0, 1.5, 2.5])[:n], np.ones(n)
    w[idle] = 0.0
    if np.count_nonzero(w) == 0:
        w[0] = 1.0
    y = rng.standard_normal((n, 2))
    points = np.concatenate([x, (x[1:] + x[:-1]) / 2, [x[0] - 1.0, x[-1] + 1.0]])
    plan = Smoother(x, lam=1e-5, weights=w)
    curve = plan.fit(y)
    for k, h in enumerate(np.diff(x)):
        place = 0.5 * (x[k] + x[k + 1])
        expected = 0.0 * y[0]
        if np.count_nonzero(w) > 1:
            expected = HermiteSmoother(x, lam=1e-5, weights=w).evaluate(y, [place], 3)[0]
        scale = max(np.abs(curve.second_derivatives).max() / h, 1e-3)
        assert np.abs(curve(place, 3) - expected).max() <= 1e-12 * scale
    np.testing.assert_array_equal(curve(points, 3), plan.operator(points, nu=3)(y))
    assert (curve([x[0] - 1.0, x[-1], x[-1] + 1.0], 3) == 0.0).all()


def test_one_lam_a_column_and_axes(rng):
    x, y = make_close_knots(1e-7), rng.standard_normal((2, 14, 3))
    lams = 10.0 ** rng.uniform(-6.0, 0.0, (2, 3))
    points = np.concatenate([x, x + 0.03])
    curve = smooth_spline(x, y, lam=lams, axis=1)
    for i, j in np.ndindex(2, 3):
        alone = Smoother(x, lam=lams[i, j]).fit(y[i, :, j])
        np.testing.assert_array_equal(curve(points, 3)[i, :, j], alone(points, 3))
