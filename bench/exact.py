"""Smoothing splines at 500 bits, O(n): the digits that others are measured against."""

from itertools import pairwise

import mpmath
import numpy as np

MP = mpmath.mp.clone()
MP.prec = 500


def smooth_exactly(knots, values, *, lam, weights=None):
    """Give the fitted values (n,) of one column, n >= 3, as 500-bit numbers.

    Solves ``(R + lam Q' W^-1 Q) gamma = Q'y``, ``g = y - lam W^-1 Q gamma`` (Green & Silverman
    1994, section 2.3) by L D L' from the exact binary values of the float64 input. The up to 40
    digits that the system loses do not matter at this precision.
    """
    x, y = ([MP.mpf(float(number)) for number in given] for given in (knots, values))
    w = np.ones(len(x)) if weights is None else weights
    r = [MP.mpf(float(lam)) / MP.mpf(float(weight)) for weight in w]
    h = [after - before for before, after in pairwise(x)]
    gamma = [MP.mpf(0), *_solve(*_bands(h, r), _differ(_slopes(y, h))), MP.mpf(0)]
    jumps = _differ([MP.mpf(0), *_slopes(gamma, h), MP.mpf(0)])
    return [value - noise * jump for value, noise, jump in zip(y, r, jumps, strict=True)]


def relative_error(fitted, exact):
    """Give the largest error of `fitted` (n,) relative to the largest exact value."""
    return float(max(_misses(fitted, exact)) / max(abs(value) for value in exact))


def relative_rms(fitted, exact):
    """Give the root of the mean squared difference, relative to the largest exact value."""
    mean = MP.fsum(miss**2 for miss in _misses(fitted, exact)) / len(exact)
    return float(MP.sqrt(mean) / max(abs(value) for value in exact))


def _misses(fitted, exact):
    return [abs(MP.mpf(float(a)) - b) for a, b in zip(fitted, exact, strict=True)]


def _differ(rows):
    return [after - before for before, after in pairwise(rows)]


def _slopes(y, h):
    return [rise / gap for rise, gap in zip(_differ(y), h, strict=True)]


def _bands(h, r):
    """Give the diagonal and two upper bands of R + lam Q' W^-1 Q."""
    m = len(h) - 1
    q = [(1 / a, -1 / a - 1 / b, 1 / b) for a, b in pairwise(h)]  # rows k, k + 1, k + 2
    diagonal = [
        (h[k] + h[k + 1]) / 3 + sum(r[k + i] * q[k][i] ** 2 for i in range(3)) for k in range(m)
    ]
    first = [
        h[k + 1] / 6 + r[k + 1] * q[k][1] * q[k + 1][0] + r[k + 2] * q[k][2] * q[k + 1][1]
        for k in range(m - 1)
    ]
    second = [r[k + 2] * q[k][2] * q[k + 2][0] for k in range(m - 2)]
    return diagonal, first, second


def _solve(d, first, second, z):
    """Solve a symmetric pentadiagonal system by L D L', in place; give the solution."""
    m = len(d)
    l1, l2 = [MP.mpf(0)] * m, [MP.mpf(0)] * m
    for k in range(m):
        for band, j in ((l1, k - 1), (l2, k - 2)):
            if j >= 0:
                d[k] -= band[j] ** 2 * d[j]
                z[k] -= band[j] * z[j]
        if k + 1 < m:
            before = l2[k - 1] * l1[k - 1] * d[k - 1] if k else 0
            l1[k] = (first[k] - before) / d[k]
        if k + 2 < m:
            l2[k] = second[k] / d[k]
    for k in reversed(range(m)):
        z[k] /= d[k]
        for band, j in ((l1, k + 1), (l2, k + 2)):
            if j < m:
                z[k] -= band[k] * z[j]
    return z
