"""What a plan computes once, compiled: scaled knots, factors, and the weights of its points."""

import math

import numpy as np

from fastspline._kernels.addresses import BEYOND, JET, N_TABLES, write_nu
from fastspline._kernels.vector import poke
from fastspline.jit import INLINED, INTERPRETED, JIT, njit

UNIT_RANGE = 1e-100, 1e100  # mean gaps whose cubes are normal numbers
LEAST_GAP = 1e-70  # relative to the mean gap: its fourth power is a normal number
LEAST_WEIGHT = 1e-100  # relative to the largest weight
LEAST_ROUGHNESS = 1e-50  # relative to the largest roughness weight
KAPPA_EXACT = 450.0  # eps * kappa <= 1e-13: Reinsch's system is exact
HALF_ROOT = math.sqrt(0.5)


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
    if not value < np.inf:
        return value
    part, exponent = math.frexp(value)
    return math.ldexp(1.0, exponent if part >= HALF_ROOT else exponent - 1)


@njit(**INLINED)
def scale_gaps(knots, h):
    """Write the gaps into `h`, in a unit next to their mean; give that unit, a power of two."""
    n = knots.size
    unit = power_of_two((knots[n - 1] - knots[0]) / (n - 1))
    per_unit = 1.0 / unit
    for i in range(n - 1):
        h[i] = (knots[i + 1] - knots[i]) * per_unit
    return unit


@njit(**JIT)
def locate(knots, t, k):
    """Give the last interval in [0, n - 2] that begins at or before t, or 0; k is a first guess.

    Sorted points then cost a comparison or two each, others a binary search.
    """
    last = knots.size - 2
    if knots[k] <= t:
        if t < knots[k + 1] or k == last:
            return k
        if t < knots[k + 2] or k + 1 == last:
            return k + 1
    low, high = 0, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        if knots[middle] <= t:
            low = middle
        else:
            high = middle
    return low


@njit(**JIT)
def weigh_by_curvature(u, v, h, nu, w):
    """Write the weights of (g_1 - g_0, gamma_0, gamma_1) in derivative nu inside a gap h.

    The point lies at fraction u = 1 - v of the gap; for nu = 0 the value g_0 is added to the sum.

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
    """Write the weights of (f_1 - f_0, f'_0, f'_1), f = g for nu = 0 and its slope for nu = 1.

    Slopes come from slopes and second derivatives, not from differences of g, which lose all digits
    in a tiny gap; of the latter, which err as much in a wide gap as in a tiny one beside it, the
    curve between the slopes takes little. For nu = 2 the weights are of (., gamma_0, gamma_1), for
    nu = 3 of (., shear, .), less the derivative of gamma in the gap: no difference either.
    """
    w[0] = w[1] = w[2] = 0.0
    if v < 0.0:
        w[0] = 1.0 if nu < 2 else 0.0
        w[2] = -v * h if nu == 0 else 0.0
    elif u < 0.0:
        w[1] = u * h if nu == 0 else 0.0
    elif nu == 0:
        w[0] = u * u * (1.0 + 2.0 * v)
        w[1], w[2] = u * v * v * h, -v * u * u * h
    elif nu == 1:
        w[0] = u
        w[1], w[2] = 0.5 * u * v * h, -0.5 * u * v * h
    elif nu == 2:
        w[1], w[2] = v, u
    elif v > 0.0:  # as in `weigh_curvatures`
        w[1] = -1.0


@njit(**INLINED)
def weigh_curvatures(u, v, h, nu, w):
    """Write the weights of (., gamma_0, gamma_1) in the second or third derivative inside a gap."""
    if nu == 2:
        w[1], w[2] = v, u
    elif v > 0.0:  # the third derivative jumps at the knots: its right limit, and 0 at the last one
        w[1], w[2] = -1.0 / h, 1.0 / h


@njit(**INLINED)
def tabulate_points(knots, h, unit, roughness, by_slope, points, nu, places, weights):
    """Sort the points by interval and write what each multiplies with; give a bad point or -1.

    There are m: all `points` for derivative `nu`, or for `JET` those for 0, then 1, then 2; for
    `BEYOND` nu is 0.
    `places` begins with spans (2n + 1), needed (n) and rows (m). Row p of
    `weights` (m, 3) belongs to row ``rows[p]`` of the result. Points whose sum begins with the
    value at knot k (nu = 0, by slopes also nu = 1) are ``spans[2k] : spans[2k + 1]``, other
    derivatives in that interval go up to ``spans[2k + 2]``. A last interval, n - 1, holds the
    former at the last knot itself: they are exact. ``needed[k]`` tells whether g_k enters any
    point. Curvatures are taken in scaled units (gaps `h`), slopes in those of the knots. With
    `roughness` (only by slopes) gamma is roughness times f''.
    """
    n, count = knots.size, points.size
    m = weights.shape[0]
    spans, needed, rows = split_places(places, n, m)
    first = 0 if nu in (JET, BEYOND) else nu
    per_unit = 1.0 / unit  # a power of two
    cells = np.empty(m, np.int64)
    for k in range(n):
        spans[2 * k] = spans[2 * k + 1] = needed[k] = 0
    spans[2 * n] = 0
    place = np.int64(0)  # a literal would make another specialisation
    for p in range(m):
        order, t = first + p // count, points[p % count]
        if not abs(t) < np.inf:
            return p
        place = k = locate(knots, t, place)
        based = order == 0 or (by_slope and order == 1)
        if based and t == knots[n - 1]:
            k = n - 1
        needed[k] = 1
        needed[min(k + 1, n - 1)] = 1
        cells[p] = 2 * k + (0 if based else 1)
        spans[cells[p] + 1] += 1
    for c in range(2 * n):
        spans[c + 1] += spans[c]
    # A counting sort: spans[c] moves from the first to one past the last place of c.
    for p in range(m):
        c = cells[p]
        place = spans[c]
        spans[c] += 1
        rows[place] = p
        w = weights[place]
        k = c // 2
        if k == n - 1:
            w[0] = w[1] = w[2] = 0.0
            continue
        order, t = first + p // count, points[p % count]
        gap = knots[k + 1] - knots[k]
        u, v = (t - knots[k]) / gap, (knots[k + 1] - t) / gap
        if by_slope:
            weigh_by_slope(u, v, gap, order, w)
            scale = per_unit if order == 0 else per_unit * per_unit  # of slopes and moments
            if order == 3:  # of shears
                scale *= per_unit
            if order > 0 and roughness.size > 0:
                scale /= roughness[k]
            w[1] *= scale
            w[2] *= scale
            continue
        weigh_by_curvature(u, v, h[k], order, w)
        for _ in range(order):
            for i in range(3):
                w[i] *= per_unit
    for c in range(2 * n, 0, -1):
        spans[c] = spans[c - 1]
    spans[0] = 0
    return -1


@njit(**INLINED)
def split_places(places, n, m):
    """Give spans, needed and rows, see `tabulate_points`."""
    return places[: 2 * n + 1], places[2 * n + 1 : 3 * n + 1], places[3 * n + 1 : 3 * n + 1 + m]


@njit(**JIT)
def lie_far(knots, points):
    """Tell whether a point lies further outside than an end gap: there its slope carries on."""
    n = knots.size
    least = knots[0] - (knots[1] - knots[0])
    most = knots[n - 1] + (knots[n - 1] - knots[n - 2])
    first, last = least, most
    for t in points:
        first, last = min(first, t), max(last, t)
    return first < least or last > most


@njit(**JIT)
def bind_points(
    knots, table, forward_at, backward_at, unit, roughness, by_slope, points, nu, sources, places,
    weights,
):  # fmt: skip
    """Tabulate points, see `tabulate_points`, and list where a sweep finds what.

    Gives the address of the list, or -1 less the index of a point that is not finite.

    `table` begins with the gaps; the coefficients of both sweeps lie from `forward_at` and
    `backward_at` on, see `list_addresses`. `places` ends with N_TABLES numbers for the list.
    """
    n = knots.size
    h = table[: n - 1]
    bad = tabulate_points(knots, h, unit, roughness, by_slope, points, nu, places, weights)
    if bad >= 0:
        return -1 - bad
    if INTERPRETED:  # there are no sweeps
        return 0
    first, coefficients = np.int64(places.ctypes.data), np.int64(table.ctypes.data)
    at = first + 8 * (places.size - N_TABLES)
    poke(at, coefficients + 8 * forward_at)  # as `list_addresses` does, with fewer views to compile
    poke(at + 8, coefficients + 8 * backward_at)
    poke(at + 16, np.int64(sources.ctypes.data))
    poke(at + 24, first)  # of `split_places`
    poke(at + 32, first + 8 * (2 * n + 1))
    poke(at + 40, np.int64(weights.ctypes.data))
    poke(at + 48, first + 8 * (3 * n + 1))
    write_nu(at, nu, unit)
    return at


@njit(**JIT)
def scale_plan(knots, weights, lam, h, pull):
    """Scale a plan; empty `weights` stand for ones.

    Gives (bad knot or -1, unit, top, scaled lam, kappa, shortest scaled gap, least scaled weight),
    and writes the gaps `h` (n - 1,), and `pull` (n,) as `factor_pentadiagonal` takes it.

    Lengths are divided by `unit` and weights by `top`, the power of two next to their maximum, so
    that no unit of the caller's overflows and powers of two change no digit. kappa = max pull_i /
    min(h_{i-1}, h_i)^3 bounds the error of Reinsch's system: at most eps kappa, relative to max
    |values|.
    """
    n = knots.size
    bad = first_bad_knot(knots)
    if bad >= 0:
        return bad, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0
    unit = scale_gaps(knots, h)
    heaviest = 0.0
    for i in range(weights.size):
        heaviest = max(heaviest, weights[i])
    top = power_of_two(heaviest) if weights.size > 0 else 1.0
    scaled = lam / unit / top / unit / unit  # in turn: neither quotient overflows by itself
    kappa, shortest, lightest = 0.0, h[0], 1.0
    for i in range(n - 1):
        shortest = min(shortest, h[i])
    per_weight = scaled if n > 2 else 0.0  # two points lie on a line for every lam
    if weights.size == 0:
        kappa = per_weight / (shortest * shortest * shortest)
        for i in range(n):
            pull[i] = per_weight
    for i in range(weights.size):
        w = weights[i] / top
        lightest = min(lightest, w)
        pull[i] = per_weight / w
        gap = min(h[max(i - 1, 0)], h[min(i, n - 2)])
        kappa = max(kappa, pull[i] / (gap * gap * gap))
    return bad, unit, top, scaled, kappa, shortest, lightest


@njit(**JIT)
def is_even(h, least, ratio):
    """Tell whether no gap is below `least`, and none above `ratio` times one beside it."""
    for i in range(h.size):
        if h[i] < least or (i > 0 and (h[i] > ratio * h[i - 1] or h[i - 1] > ratio * h[i])):
            return False
    return True
