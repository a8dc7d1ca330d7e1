"""What the data tell of the curve: leverages and posterior variances, without a subtraction.

Information of the recursion in `state_space`, run from both ends, meets at a knot or at a point
between; every term is nonnegative, so that 1 - leverage is as exact as the leverage.

References: G. Wahba, "Bayesian confidence intervals for the cross-validated smoothing spline",
J. R. Statist. Soc. B 45 (1983); C. F. Ansley and R. Kohn, Biometrika 69 (1982).
"""

import math

import numpy as np

from fastspline._kernels.state_space import (
    N_COEFFICIENTS,
    filter_information,
    predict_information,
)
from fastspline._kernels.tables import locate
from fastspline.jit import JIT, njit


@njit(**JIT)
def both_sides(left, right):
    """Combine (E, pa, pb, pc, s) from the left and from the right: give (C, D).

    C / D is the variance of f there, in units of q, when the observation there is left out.
    """
    e, a, b, c, d = left
    er, ar, br, cr, dr = right
    return c * er + cr * e, d * er + dr * e + a * cr + ar * c + 2.0 * b * br


@njit(**JIT)
def filter_both_ways(h, roughness, clamped, q, r, left, right):
    """Write (rho, beta, s) from the left and, in reversed order, from the right, (3, n) each."""
    none = np.empty((0, N_COEFFICIENTS))
    filter_information(h, roughness, clamped, q, r, left[0], left[1], left[2], none)
    filter_information(
        h[::-1].copy(), roughness[::-1].copy(), clamped, q, r[::-1].copy(),
        right[0], right[1], right[2], none,
    )  # fmt: skip


@njit(**JIT)
def predict_side(side, i, gap, q, clamped):
    """Give (E, pa, pb, pc, s) at a distance `gap` beyond entry i of one side; i = -1: the end."""
    if i < 0:
        return (0.0, 0.0, 0.0, 1.0, 0.0) if clamped else (1.0, 0.0, 0.0, 0.0, 0.0)
    one = 0.0 if clamped and i == 0 else 1.0
    e, a, b, c = predict_information(gap, q, side[0, i], side[1, i], side[2, i], one)
    return e, a, b, c, side[2, i]


@njit(**JIT)
def predict_outward(side, i, distance, q_end, outer, clamped):
    """Give what `predict_side` does, through gaps beyond entry i that hold no value.

    `outer` (2, k) has these and their process noise; the last one goes on. For none it is `q_end`.
    """
    gaps, q = outer[0], outer[1]
    if gaps.size == 0:
        return predict_side(side, i, distance, q_end, clamped)
    rho, beta, s = side[0, i], side[1, i], side[2, i]
    k = 0
    while k < gaps.size - 1 and distance > gaps[k]:
        e, a, b, _ = predict_information(gaps[k], q[k], rho, beta, s)
        rho, beta, s = e / a, b / a, s / a
        distance -= gaps[k]
        k += 1
    e, a, b, c = predict_information(distance, q[k], rho, beta, s)
    return e, a, b, c, s


@njit(**JIT)
def leverages(h, roughness, clamped, q, r, lever, complement):
    """Write diag(S) and 1 - diag(S), S: y -> g, from information of both sides."""
    n = r.size
    left, right = np.empty((3, n)), np.empty((3, n))
    filter_both_ways(h, roughness, clamped, q, r, left, right)
    for i in range(n):
        before, after = max(i - 1, 0), min(i, n - 2)
        q_before = q / roughness[before] if roughness.size > 0 else q
        q_after = q / roughness[after] if roughness.size > 0 else q
        from_left = predict_side(left, i - 1, h[before], q_before, clamped)
        from_right = predict_side(right, n - 2 - i, h[after], q_after, clamped)
        c, d = both_sides(from_left, from_right)
        total = r[i] * d + c
        lever[i] = c / total
        complement[i] = r[i] * d / total


@njit(**JIT)
def place_points(knots, unit, points, cells, before, after):
    """Write each point's interval and its distances from both knots there, in scaled units."""
    k = np.int64(0)  # a literal would make another specialisation
    for p in range(points.size):
        k = locate(knots, points[p], k)
        cells[p] = k
        before[p] = (points[p] - knots[k]) / unit
        after[p] = (knots[k + 1] - points[p]) / unit


@njit(**JIT)
def covariances(h, roughness, clamped, q, r, outer, cells, before, after, out):
    """Write of (f, f') at the points of `place_points` (4, m): variances and covariance of both.

    Rows are var f, cov(f, f'), var f' and, from the determinant of the three, the standard
    deviation of the derivative of f / std(f): the root of det / (var f)**2. A value has r. From the
    knots on both sides of a point; outside the knots from one side, where the variance of a process
    that goes on as it did inside the end gap adds up, or as in gaps `outer` without values: two of
    (2, k), gaps and their process noise, from the first and the last knot outwards. Beyond clamped
    ends the slope is known, and the variance that of the end.
    """
    n = r.size
    left, right = np.empty((3, n)), np.empty((3, n))
    filter_both_ways(h, roughness, clamped, q, r, left, right)
    end = np.int64(-1)  # a literal would make another specialisation
    for p in range(cells.size):
        k, u, v = cells[p], before[p], after[p]
        q_gap = q / roughness[k] if roughness.size > 0 else q
        if clamped and u < 0.0:
            u, v = 0.0, h[k]
        elif clamped and v < 0.0:
            u, v = h[k], 0.0
        if u < 0.0:
            from_left = predict_side(left, end, 0.0, 0.0, clamped)
            from_right = predict_outward(right, n - 1, -u, q_gap, outer[0], clamped)
        elif v < 0.0:
            from_left = predict_outward(left, n - 1, -v, q_gap, outer[1], clamped)
            from_right = predict_side(right, end, 0.0, 0.0, clamped)
        else:
            from_left = predict_side(left, k, u, q_gap, clamped)
            from_right = predict_side(right, n - 2 - k, v, q_gap, clamped)
        c, d = both_sides(from_left, from_right)
        e, a, b = from_left[0], from_left[1], from_left[2]
        er, ar, br = from_right[0], from_right[1], from_right[2]
        out[0, p] = c / d
        out[1, p] = (b * er - br * e) / d
        out[2, p] = (a * er + ar * e) / d
        out[3, p] = math.sqrt(e * d * er) / c
