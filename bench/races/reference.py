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

    A grid that narrows; scores as M. F. Hutchinson and F. R. de Hoog, Numer. Math. 47 (1985), from
    the bands of ``(R + lam Q'Q)^-1``, in extended precision.
    """
    x, y = np.asarray(knots, dtype=WIDE), np.asarray(values, dtype=WIDE)
    grid = np.geomspace(1e-2 * np.diff(x).min() ** 3, 1e2 * (x[-1] - x[0]) ** 3 * len(x), 150)
    for _ in range(6):
        scores = _gcv(x, y, grid)
        best = int(np.argmin(scores))
        lam = grid[best]
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 40)
    return float(lam)


def _gcv(x, y, lams):
    """Give n RSS / (n - df)**2 for each of `lams`: residuals lam Q gamma, n - df a trace."""
    h = np.diff(x)[:, np.newaxis]
    size = len(x) - 2
    bands = _bands(lambda gamma: _times_r(h, gamma), size, WIDE)
    product = _bands(lambda gamma: _times_q_transposed(h, _times_q(h, gamma)), size, WIDE)
    upper2, upper1, diagonal = bands[:, :, np.newaxis] + lams * product[:, :, np.newaxis]
    right = _times_q_transposed(h, y[:, np.newaxis])
    # L D L', row by row; low1[i] and low2[i] are L's entries one and two left of the diagonal.
    d, low1, low2 = np.zeros((3, size + 2, lams.size), WIDE)
    gamma = np.zeros((size + 2, lams.size), WIDE)
    for i in range(size):
        low2[i] = upper2[i] / d[i - 2] if i > 1 else 0
        low1[i] = (upper1[i] - low2[i] * d[i - 2] * low1[i - 1]) / d[i - 1] if i > 0 else 0
        d[i] = diagonal[i] - low1[i] ** 2 * d[i - 1] - low2[i] ** 2 * d[i - 2]
        gamma[i] = right[i] - low1[i] * gamma[i - 1] - low2[i] * gamma[i - 2]
    near, far = np.zeros((2, 3, lams.size), WIDE)  # the inverse's bands in rows i + 1 and i + 2
    trace = np.zeros(lams.size, WIDE)
    for i in range(size - 1, -1, -1):
        gamma[i] = gamma[i] / d[i] - low1[i + 1] * gamma[i + 1] - low2[i + 2] * gamma[i + 2]
        two = -low1[i + 1] * near[1] - low2[i + 2] * far[0]
        one = -low1[i + 1] * near[0] - low2[i + 2] * near[1]
        zero = 1 / d[i] - low1[i + 1] * one - low2[i + 2] * two
        far, near = near, (zero, one, two)
        trace += product[2, i] * zero
        trace += 2 * product[1, i + 1] * one if i + 1 < size else 0
        trace += 2 * product[0, i + 2] * two if i + 2 < size else 0
    residuals = lams * _times_q(h, gamma[:size])
    return len(x) * (residuals**2).sum(axis=0) / (lams * trace) ** 2


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


def _bands(system, size, dtype=np.float64):
    """Give the upper bands of a pentadiagonal matrix from its products with five combs."""
    j = np.arange(size)
    products = system((j[:, np.newaxis] % 5 == np.arange(5)).astype(WIDE)).astype(dtype)
    bands = np.zeros((3, size), dtype)
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
