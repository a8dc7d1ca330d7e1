"""The plain-loop kernels against dense solves; also run with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest

from fastspline import Smoother
from fastspline._kernels.reinsch import (
    adjoint_evaluate_column,
    adjoint_smooth_column,
    evaluate_column,
    factor_pentadiagonal,
    smooth_column,
)
from fastspline._solvers.choice import ReinschSolver, make_solver

SIZES = [2, 3, 4, 5, 6, 9, 40]


def dense_system(h, pull):
    """Q and R + Q^T diag(pull) Q of the module's docstring, as full matrices."""
    n = pull.size
    q, r = np.zeros((n, n - 2)), np.zeros((n - 2, n - 2))
    for j in range(n - 2):
        q[j : j + 3, j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j, j] = (h[j] + h[j + 1]) / 3
        if j < n - 3:
            r[j, j + 1] = r[j + 1, j] = h[j + 1] / 6
    return q, r + q.T @ (pull[:, None] * q)


def problem(n, seed=0):
    rng = np.random.default_rng(seed)
    h, pull = 0.5 + rng.random(n - 1), rng.random(n)
    table = np.zeros(9 * n)
    factor_pentadiagonal(h, pull, table)
    forward, backward = table[: 4 * n].reshape(n, 4), table[4 * n :].reshape(n, 5)
    return h, pull, forward, backward, rng.standard_normal(n)


@pytest.mark.parametrize("n", SIZES)
def test_smooth_column_solves_the_pentadiagonal_system(n):
    h, pull, forward, backward, y = problem(n)
    g, gamma = np.empty(n), np.empty(n)
    assert smooth_column(forward, backward, y, g, gamma)
    q, a = dense_system(h, pull)
    inner = np.linalg.solve(a, q.T @ y)
    np.testing.assert_allclose(gamma, np.concatenate([[0], inner, [0]]), rtol=0, atol=2e-14)
    np.testing.assert_allclose(g, y - pull * (q @ inner), rtol=0, atol=2e-14)


@pytest.mark.parametrize("n", SIZES)
def test_adjoint_smooth_column_is_the_transpose(n):
    _, _, forward, backward, y = problem(n)
    rng = np.random.default_rng(1)
    g, gamma = np.empty(n), np.empty(n)
    smooth_column(forward, backward, y, g, gamma)
    bar_g, bar_gamma = rng.standard_normal(n), rng.standard_normal(n)
    bar_gamma[[0, -1]] = 0.0
    expected = bar_g @ g + bar_gamma @ gamma
    adjoint_smooth_column(forward, backward, bar_g, bar_gamma)
    assert bar_g @ y == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", SIZES)
def test_smooth_column_notices_every_value_that_is_not_finite(n, bad):
    _, _, forward, backward, y = problem(n)
    g, gamma = np.empty(n), np.empty(n)
    for k in range(n):
        spoilt = y.copy()
        spoilt[k] = bad
        with np.errstate(all="ignore"):  # without JIT, numpy warns of inf - inf
            assert not smooth_column(forward, backward, spoilt, g, gamma)


def test_evaluate_column_and_its_transpose_agree():
    solver = make_solver(np.array([0.0, 0.3, 1.0, 1.5]), np.empty(0), 0.01)
    assert isinstance(solver, ReinschSolver)
    points = np.array([1.5, -1.0, 0.3, 0.2, 2.0, 1.2, 0.2])
    for nu in range(4):
        t = solver.at(points, nu, np.arange(4)).tableau
        rng = np.random.default_rng(nu)
        g, gamma, cotangent = rng.random(4), rng.random(4), rng.random(7)
        out, bar_g, bar_gamma = np.full(7, np.nan), np.zeros(4), np.zeros(4)
        evaluate_column(t.spans, t.weights, t.rows, g, gamma, out)
        adjoint_evaluate_column(t.spans, t.weights, t.rows, cotangent, bar_g, bar_gamma)
        assert cotangent @ out == pytest.approx(bar_g @ g + bar_gamma @ gamma, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e9])
def test_operator_equals_a_dense_solve(dtype, lam):
    """Through the public API: with numba switched off this is the plain-loop path."""
    rng = np.random.default_rng(0)
    knots, weights = np.sort(rng.random(9)), 0.5 + rng.random(9)
    values = rng.standard_normal((9, 3)).astype(dtype)
    if lam == 1e9:  # a dense solve has no digit left; the weighted line is 1e-9 away
        line = np.polynomial.polynomial.polyfit(knots, values, 1, w=np.sqrt(weights))
        expected = np.polynomial.polynomial.polyval(knots, line).T
    else:
        _, r = dense_system(np.diff(knots), np.zeros(9))
        q, _ = dense_system(np.diff(knots), np.ones(9))
        roughness = q @ np.linalg.solve(r, q.T)
        expected = np.linalg.solve(np.diag(weights) + lam * roughness, weights[:, None] * values)
    result = Smoother(knots, lam=lam, weights=weights).operator(knots)(values)
    assert result.dtype == dtype
    atol = {0.0: 0.0, 1e-3: 1e-12, 1e9: 1e-8}[lam] + 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e9])
@pytest.mark.parametrize("index", [np.arange(9)[::-1], np.arange(9) // 2 + 1], ids=["each", "some"])
def test_adjoint_equals_the_matrix_transposed(dtype, lam, index):
    """Through the public API, as above; knots read rows of their own, or in common."""
    rng = np.random.default_rng(0)
    knots = np.sort(rng.random(9))
    operator = Smoother(knots, lam=lam).operator([*knots, -0.1, 0.5]).gather(index, 10)
    cotangent = rng.standard_normal((11, 3)).astype(dtype)
    result = operator.adjoint(cotangent)
    assert result.dtype == dtype
    expected = operator.dense().T @ cotangent.astype(np.float64)
    np.testing.assert_allclose(result, expected, rtol=0, atol=100 * np.finfo(dtype).eps)
    cotangent[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"cotangent\[4, 1\] = nan"):
        operator.adjoint(cotangent)
