"""`Reduced`: values between few knots as four rows a gap, for penalised fits at any lam."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastspline._kernels import regression
from fastspline._kernels.tables import power_of_two
from fastspline._solvers.tableau import Rows, Vector

REACH, STEP = 6, 0.1
STRAIGHT = 1e200  # what stands for lam = inf: the line, to all digits


class Solution(NamedTuple):
    """Curves at the knots, (knots, columns), for one lam, and what tells how sure they are."""

    values: Vector
    slopes: Vector
    curvatures: Vector
    squares: Vector  # weighted squares of residuals, one a column, over 4**power
    df: float
    factors: Vector  # (gaps, 4, 4), see `Reduced.variances`


class Reduced:
    """Weighted values at sites, between knots: the part of the fits that no lam changes.

    The spline f minimises ``sum(w * (y - f(x))**2) + lam * integral(f''**2)`` among all cubic
    splines with these knots, the integral from the first to the last of them. Preparing takes O(n)
    a column, a fit O(knots) a column.
    """

    def __init__(self, sites: Vector, weights: Vector, knots: Vector, values: Vector) -> None:
        self.unit = float(power_of_two((knots[-1] - knots[0]) / (knots.size - 1)))
        self.top = float(weights.max())
        self.knots = knots
        self.steps = np.diff(knots) / self.unit
        self.sites = sites
        self.weights = weights / self.top
        self.n = int(np.count_nonzero(weights))
        counts = weights > 0.0  # what does not may be NaN
        largest = np.abs(values[counts]).max(axis=0, initial=0.0)
        self.power = np.frexp(largest)[1].astype(np.int64)
        kept = np.where(counts[:, np.newaxis], values, 0.0)
        y = np.ascontiguousarray(np.ldexp(kept, -self.power))
        gaps, columns = self.steps.size, values.shape[1]
        self.triangles, self.rights = np.empty((gaps, 4, 4)), np.empty((gaps, 4, columns))
        self.rest = np.empty(columns)
        scaled = (knots - knots[0]) / self.unit, (sites - knots[0]) / self.unit
        regression.reduce_values(
            scaled[0], self.find_gaps(sites), scaled[1], np.sqrt(self.weights), y,
            self.triangles, self.rights, self.rest,
        )  # fmt: skip

    def find_gaps(self, points: Vector) -> Rows:
        """Give the gap that each point lies in, the first or the last for points outside."""
        found = np.searchsorted(self.knots, points, side="right") - 1
        return np.clip(found, 0, self.knots.size - 2).astype(np.int64)

    def solve(self, lam: float, columns: Rows | slice = slice(None)) -> Solution:
        """Fit some of the columns."""
        with np.errstate(over="ignore", under="ignore"):
            scaled = float(np.float64(lam) / self.unit / self.unit / self.unit / self.top)
        rights = np.ascontiguousarray(self.rights[:, :, columns])
        gaps, count = self.steps.size, rights.shape[2]
        third, third_right = np.empty((gaps, 4)), np.empty((gaps, count))
        last, last_right = np.empty((3, 3)), np.empty((3, count))
        regression.filter_states(
            self.steps, self.triangles, rights, min(scaled, STRAIGHT),
            third, third_right, last, last_right,
        )  # fmt: skip
        states, jerk = np.empty((gaps + 1, 3, count)), np.empty((gaps, count))
        regression.solve_states(self.steps, third, third_right, last, last_right, states, jerk)
        factors = np.empty((gaps, 4, 4))
        regression.factor_covariances(self.steps, third, last, factors)
        unknown = np.concatenate([jerk[:, np.newaxis], states[1:]], axis=1)
        left = np.einsum("gij,gjk->gik", self.triangles, unknown) - rights
        rows = self.triangles.reshape(-1, 4)
        df = float(self._squares(np.arange(gaps).repeat(4), rows, factors).sum())
        bend, slope, f = np.ldexp(np.moveaxis(states, 1, 0), self.power[columns])
        return Solution(
            f,
            slope / self.unit,
            bend / self.unit / self.unit,
            self.rest[columns] + (left**2).sum(axis=(0, 1)),
            df,
            factors,
        )

    def squared_rest(self, lam: float) -> float:
        """Give the trace of (I - S)(I - S), S the map from values to fitted values.

        It is n - df plus the derivative of df by log lam. That is analytic in a strip of width 2 pi
        about the real axis: differences of order 2 `REACH` give it to 1e-13.
        """
        nothing = np.empty(0, np.int64)
        derivative = 0.0
        for k in range(1, REACH + 1):
            share = math.comb(2 * REACH, REACH - k) / math.comb(2 * REACH, REACH) / k
            factor = math.exp(k * STEP)
            rise = self.solve(lam * factor, nothing).df - self.solve(lam / factor, nothing).df
            derivative += (share if k % 2 else -share) * rise / STEP
        return self.n - self.solve(lam, nothing).df + derivative

    def leverages(self, factors: Vector) -> Vector:
        """Give the leverage of each value: its weight times the variance of f at its site."""
        return self.weights * self.variances(self.sites, factors)

    def variances(self, points: Vector, factors: Vector) -> Vector:
        """Give the variance of f at points, in units of that of a value of the largest weight.

        The covariance of (u, f'', f', f) in a gap is F F'; outside the knots f is straight.
        """
        gap = self.find_gaps(points)
        inside = np.clip(points, self.knots[0], self.knots[-1])
        beyond = (points - inside) / self.unit
        e = (self.knots[gap + 1] - inside) / self.unit
        one = np.ones(points.size)
        rows = np.stack([-(e**3) / 6.0, e * e / 2.0, -e, one], axis=1)
        slopes = np.stack([e * e / 2.0, -e, one, 0.0 * one], axis=1)
        return self._squares(gap, rows + beyond[:, np.newaxis] * slopes, factors)

    def _squares(self, gap: Rows, rows: Vector, factors: Vector) -> Vector:
        out = np.empty(gap.size)
        regression.square_rows(gap, np.ascontiguousarray(rows), factors, out)
        return out


def require_determined(sites: Vector, knots: Vector) -> None:
    """Raise unless each B-spline has one of the different sites to itself, as lam = 0 needs."""
    t = np.concatenate([knots[[0] * 3], knots, knots[[-1] * 3]])
    i = 0
    for site in sites.tolist():
        if i == t.size - 4:
            return
        inside = t[i] < site < t[i + 4] or (i == 0 and site == t[0])
        i += bool(inside or (i == t.size - 5 and site == t[-1]))
    if i < t.size - 4:
        raise ValueError(
            f"lam = 0 needs a site of its own for each of {t.size - 4} B-splines, and near knot "
            f"{t[min(i + 2, t.size - 4)]} there are too few; take fewer knots, or lam > 0"
        )


def spread(n: int, count: int) -> Rows:
    """Give `count` of n indices, evenly spread and cut to whole ones, as R takes its knots."""
    kept = (1.0 + np.arange(count) * ((n - 1) / max(count - 1, 1))).astype(np.int64) - 1
    kept[-1] = n - 1
    return kept


def check_count(count: int | np.integer, n: int) -> int:
    """Give a number of knots as an int in [2, n]."""
    if not hasattr(count, "__index__") or isinstance(count, bool):
        raise TypeError(f"the number of knots must be an integer, got {count!r}")
    if not 2 <= count <= n:
        raise ValueError(
            f"knots must lie in [2, {n}], at most the number of different sites of positive "
            f"weight, got {count}"
        )
    return int(count)
