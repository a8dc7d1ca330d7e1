"""Kernels of `bundle`: many small smoothing splines at once, beside each other in SIMD lanes.

Each of Q lines takes two lanes of the recursion of `state_space`: lane l runs from the left, lane
Q + l from the right, over all in reversed order. What both tell meets at a point, as in
`posterior`; what the mean there owes to each value goes back through the filters.
"""

import numpy as np

from fastspline._kernels.posterior import both_sides
from fastspline._kernels.state_space import predict_information
from fastspline._kernels.tables import (
    LEAST_GAP,
    LEAST_WEIGHT,
    UNIT_RANGE,
    locate,
    power_of_two,
)
from fastspline.jit import JIT, njit

SMALLEST_UNIT, LARGEST_UNIT = UNIT_RANGE
RHO, BETA, S = 0, 1, 2  # states of a filter
ALPHA, K1, K2, A22 = 0, 1, 2, 3  # gains of its steps, as in `state_space`


@njit(**JIT)
def lay_lines(knots, order, weights, places, units, h):
    """Write each line's knots in order, their unit and scaled gaps (n - 1, 2Q); give a bad line.

    Or -1 if there is none.
    """
    lines, n = knots.shape
    heaviest, lightest = 0.0, np.inf
    for i in range(n):
        heaviest, lightest = max(heaviest, weights[i]), min(lightest, weights[i])
    if not lightest >= LEAST_WEIGHT * power_of_two(heaviest):
        return 0
    for line in range(lines):
        own = places[line]
        for i in range(n):
            own[i] = knots[line, order[line, i]]
        unit = power_of_two((own[n - 1] - own[0]) / (n - 1))
        if not SMALLEST_UNIT <= unit <= LARGEST_UNIT:  # nor where a knot is not finite
            return line
        units[line], per_unit = unit, 1.0 / unit
        for i in range(n - 1):
            gap = (own[i + 1] - own[i]) * per_unit
            if not gap >= LEAST_GAP:
                return line
            h[i, line] = h[n - 2 - i, lines + line] = gap
    return -1


@njit(**JIT)
def add_noise(order, weights, lam, units, r, q):
    """Write each lane's noise (n, 2Q) and process noise (2Q,), as `scale_noise` does."""
    lines, n = order.shape
    heaviest = 0.0
    for i in range(n):
        heaviest = max(heaviest, weights[i])
    top = power_of_two(heaviest)
    for line in range(lines):
        unit = units[line]
        scaled = lam / unit / top / unit / unit  # in turn: neither quotient overflows by itself
        process, numerator = (1.0, scaled) if scaled <= 1.0 else (1.0 / scaled, 1.0)
        q[line] = q[lines + line] = process
        for i in range(n):
            noise = numerator / (weights[order[line, i]] / top)
            r[i, line] = r[n - 1 - i, lines + line] = noise


@njit(**JIT)
def filter_lanes(h, r, q, states, gains):
    """Run the recursion of `filter_information` in all lanes.

    Writes states (3, n, 2Q) and the gains of its steps (4, n - 1, 2Q). Lanes are the inner loop,
    and so SIMD's.
    """
    n, lanes = r.shape
    rho, beta, s = states[RHO], states[BETA], states[S]
    alpha, k1, k2, a22 = gains[ALPHA], gains[K1], gains[K2], gains[A22]
    for lane in range(lanes):
        rho[0, lane], beta[0, lane], s[0, lane] = r[0, lane], 0.0, 0.0
    for i in range(n - 1):
        for lane in range(lanes):
            gap, process, noise = h[i, lane], q[lane], r[i + 1, lane]
            ri, bi, si = rho[i, lane], beta[i, lane], s[i, lane]
            e, a, b, c = predict_information(gap, process, ri, bi, si, 1.0)
            t = noise * si + c
            per_t, per_g = 1.0 / t, 1.0 / (e + noise * a)  # two divisions for seven quotients
            rho[i + 1, lane], beta[i + 1, lane] = noise * e * per_g, noise * b * per_g
            s[i + 1, lane] = t * per_g
            alpha[i, lane], k1[i, lane], k2[i, lane] = noise * si * per_t, c * per_t, b * per_t
            cubed = gap * gap * gap
            turn = si * (noise + ri) - process * si * cubed / 6.0 + bi * (bi + gap)
            a22[i, lane] = turn * per_t


@njit(**JIT)
def place_points(places, units, order, points, left_out, cells, gaps):
    """Write for each point the knots beside it and the scaled distances from them, (Q, m, 2) both.

    -1 and n stand for no knot. `left_out`: points are the knots as they were given, and beside each
    are its neighbours. Gives a line with a point that is not finite, or -1.
    """
    lines, n = places.shape
    k = np.int64(0)  # a literal would make another specialisation
    for line in range(lines):
        own, per_unit = places[line], 1.0 / units[line]  # a power of two
        for p in range(points.shape[1]):
            if left_out:
                at = order[line, p]
                t, i, j = own[p], p - 1, p + 1
            else:
                at, t = p, points[line, p]
                if not abs(t) < np.inf:
                    return line
                k = locate(own, t, k)
                i, j = k, k + 1
                if t < own[0]:
                    i, j = -1, 0
                elif t > own[n - 1]:
                    i, j = n - 1, n
            cells[line, at, 0], cells[line, at, 1] = i, j
            gaps[line, at, 0] = (t - own[max(i, 0)]) * per_unit
            gaps[line, at, 1] = (own[min(j, n - 1)] - t) * per_unit
    return -1


@njit(**JIT)
def predict_side(states, k, lane, gap, q):
    """Give (E, pa, pb, pc, s) a gap beyond entry k of a lane; outside of it nothing is known."""
    if not 0 <= k < states.shape[1]:
        return 1.0, 0.0, 0.0, 0.0, 0.0
    rho, beta, s = states[RHO, k, lane], states[BETA, k, lane], states[S, k, lane]
    e, a, b, c = predict_information(gap, q, rho, beta, s, 1.0)
    return e, a, b, c, s


@njit(**JIT)
def find_variances(order, weights, r, q, states, cells, gaps, out):
    """Write the posterior variance at each point of each line; a value of weight 1 has 1."""
    lines, n = order.shape
    for line in range(lines):
        noise = r[0, line] * weights[order[line, 0]]
        for p in range(out.shape[1]):
            i, j = cells[line, p, 0], n - 1 - cells[line, p, 1]
            left = predict_side(states, i, line, gaps[line, p, 0], q[line])
            right = predict_side(states, j, lines + line, gaps[line, p, 1], q[line])
            c, d = both_sides(left, right)
            out[line, p] = c / d / noise


@njit(**JIT)
def weigh_side(near, far, rho, beta, gap, q):
    """Give the weights of the value and the slope filtered at a knot in the mean at a point.

    `near` and `far` are what `predict_side` tells of both sides at the point, a gap beyond the
    knot. To be divided by D of `both_sides`. The slope's is the gap times the value's less the
    weight of the slope predicted, written without that subtraction.
    """
    _, a, b, _, s = near
    e, _, b_far, c_far, _ = far
    qs = q * s * gap * gap
    value = s * e + a * c_far + b * b_far
    slope = s * e * gap + c_far * (0.5 * qs - beta)
    return value, slope + b_far * (qs * gap / 6.0 - s * rho - beta * (beta + gap))


@njit(**JIT)
def spread(h, gains, lane, entries, starts, order, value, slope, transposed):
    """Add to `transposed` (n, m) what points owe to the values, back through a lane's filter.

    Point p owes ``starts[:, p]`` to value and slope filtered at entry ``entries[p]``, if there is
    one. Points are the inner loop, and so SIMD's.
    """
    n, m = transposed.shape
    backwards = lane >= h.shape[1] // 2
    for p in range(m):
        value[p] = slope[p] = 0.0
    for i in range(n - 1, -1, -1):
        row = transposed[order[n - 1 - i] if backwards else order[i]]
        gap, alpha, k1, k2, a22 = 0.0, 0.0, 1.0, 0.0, 0.0
        if i > 0:
            gap, alpha, k1 = h[i - 1, lane], gains[ALPHA, i - 1, lane], gains[K1, i - 1, lane]
            k2, a22 = gains[K2, i - 1, lane], gains[A22, i - 1, lane]
        for p in range(m):
            begins = entries[p] == i
            at = value[p] + (starts[0, p] if begins else 0.0)
            turn = slope[p] + (starts[1, p] if begins else 0.0)
            row[p] += k1 * at + k2 * turn
            kept = alpha * at
            value[p], slope[p] = kept - k2 * turn, gap * kept + a22 * turn


@njit(**JIT)
def variances(knots, order, weights, lam, points, left_out, out):
    """Write posterior variances, or those of `left_out` knots; give a bad line or -1."""
    (lines, n), m = knots.shape, out.shape[1]
    places, units, h = np.empty((lines, n)), np.empty(lines), np.empty((n - 1, 2 * lines))
    r, q = np.empty((n, 2 * lines)), np.empty(2 * lines)
    states, gains = np.empty((3, n, 2 * lines)), np.empty((4, n - 1, 2 * lines))
    cells, gaps = np.empty((lines, m, 2), np.int64), np.empty((lines, m, 2))
    bad = lay_lines(knots, order, weights, places, units, h)
    if bad < 0:
        bad = place_points(places, units, order, points, left_out, cells, gaps)
    if bad < 0:
        add_noise(order, weights, lam, units, r, q)
        filter_lanes(h, r, q, states, gains)
        find_variances(order, weights, r, q, states, cells, gaps, out)
    return bad


@njit(**JIT)
def mean_matrix(knots, order, weights, lam, seen, points, left_out, constant, matrix, precision):
    """Write the mean of the lines' matrices by their precisions, and the sum of these (m,).

    A precision is the inverse of the variance at the smoothing `seen`; with `left_out` of that of
    the error, noise included. Gives a bad line or -1.
    """
    (lines, n), m = knots.shape, precision.size
    places, units, h = np.empty((lines, n)), np.empty(lines), np.empty((n - 1, 2 * lines))
    r, q = np.empty((n, 2 * lines)), np.empty(2 * lines)
    states, gains = np.empty((3, n, 2 * lines)), np.empty((4, n - 1, 2 * lines))
    cells, gaps = np.empty((lines, m, 2), np.int64), np.empty((lines, m, 2))
    bad = lay_lines(knots, order, weights, places, units, h)
    if bad < 0:
        bad = place_points(places, units, order, points, left_out, cells, gaps)
    if bad >= 0:
        return bad
    shares = np.empty((lines, m))
    add_noise(order, weights, seen, units, r, q)
    filter_lanes(h, r, q, states, gains)
    find_variances(order, weights, r, q, states, cells, gaps, shares)
    for p in range(m):
        total, least = 0.0, np.inf
        for line in range(lines):
            if left_out:
                shares[line, p] += 1.0 / weights[p]
            least = min(least, shares[line, p])
        for line in range(lines):
            shares[line, p] = least / shares[line, p]  # at most 1: their sum overflows nothing
            total += shares[line, p]
        for line in range(lines):
            shares[line, p] /= total
        precision[p] = total / least
    if lam != seen:
        add_noise(order, weights, lam, units, r, q)
        filter_lanes(h, r, q, states, gains)
    entries, starts = np.empty((2, m), np.int64), np.empty((2, 2, m))
    value, slope, transposed = np.empty(m), np.empty(m), np.zeros((n, m))
    for line in range(lines):
        own, other, process = order[line], lines + line, q[line]
        for p in range(m):
            i, j = cells[line, p, 0], n - 1 - cells[line, p, 1]
            before, after = gaps[line, p, 0], gaps[line, p, 1]
            if constant and i < 0:
                i, before, j, after = 0, 0.0, n - 2, h[0, line]
            elif constant and j < 0:
                i, before, j, after = n - 2, h[n - 2, line], 0, 0.0
            left = predict_side(states, i, line, before, process)
            right = predict_side(states, j, other, after, process)
            share = shares[line, p] / both_sides(left, right)[1]
            entries[0, p], entries[1, p] = i, j
            if i >= 0:
                rho, beta = states[RHO, i, line], states[BETA, i, line]
                at, turn = weigh_side(left, right, rho, beta, before, process)
                starts[0, 0, p], starts[0, 1, p] = share * at, share * turn
            if j >= 0:
                rho, beta = states[RHO, j, other], states[BETA, j, other]
                at, turn = weigh_side(right, left, rho, beta, after, process)
                starts[1, 0, p], starts[1, 1, p] = share * at, share * turn
        spread(h, gains, line, entries[0], starts[0], own, value, slope, transposed)
        spread(h, gains, other, entries[1], starts[1], own, value, slope, transposed)
    for p in range(m):
        for k in range(n):
            matrix[p, k] = transposed[k, p]
    return bad
