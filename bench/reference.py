"""Slow, obvious smoothing splines in extended precision, for any number of knots."""

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

WIDE = np.longdouble
REFINEMENTS = 8  # each gains at least 8 digits for lam up to 1e6 cubed gaps


def smooth(knots, values, points, *, lam):
    """Give the smoothing spline of `values` (n, columns) at `points`: (m, columns), n >= 3.

    Solves ``(R + lam Q'Q) gamma = Q'y``, ``g = y - lam Q gamma`` (Green & Silverman 1994, section
    2.3) by a banded Cholesky factor in double, refined by residuals in extended precision.
    """
    x, y, s = (np.asarray(given, dtype=WIDE) for given in (knots, values, points))
    h = np.diff(x)[:, np.newaxis]

    def system(gamma):
        return _times_r(h, gamma) + WIDE(lam) * _times_q_transposed(h, _times_q(h, gamma))

    factor = cholesky_banded(_bands(system, len(x) - 2))
    right = _times_q_transposed(h, y)
    gamma = np.zeros_like(right)
    for _ in range(REFINEMENTS):
        residual = (right - system(gamma)).astype(np.float64)
        gamma += cho_solve_banded((factor, False), residual)
    g = y - WIDE(lam) * _times_q(h, gamma)
    return _evaluate(x, g, np.pad(gamma, ((1, 1), (0, 0))), s)


def best_lam(knots, values):
    """Give the lam that minimises the generalised cross-validation score of one column (n,).

    In the basis of Demmler & Reinsch (1975), found by a dense eigenvalue problem, residuals are
    ``lam s / (1 + lam s) z``.
    """
    h = np.diff(knots)[:, np.newaxis]
    n = len(knots)
    q_transposed = _times_q_transposed(h, np.eye(n))
    penalty = q_transposed.T @ np.linalg.solve(_times_r(h, np.eye(n - 2)), q_transposed)
    s, basis = np.linalg.eigh((penalty + penalty.T) / 2)
    s[:2] = 0.0  # straight lines
    z = basis.T @ values
    grid = np.geomspace(1e-3 / s[-1], 1e3 / s[2], 400)
    for _ in range(6):
        shrunk = grid[:, np.newaxis] * s / (1.0 + grid[:, np.newaxis] * s)
        best = int(np.argmin(shrunk**2 @ z**2 / shrunk.sum(axis=1) ** 2))
        lam = grid[best]
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 60)
    return float(lam)


def _times_r(h, gamma):
    """R gamma: the tridiagonal Gram matrix of the hat functions at inner knots."""
    wide = np.pad(gamma, ((1, 1), (0, 0)))
    return (h[:-1] * (wide[:-2] + 2 * gamma) + h[1:] * (2 * gamma + wide[2:])) / 6


def _times_q_transposed(h, y):
    """Q'y: differences of slopes."""
    return np.diff(np.diff(y, axis=0) / h, axis=0)


def _times_q(h, gamma):
    """Q gamma."""
    return _padded_difference(_padded_difference(gamma) / h)


def _padded_difference(rows):
    return np.diff(np.pad(rows, ((1, 1), (0, 0))), axis=0)


def _bands(system, size):
    """Give the upper bands of a pentadiagonal matrix from its products with five combs."""
    j = np.arange(size)
    products = system((j[:, np.newaxis] % 5 == np.arange(5)).astype(WIDE)).astype(np.float64)
    bands = np.zeros((3, size))
    for above in range(min(3, size)):
        bands[2 - above, above:] = products[j[above:] - above, j[above:] % 5]
    return bands


def _evaluate(x, g, gamma, s):
    """Evaluate the natural spline with values g and second derivatives gamma at the knots."""
    inside = np.clip(s, x[0], x[-1])
    i = np.clip(np.searchsorted(x, inside, side="right") - 1, 0, len(x) - 2)
    h = (x[i + 1] - x[i])[:, np.newaxis]
    t = (inside - x[i])[:, np.newaxis] / h
    bend = (2 - t) * gamma[i] + (1 + t) * gamma[i + 1]
    cubic = (1 - t) * g[i] + t * g[i + 1] - h**2 / 6 * t * (1 - t) * bend
    first, last = x[1] - x[0], x[-1] - x[-2]
    left = (g[1] - g[0]) / first - first / 6 * gamma[1]
    right = (g[-1] - g[-2]) / last + last / 6 * gamma[-2]
    beyond = (s - inside)[:, np.newaxis]
    return cubic + beyond * np.where(beyond < 0, left, right)
