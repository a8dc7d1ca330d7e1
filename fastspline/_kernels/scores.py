"""What the scores of lam are made of: residuals, leverages, innovations, none by a subtraction.

At a knot the information of the knots to its left, that of those to its right, and the observation
there are independent; both sides are filtered towards the knot and meet there, which gives leverage
and residual at once. The recursion is that of `state_space` in another scale: the information
(a, b, c) / e on (f, -f') and its determinant d / e are kept so that d = 1 (0 while the slope is
unknown); then a step costs one division, and all sums still are of nonnegative terms.

References: as `state_space`; P. Craven and G. Wahba, Numer. Math. 31 (1979), for GCV; G. Wahba,
"A comparison of GCV and GML for choosing the smoothing parameter", Ann. Statist. 13 (1985).
"""

import math

import numpy as np

from fastspline.jit import JIT, njit

GCV, LOO, REML, ROBUST, REST = 0, 1, 2, 3, 4  # REST: n - df
# Places of lam are log10 of lam / (range**3 sum w).
STEP = 0.54  # of the grid: scores are sums of logistic functions of log lam, of unit width
UPPER = 2.0  # df - 2 < 1e-4
LINE = 10.0  # here the scores are those of the line but for 1e-12
LOWEST = -30.0
LEAST_REST = 1e-3  # n - df over n, below which scores compare rounding or neighbours' accidents
NEAR = 1e-2  # of cubed gaps times weights: below, all those logistic functions end alike
DOWN = 0.5  # decades; NEAR times the largest eigenvalue of the penalty is .5, and 1.5 < 10**DOWN
AT_BOUND = 1e-9
ROUNDING = 8.0 * 2.0**-52  # of values that lie on a line
FINE = 0.07  # decades between points whose polynomial has the minimum of the score
WINDOW = 4  # points on either side of the best that its polynomial goes through
# What the robust score multiplies that of GCV by, see `caution`; chosen on half of the data sets of
# bench.exactness.selection.
OF_FREEDOM, OF_FEW = 5.0, 15.0
# Entries of a knot's row of `gains`.
ALPHA, K1, K2, A22, GAIN = 0, 1, 2, 3, 4
N_GAINS = 5


@njit(**JIT)
def predict(h, q, d, e, a, b, c):
    """Give (e, a, b, c) after a gap h, and c less h b there (without that subtraction)."""
    h2, h3 = h * h, h * h * h / 3.0
    return (
        e + q * (h * c + h2 * b + h3 * a + 0.25 * q * h3 * h * d),
        a + q * h * d,
        b + h * a + 0.5 * q * h2 * d,
        c + 2.0 * h * b + h2 * a + q * h3 * d,
        c + h * b - 0.5 * q * h3 * d,
    )


@njit(**JIT)
def filter_side(h, q, r, predicted, gains):
    """Write e, a, b, c predicted at each knot, (n, 4), and what the sweeps multiply with.

    Gives the sum of log d', d' of a knot being the variance of its innovation, but for the first
    two knots, which together give the determinant of (1, x).
    """
    n = r.size
    e, a, b, c, d, bend = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    log_det = 0.0
    for i in range(n):
        predicted[i, 0], predicted[i, 1], predicted[i, 2], predicted[i, 3] = e, a, b, c
        if i == 0:  # the residual is 0, and the slope, which nothing tells yet, as well
            e, a, b, c = r[0], 1.0, 0.0, 0.0
            gains[0, ALPHA] = gains[0, K1] = gains[0, K2] = gains[0, GAIN] = 0.0
            gains[0, A22] = 1.0
        else:
            total = r[i] * d + c
            log_det += np.log(total)
            gain = 1.0 / total
            rho = r[i] * gain
            g = gains[i]
            g[ALPHA], g[K1], g[K2] = rho * d, gain * c, gain * b
            g[A22], g[GAIN] = gain * (r[i] * d + bend), gain
            e, a, b, c = rho * e, rho * a + gain * e, rho * b, rho * c
            d = 1.0
        if i < n - 1:
            e, a, b, c, bend = predict(h[i], q, d, e, a, b, c)
    return log_det


@njit(**JIT)
def sweep_row(h, gain, rise, sign, ahead, slope, chord):
    """Observe one knot: from the residuals and slopes predicted there to those at the next.

    `chord` is `ahead` plus the last gap times the slope. Near the identity the increment is taken,
    else the product, as in `smooth_panel`.
    """
    near = gain[ALPHA] > 0.5 and gain[A22] > 0.5
    alpha, k1, k2, a22 = gain[ALPHA], gain[K1], gain[K2], gain[A22]
    for j in range(ahead.size):
        e, v = ahead[j], slope[j]
        if near:
            residual, v = e - k1 * e, v + k2 * e
        else:
            residual, v = alpha * e, a22 * v + k2 * chord[j]
        chord[j] = sign * rise[j] + residual
        ahead[j] = chord[j] - h * v
        slope[j] = v


@njit(**JIT)
def score_columns(h, weights, lam, rises, sums):
    """Write what the scores of each column are made of at one lam, 0 and inf too.

    `rises` (n - 1, m) are the differences of the values, `weights` are at most 1. `sums` (3, m):
    weighted squares of the residuals, of the leave-one-out residuals, and squares of the
    innovations over their variances. Gives the sums of 1 - leverage and of its squares, and the log
    determinant.
    """
    n, m = weights.size, rises.shape[1]
    q, numerator = (1.0, lam) if lam <= 1.0 else (1.0 / lam, 1.0)
    r, backwards = np.empty(n), np.empty(n)
    h_backwards = np.empty(n - 1)
    for i in range(n):
        r[i] = backwards[n - 1 - i] = numerator / weights[i]
        if i > 0:
            h_backwards[n - 1 - i] = h[i - 1]
    left, right = np.empty((n, 4)), np.empty((n, 4))
    to_right, to_left = np.empty((n, N_GAINS)), np.empty((n, N_GAINS))
    log_det = filter_side(h, q, r, left, to_right)
    filter_side(h_backwards, q, backwards, right, to_left)
    aheads, slopes, chord = np.zeros((n, m)), np.zeros((n, m)), np.zeros(m)
    for j in range(m):
        sums[GCV, j] = sums[LOO, j] = sums[REML, j] = 0.0
    for i in range(n - 1):
        for j in range(m):
            aheads[i + 1, j], slopes[i + 1, j] = aheads[i, j], slopes[i, j]
        sweep_row(h[i], to_right[i], rises[i], 1.0, aheads[i + 1], slopes[i + 1], chord)
        if i > 0:
            per_variance = to_right[i + 1, GAIN]
            for j in range(m):
                sums[REML, j] += per_variance * aheads[i + 1, j] * aheads[i + 1, j]
    rest, squared = 0.0, 0.0
    ahead, slope, chord = np.zeros(m), np.zeros(m), np.zeros(m)
    for i in range(n - 1, -1, -1):
        e, a, b, c = left[i, 0], left[i, 1], left[i, 2], left[i, 3]
        k = n - 1 - i
        er, ar, br, cr = right[k, 0], right[k, 1], right[k, 2], right[k, 3]
        of_left = a * cr + b * br + (er if i > 1 else 0.0)
        of_right = ar * c + b * br + (e if k > 1 else 0.0)
        crossed = b * cr + br * c
        d = of_left + of_right
        total = r[i] * d + c * er + cr * e
        rest += r[i] * d / total
        squared += (r[i] * d / total) ** 2
        w, shrink, per = weights[i], r[i] / total, 1.0 / d
        for j in range(m):
            deleted = of_left * aheads[i, j] + of_right * ahead[j]
            deleted += crossed * (slopes[i, j] + slope[j])
            residual = shrink * deleted
            deleted *= per
            sums[GCV, j] += w * residual * residual
            sums[LOO, j] += w * deleted * deleted
        if i > 0:
            sweep_row(h[i - 1], to_left[k], rises[i - 1], -1.0, ahead, slope, chord)
    return rest, squared, log_det


@njit(**JIT)
def caution(n, rest, squared):
    """Give the factor by which the robust score exceeds that of GCV.

    With df = n - rest and P = rest**2 / squared, about the number of values on which the score
    rests, it is ``df**(5 / n) exp(15 / P)``.
    """
    return np.exp(OF_FREEDOM * np.log(n - rest) / n + OF_FEW * squared / rest**2)


@njit(**JIT)
def search_range(h, weights):
    """Give the unit of lam, and a place near interpolation, below which no score does much."""
    total, whole = 0.0, 0.0
    shortest, lightest = h[0], weights[0]
    for i in range(weights.size):
        total += weights[i]
        lightest = min(lightest, weights[i])
    for i in range(h.size):
        whole += h[i]
        shortest = min(shortest, h[i])
    unit = whole**3 * total
    return unit, max(np.log10(NEAR * shortest**3 * lightest / unit), LOWEST)


@njit(**JIT)
def subtract_lines(x, weights, y, first, stop, rises, powers, exact):
    """Write the differences of columns' values less those of their line; tell if all are rounding.

    For columns first to stop - 1 of `y` (n, m), to columns from 0 on of `rises` (n - 1, stop -
    first). No score changes by it, and rounding no longer grows with the slope. They are times
    2**-power, so that squares neither over- nor underflow.
    """
    n, m = x.size, stop - first
    largest, mean_y, bent, furthest = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
    up, down = np.empty(m), np.empty(m)
    for i in range(n):
        for j in range(m):
            largest[j] = max(largest[j], abs(y[i, first + j]))
    for j in range(m):
        powers[j] = math.frexp(largest[j])[1]
        half = powers[j] // 2  # either half is a number, whatever the power
        up[j], down[j] = math.ldexp(1.0, -half), math.ldexp(1.0, half - powers[j])
    total, mean_x, lever = 0.0, 0.0, 0.0
    for i in range(n):
        total += weights[i]
        mean_x += weights[i] * x[i]
        for j in range(m):
            mean_y[j] += weights[i] * (y[i, first + j] * up[j] * down[j])
    mean_x /= total
    for j in range(m):
        mean_y[j] /= total
    for i in range(n):
        arm = weights[i] * (x[i] - mean_x)
        lever += arm * (x[i] - mean_x)
        for j in range(m):
            bent[j] += arm * (y[i, first + j] * up[j] * down[j] - mean_y[j])
    for j in range(m):
        bent[j] /= lever  # which is the slope now
    for i in range(n):
        arm, gap = x[i] - mean_x, x[i] - x[max(i - 1, 0)]
        for j in range(m):
            here = y[i, first + j] * up[j] * down[j]
            furthest[j] = max(furthest[j], abs(here - mean_y[j] - bent[j] * arm))
            if i > 0:
                before = y[i - 1, first + j] * up[j] * down[j]
                rises[i - 1, j] = (here - before) - bent[j] * gap
    for j in range(m):
        exact[j] = furthest[j] <= ROUNDING * (largest[j] * up[j] * down[j])


@njit(**JIT)
def next_minimum(table, first, count):
    """Give the first local minimum of table[:count] at or after `first`, or -1."""
    for k in range(first, count):
        falls = k == 0 or not table[k - 1] <= table[k]
        if falls and (k == count - 1 or not table[k + 1] < table[k]):
            return k
    return -1


@njit(**JIT)
def lowest(places, scores):
    """Give the minimiser, and its score, of a polynomial through the points next to the best one.

    By divided differences, and Newton's method for its derivative; the best point itself where that
    leaves its neighbourhood.
    """
    best = 0
    for i in range(places.size):
        best = i if scores[i] < scores[best] else best
    first = max(best - WINDOW, 0)
    count = min(best + WINDOW + 1, places.size) - first
    x, f = np.empty(count), np.empty(count)
    for i in range(count):
        x[i], f[i] = places[first + i] - places[best], scores[first + i] - scores[best]
    reach = places[1] - places[0]
    for step in range(1, count):
        for i in range(count - 1, step - 1, -1):
            f[i] = (f[i] - f[i - 1]) / (x[i] - x[i - step])
    t, value = 0.0, 0.0
    for _ in range(20):
        value, slope, bend = f[count - 1], 0.0, 0.0
        for i in range(count - 2, -1, -1):
            bend = bend * (t - x[i]) + 2.0 * slope
            slope = slope * (t - x[i]) + value
            value = value * (t - x[i]) + f[i]
        moved = slope / bend
        t -= moved
        if not (bend > 0.0 and abs(t) <= reach and x[0] <= t <= x[count - 1]):
            return places[best], scores[best]
        if abs(moved) <= 1e-10 * reach:
            break
    return places[best] + t, scores[best] + min(value, 0.0)


def make_refine(evaluate, compiled):
    """Make the search for the least score, given those of a grid.

    ``evaluate(problem, places, scores)`` writes the scores of all places but the first and last;
    `compiled` is the decorator for what is made, which may do nothing.
    """

    @compiled
    def narrow(problem, left, right, places, scores):
        """Give place and score of the minimum between two (place, score).

        In rounds of equidistant places between the neighbours of the best, then by a polynomial.
        """
        end = places.size - 1
        gap = np.inf
        while gap > FINE:
            gap = (right[0] - left[0]) / end
            for i in range(end):
                places[i] = left[0] + i * gap
            places[end] = right[0]
            evaluate(problem, places, scores)
            scores[0], scores[end] = left[1], right[1]
            best = 0
            for i in range(end + 1):
                best = i if scores[i] < scores[best] else best
            low, high = max(best - 1, 0), min(best + 1, end)
            left, right = (places[low], scores[low]), (places[high], scores[high])
        return lowest(places, scores)

    @compiled
    def refine(problem, grid, table, count, places, scores):
        """Refine the local minima of table[:count], for there can be several; give the least.

        The best first. Another is passed over where the score would have to fall between points of
        the grid by more than it rises to the next ones, eight times as far as a parabola falls.
        """
        first = 0
        for k in range(count):
            first = k if table[k] < table[first] else first
        place, least, k = grid[first], np.inf, first
        while k >= 0:
            low, high = max(k - 1, 0), min(k + 1, count - 1)
            if not 2.0 * table[k] - max(table[low], table[high]) > least:
                left, right = (grid[low], table[low]), (grid[high], table[high])
                candidate, score = narrow(problem, left, right, places, scores)
                if score < least:
                    place, least = candidate, score
            k = next_minimum(table, 0 if k == first else k + 1, count)
            if k == first:
                k = next_minimum(table, k + 1, count)
        return place, least

    return refine
