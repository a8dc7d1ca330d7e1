"""What a plan computes once, compiled: checked and scaled knots, and what each evaluation point multiplies with."""

import numpy as np
from numba import njit

from fastspline._reinsch import JIT, factor_pentadiagonal, smooth_column
from fastspline._state_space import smooth_panel


@njit(**JIT)
def first_bad_knot(knots):
    """Give the index of the first knot that is not finite or does not ascend, or -1."""
    previous = -np.inf
    for i in range(knots.size):
        if not (previous < knots[i] < np.inf):
            return i
        previous = knots[i]
    return -1


@njit(**JIT)
def power_of_two(value):
    """Give the power of two nearest to a positive number: dividing by it rounds nothing."""
    return 2.0 ** np.round(np.log2(value))


@njit(**JIT)
def scale_gaps(knots, h):
    """Write the gaps in the unit of (nearly) their mean into `h` and give that unit, a power of two."""
    n = knots.size
    unit = power_of_two((knots[n - 1] - knots[0]) / (n - 1))
    for i in range(n - 1):
        h[i] = (knots[i + 1] - knots[i]) / unit
    return unit


@njit(**JIT)
def locate(knots, t):
    """Give the last interval k in [0, n - 2] with knots[k] <= t (0 where there is none)."""
    low, high = 0, knots.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if knots[middle] <= t:
            low = middle
        else:
            high = middle
    return low


@njit(**JIT)
def weigh_by_curvature(u, v, h, nu, w):
    """Weights of (g_1 - g_0, gamma_0, gamma_1) in derivative nu at fraction u = 1 - v of a gap h; g_0 enters nu = 0.

    Outside the knots (u < 0 or v < 0) the spline is the straight line that continues it.
    """
    w[0] = w[1] = w[2] = 0.0
    if nu == 0:
        w[0] = u
        if u < 0.0:
            w[2] = -h * h / 6.0 * u
        elif v < 0.0:
            w[1] = -h * h / 6.0 * v
        else:
            w[1] = -h * h / 6.0 * u * v * (1.0 + v)
            w[2] = -h * h / 6.0 * u * v * (1.0 + u)
    elif nu == 1:
        w[0] = 1.0 / h
        inside_u, inside_v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
        w[1] = h / 6.0 * (1.0 - 3.0 * inside_v * inside_v)
        w[2] = h / 6.0 * (3.0 * inside_u * inside_u - 1.0)
    elif u >= 0.0 and v >= 0.0:
        weigh_curvatures(u, v, h, nu, w)


@njit(**JIT)
def weigh_by_slope(u, v, h, nu, w):
    """Weights of (g_1 - g_0, slope_0, slope_1), or for nu >= 2 of (., gamma_0, gamma_1), as `weigh_by_curvature`."""
    w[0] = w[1] = w[2] = 0.0
    if nu == 0:
        if u < 0.0:
            w[1] = u * h
        elif v < 0.0:
            w[0], w[2] = 1.0, -v * h
        else:
            w[0] = u * u * (1.0 + 2.0 * v)
            w[1], w[2] = u * v * v * h, -v * u * u * h
    elif nu == 1:
        inside_u, inside_v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
        w[0] = 6.0 * inside_u * inside_v / h
        w[1] = inside_v * (inside_v - 2.0 * inside_u)
        w[2] = inside_u * (inside_u - 2.0 * inside_v)
    elif u >= 0.0 and v >= 0.0:
        weigh_curvatures(u, v, h, nu, w)


@njit(**JIT)
def weigh_curvatures(u, v, h, nu, w):
    """Weights of (., gamma_0, gamma_1) in the second or third derivative inside a gap."""
    if nu == 2:
        w[1], w[2] = v, u
    elif v > 0.0:  # the third derivative jumps at the knots: its right limit, and 0 at the last one
        w[1], w[2] = -1.0 / h, 1.0 / h


@njit(**JIT)
def tabulate_points(knots, h, unit, by_slope, points, nus, spans, needed, rows, weights):
    """Sort the points by interval and write what each multiplies with.

    Row p of `weights` (m, 3) belongs to row ``rows[p]`` of the result. Interval k holds the values (nu = 0) at
    ``spans[2k] : spans[2k + 1]`` and derivatives up to ``spans[2k + 2]``; a last interval, n - 1, holds values at the
    last knot itself, which are thus exact. ``needed[k]`` tells whether g_k enters any point.
    """
    n, m = knots.size, points.size
    cells = np.empty(m, np.int64)
    spans[:] = 0
    needed[:] = 0
    for p in range(m):
        nu = nus[min(p, nus.size - 1)]
        k = locate(knots, points[p])
        if nu == 0 and points[p] == knots[n - 1]:
            k = n - 1
        needed[k] = 1
        needed[min(k + 1, n - 1)] = 1
        cells[p] = 2 * k + (1 if nu > 0 else 0)
        spans[cells[p] + 1] += 1
    for c in range(2 * n):
        spans[c + 1] += spans[c]
    for p in range(m):  # a counting sort: spans[c] moves from the first to one past the last place of c
        c = cells[p]
        place = spans[c]
        spans[c] += 1
        rows[place] = p
        w = weights[place]
        k, t = c // 2, points[p]
        if k == n - 1:
            w[0] = w[1] = w[2] = 0.0
            continue
        nu = nus[min(p, nus.size - 1)]
        gap = knots[k + 1] - knots[k]
        u, v = (t - knots[k]) / gap, (knots[k + 1] - t) / gap
        if by_slope:
            weigh_by_slope(u, v, h[k], nu, w)
        else:
            weigh_by_curvature(u, v, h[k], nu, w)
        for i in range(3):
            w[i] /= unit**nu
    for c in range(2 * n, 0, -1):
        spans[c] = spans[c - 1]
    spans[0] = 0


@njit(**JIT)
def plan_reinsch(knots, weights, lam, h, pull, forward, backward):
    """Scale and factor; empty `weights` stand for ones. Give (unit, top, scaled lam, kappa).

    Lengths are divided by `unit` and weights by `top`, the power of two next to their maximum, so that no unit of the
    caller's overflows and powers of two change no digit. kappa = max pull_i / min(h_{i-1}, h_i)^3 bounds the error of
    Reinsch's system: at most eps kappa, relative to max |values|.
    """
    n = knots.size
    unit = scale_gaps(knots, h)
    scaled = lam / unit / unit / unit
    top = 1.0
    if weights.size > 0:
        top = power_of_two(weights.max())
        scaled /= top
    kappa = 0.0
    for i in range(n):
        w = weights[i] / top if weights.size > 0 else 1.0
        pull[i] = scaled / w if n > 2 else 0.0  # two points lie on a line for every lam
        gap = min(h[max(i - 1, 0)], h[min(i, n - 2)])
        kappa = max(kappa, pull[i] / (gap * gap * gap))
    if kappa < np.inf:
        factor_pentadiagonal(h, pull, forward, backward)
    return unit, top, scaled, kappa


@njit(**JIT)
def largest_difference(forward, backward, h, co):
    """Give max |g - g'| of Reinsch's solver and the state-space solver on probe columns of at most 1 in magnitude.

    One column is constant, one pseudo-random (a linear congruential generator, for repeatable plans): together they
    show the rounding of both the second differences and the recurrences.
    """
    n = h.size + 1
    y = np.empty((n, 2))
    state = 12345
    for i in range(n):
        state = (state * 1664525 + 1013904223) % 4294967296
        y[i, 0], y[i, 1] = 1.0, state / 2147483648.0 - 1.0
    residual, slope, curvature = np.empty_like(y), np.empty_like(y), np.empty_like(y)
    smooth_panel(h, co, y, residual, slope, curvature)
    g, gamma = np.empty(n), np.empty(n)
    largest = 0.0
    for j in range(2):
        smooth_column(forward, backward, y[:, j].copy(), g, gamma)
        for i in range(n):
            difference = abs(g[i] - (y[i, j] - residual[i, j]))
            if not difference <= largest:  # NaN counts as the largest
                largest = difference
    return largest
