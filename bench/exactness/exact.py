"""Smoothing splines at 500 bits, O(n): the digits that others are measured against.

Between neighbouring knots the curve is a cubic, so that the penalty is a quadratic form of values
f_i and slopes s_i at the knots. In a gap h with rise D = f_1 - f_0

    integral(f''**2) = 12 / h**3 (D - h (s_0 + s_1) / 2)**2 + (s_1 - s_0)**2 / h,

and the normal equations ``(W + lam E) (f, s) = (W y, 0)`` are block tridiagonal with blocks of 2 x
2. Their inverse is the posterior covariance of (f, s) for values of variance 1 / weight (Wahba
1983). On a circle the states between the ends answer to those of both ends, which are one: two
numbers more. lam = 0 and inf are approached by 1e-30 and 1e30 of what is comparable.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise

import gmpy2
import numpy as np
from gmpy2 import mpfr

PRECISION = 500
BEYOND = "1e30"
_NOTHING = (0, 0, 0, 0), (0, 0, 0, 0)


@dataclass(frozen=True)
class Case:
    """A problem whose exact answer is computed: kinds of knots and weights by their names."""

    knots: str
    n: int
    lam: float
    weights: str = "one"
    bc: str = "natural"
    roughness: str = "one"


def _exactly(function):
    """Run with 500 bits; numbers of such a function are not to be computed with outside."""

    @wraps(function)
    def at_precision(*args, **keywords):
        with gmpy2.context(precision=PRECISION):
            return function(*args, **keywords)

    return at_precision


class ExactPlan:
    """The smoothing spline of knots (n,), n >= 2, lam and weights, two of them positive.

    `roughness` weights the penalty, one a gap. Takes the exact binary values of float64 input.
    Results are lists of 500-bit numbers.
    """

    @_exactly
    def __init__(self, knots, *, lam, weights=None, roughness=None):
        self._x = _exact(knots)
        self._h = [after - before for before, after in pairwise(self._x)]
        self._w = _exact(np.ones(len(self._x)) if weights is None else weights)
        rough = _exact(np.ones(len(self._h)) if roughness is None else roughness)
        lowest = min(self._h) ** 3 * min(weight for weight in self._w if weight > 0) / max(rough)
        highest = (self._x[-1] - self._x[0]) ** 3 * sum(self._w) / min(rough)
        least, most = lowest / mpfr(BEYOND), highest * mpfr(BEYOND)
        strength = min(max(mpfr(float(lam)), least), most)
        self._lam = [strength * one for one in rough]  # one a gap
        self._factor()

    def _factor(self):
        self._eliminate(0, len(self._h), (self._w[0], mpfr(0), mpfr(0)), (0, 0, 0))

    def _stiffness(self, i):
        """Give k0, k1, k2 of gap i, whose energy is that of a beam."""
        h, lam = self._h[i], self._lam[i]
        k1 = 6 * lam / (h * h)
        return 4 * lam / h, k1, 2 * k1 / h

    def _eliminate(self, first, last, start, end):
        """Eliminate knots from the left: inverse blocks (3 numbers) and what couples them (4).

        The blocks of knots `first` and `last` are given as far as gaps beyond them make them.
        """
        self._inverses, self._couplings = [], []
        a, b, c = start  # of what is left of a block (a, b; b, c)
        for i in range(first, last):
            (k0, k1, k2), weight = self._stiffness(i), self._w[i + 1]
            p, q, r = self._invert(a + k2, b + k1, c + k0)
            half = k0 / 2
            # couples (f, s) here by (-k2, k1; -k1, k0 / 2) with those at the next knot
            g00, g01 = -p * k2 - q * k1, p * k1 + q * half
            g10, g11 = -q * k2 - r * k1, q * k1 + r * half
            self._couplings.append((g00, g01, g10, g11))
            a = weight + k2 + k2 * g00 + k1 * g10
            b = -k1 + k2 * g01 + k1 * g11
            c = k0 - k1 * g01 - half * g11
        self._invert(a + end[0], b + end[1], c + end[2])

    def _invert(self, a, b, c):
        determinant = a * c - b * b
        inverse = c / determinant, -b / determinant, a / determinant
        self._inverses.append(inverse)
        return inverse

    def _solve(self, loads):
        """Give the (f, s) at all knots that loads (n pairs) cause."""
        states, before, coupling = [], (mpfr(0), mpfr(0)), (0, 0, 0, 0)
        for load, (p, q, r), after in zip(
            loads, self._inverses, [*self._couplings, None], strict=True
        ):
            u = load[0] - coupling[0] * before[0] - coupling[2] * before[1]
            v = load[1] - coupling[1] * before[0] - coupling[3] * before[1]
            before, coupling = (u, v), after
            states.append((p * u + q * v, q * u + r * v))
        for i in reversed(range(len(self._couplings))):
            (f, s), (u, v), g = states[i], states[i + 1], self._couplings[i]
            states[i] = f - g[0] * u - g[1] * v, s - g[2] * u - g[3] * v
        return states

    @_exactly
    def fit(self, values):
        """Give value and slope at each knot of the curve fitted to values (n,)."""
        y = _exact(np.where(np.equal([float(w) for w in self._w], 0.0), 0.0, values))
        return self._solve([(w * value, mpfr(0)) for w, value in zip(self._w, y, strict=True)])

    @_exactly
    def evaluate(self, states, points, nu=0):
        """Give derivative `nu` of a curve that `fit` gave at points (m,)."""
        results = []
        for i, row in self._rows(points, nu):
            (f, s), (g, t) = states[i : i + 2]
            results.append(row[0] * f + row[1] * s + row[2] * g + row[3] * t)
        return results

    @_exactly
    def adjoint(self, cotangent, points, nu=0):
        """Give the transpose of the map from values to derivative `nu` at points, times (m,)."""
        loads = [[mpfr(0), mpfr(0)] for _ in self._x]
        for c, (i, row) in zip(_exact(cotangent), self._rows(points, nu), strict=True):
            for place, weight in enumerate(row):
                loads[i + place // 2][place % 2] += weight * c
        return [w * f for w, (f, _) in zip(self._w, self._solve(loads), strict=True)]

    @_exactly
    def leverages(self):
        """Give the leverages and 1 - leverage."""
        levers = [w * c[0] for w, c in zip(self._w, self._covariances()[0], strict=True)]
        return levers, [1 - lever for lever in levers]

    @_exactly
    def variances(self, points):
        """Give the posterior variances of the curve at points for values of variance 1 / weight."""
        own, shared = self._covariances()
        results = []
        for i, (a, b, c, d) in self._rows(points, 0):
            (p, q, r), (t, u, v), g = own[i], own[i + 1], shared[i]
            variance = a * a * p + 2 * a * b * q + b * b * r + c * c * t + 2 * c * d * u + d * d * v
            variance += 2 * (a * (c * g[0] + d * g[1]) + b * (c * g[2] + d * g[3]))
            results.append(variance)
        for place, given in enumerate(_exact(points)):  # of the process between the knots
            point = self._place(given)
            i = self._cell(point)
            before, after = point - self._x[i], self._x[i + 1] - point
            is_inside = before >= 0 and after >= 0
            free = before * after / self._h[i] if is_inside else -min(before, after)
            results[place] += free**3 / 3 / self._lam[i]
        return results

    def _covariances(self):
        """Give the covariance of (f, s) at each knot, 3 numbers, and of neighbours, 4."""
        own, shared = [self._inverses[-1]], []
        for (p, q, r), (g00, g01, g10, g11) in zip(
            reversed(self._inverses[:-1]), reversed(self._couplings), strict=True
        ):
            t, u, v = own[-1]
            s00, s01 = -g00 * t - g01 * u, -g00 * u - g01 * v
            s10, s11 = -g10 * t - g11 * u, -g10 * u - g11 * v
            shared.append((s00, s01, s10, s11))
            own.append((p - s00 * g00 - s01 * g01, q - s00 * g10 - s01 * g11,
                        r - s10 * g10 - s11 * g11))  # fmt: skip
        return own[::-1], shared[::-1]

    def _place(self, point):
        """Give where a point is read."""
        return point

    def _cell(self, point):
        return min(max(bisect_right(self._x, point) - 1, 0), len(self._h) - 1)

    def _rows(self, points, nu):
        """Give the cell of each point and what (f, s, f, s) at its ends multiply with."""
        for given in _exact(points):
            point = self._place(given)
            i = self._cell(point)
            h, before, after = self._h[i], point - self._x[i], self._x[i + 1] - point
            if before < 0:
                yield i, [(1, before, 0, 0), (0, 1, 0, 0), *_NOTHING][nu]
            elif after < 0 or (nu == 3 and after == 0):
                yield i, [(0, 0, 1, -after), (0, 0, 0, 1), *_NOTHING][nu]
            else:
                u, v = before / h, after / h
                yield i, _weigh(u, v, h, nu)


class ExactCircle(ExactPlan):
    """The periodic one of n >= 3 knots, whose first and last are one: the seam."""

    def _factor(self):
        k0, k1, k2 = self._stiffness(0)
        l0, l1, l2 = self._stiffness(len(self._h) - 1)
        self._eliminate(1, len(self._h) - 1, (self._w[1] + k2, -k1, k0), (l2, l1, l0))
        # What the knots between answer to value and slope 1 at the seam.
        loads = [[(mpfr(0), mpfr(0)) for _ in self._x[2:]] for _ in range(2)]
        for load, at_first, at_last in zip(
            loads, [(k2, -k1), (k1, -k0 / 2)], [(l2, l1), (-l1, -l0 / 2)], strict=True
        ):
            load[0] = at_first
            load[-1] = load[-1][0] + at_last[0], load[-1][1] + at_last[1]
        by_value, by_slope = (super(ExactCircle, self)._solve(load) for load in loads)
        self._answers = list(zip(by_value, by_slope, strict=True))
        pull = [self._pull([answer[k] for answer in self._answers]) for k in range(2)]
        a = self._w[0] + self._w[-1] + k2 + l2 + pull[0][0]
        b, c = k1 - l1 + pull[0][1], k0 + l0 + pull[1][1]
        determinant = a * c - b * b
        self._seam = c / determinant, -b / determinant, a / determinant

    def _pull(self, states):
        """Give the forces on the seam of states between."""
        (f, s), (g, t) = states[0], states[-1]
        k0, k1, k2 = self._stiffness(0)
        l0, l1, l2 = self._stiffness(len(self._h) - 1)
        return -k2 * f + k1 * s - l2 * g - l1 * t, -k1 * f + k0 / 2 * s + l1 * g + l0 / 2 * t

    def _solve(self, loads):
        between = super()._solve(loads[1:-1])
        pull = self._pull(between)
        u, v = (loads[0][k] + loads[-1][k] - pull[k] for k in range(2))
        p, q, r = self._seam
        f, s = p * u + q * v, q * u + r * v
        states = [
            (g + f * by_f[0] + s * by_s[0], t + f * by_f[1] + s * by_s[1])
            for (g, t), (by_f, by_s) in zip(between, self._answers, strict=True)
        ]
        return [(f, s), *states, (f, s)]

    def _covariances(self):
        """Add to what the knots between have, the seam known, what they owe to it."""
        own, shared = super()._covariances()
        p, q, r = self._seam
        one = (mpfr(1), mpfr(0)), (mpfr(0), mpfr(1))
        answers = [one, *self._answers, one]
        nothing = (mpfr(0),) * 4
        own = [nothing[:3], *own, nothing[:3]]
        shared = [nothing, *shared, nothing]

        def owed(left, right):
            (a, b), (c, d) = left  # states (a, b) by the seam's value, (c, d) by its slope
            (e, f), (g, h) = right
            rows = (a * p + c * q, a * q + c * r), (b * p + d * q, b * q + d * r)
            return [x * one + y * two for x, y in rows for one, two in ((e, g), (f, h))]

        for i, answer in enumerate(answers):
            t, u, _, v = owed(answer, answer)
            own[i] = own[i][0] + t, own[i][1] + u, own[i][2] + v
        for i, both in enumerate(pairwise(answers)):
            shared[i] = tuple(one + two for one, two in zip(shared[i], owed(*both), strict=True))
        return own, shared

    def _place(self, point):
        first, last = self._x[0], self._x[-1]
        if first <= point < last:
            return point
        return point - (last - first) * gmpy2.floor((point - first) / (last - first))


def _weigh(u, v, h, nu):
    if nu == 0:
        return v * v * (1 + 2 * u), u * v * v * h, u * u * (1 + 2 * v), -u * u * v * h
    if nu == 1:
        return -6 * u * v / h, v * (v - 2 * u), 6 * u * v / h, u * (u - 2 * v)
    if nu == 2:
        return (
            6 * (u - v) / (h * h),
            (2 * u - 4 * v) / h,
            6 * (v - u) / (h * h),
            (4 * u - 2 * v) / h,
        )
    return 12 / h**3, 6 / (h * h), -12 / h**3, 6 / (h * h)


def smooth_exactly(knots, values, *, lam, weights=None):
    """Give the fitted values (n,) of one column, as 500-bit numbers."""
    return [f for f, _ in ExactPlan(knots, lam=lam, weights=weights).fit(values)]


@_exactly
def relative_error(fitted, exact):
    """Give the largest error of `fitted` (n,) relative to the largest exact value."""
    return float(max(_misses(fitted, exact)) / max(abs(value) for value in exact))


@_exactly
def relative_rms(fitted, exact):
    """Give the root of the mean squared difference, relative to the largest exact value."""
    mean = sum(miss**2 for miss in _misses(fitted, exact)) / len(exact)
    return float(gmpy2.sqrt(mean) / max(abs(value) for value in exact))


def _misses(fitted, exact):
    return [abs(mpfr(float(a)) - b) for a, b in zip(fitted, exact, strict=True)]


def _exact(numbers):
    return [mpfr(float(number)) for number in numbers]
