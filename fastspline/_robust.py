"""Robust fits: weights of values that lie far from the curve are lowered again and again.

With the scale s of the noise fixed, a fit minimises

    ``2 s**2 sum(rho(sqrt(w) (y - f(x)) / s)) + lam integral(f''**2)``,

for rho of Huber or Tukey; the weights ``w rho'(t) / t`` of a fit give one that is lower, or the
same. Before, Tukey's weights settle s, the median of the absolute residuals, each over the root of
its 1 - leverage, and lam, chosen for the weights of the last fit. All starts from a running median
over a quarter of the values, which wild ones do not move.

References: P. J. Huber and E. M. Ronchetti, "Robust Statistics" (2nd ed. 2009), section 7.8; D.
Garcia, "Robust smoothing of gridded data in one and higher dimensions with missing values",
Comput. Statist. Data Anal. 54 (2010), 1167-1178, for residuals over 1 - leverage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastspline._fit import Group, Robust, fit_groups, rest_of
from fastspline._parts import Part, Problem, Table
from fastspline._search import Choice
from fastspline._solvers.tableau import Rows, Vector
from fastspline.arrays import read_vector

HUBER, TUKEY = 1.345, 4.685  # standard deviations; 95 % efficient where the noise is normal
FAR = TUKEY  # beyond which a value is told to be an outlier
NORMAL = 1.4826  # the standard deviation of normal noise over the median of its absolute value
ROUNDS, STEADY = 20, 1e-3  # in which lam and s are found, relative
STEPS, STILL = 500, 1e-10  # of weights, absolute
LEAST = 1e-12  # a scale relative to the median value, and a share 1 - leverage: rounding
ROUNDING = 1e-15  # of the largest value
FAINT = 1e-10  # next to no weight


class Reweighted(NamedTuple):
    """A column's fit, how its lam was chosen, and which of its values are outliers."""

    group: Group
    choice: Choice | None


def reweigh(problem: Problem, table: Table, among: Part, column: int, given: Vector) -> Reweighted:
    """Fit one column of a part."""
    place = among.columns[column : column + 1]
    job = _Job(problem, table, place, _own_weights(table, int(place[0])))
    apart, scale, lam, choice = job.settle(given)
    kept = job.lower(apart, scale, problem.loss)
    for _ in range(STEPS):
        group = job.part(kept).group(problem, lam)
        apart = job.apart(group)
        last, kept = kept, job.lower(apart, scale, problem.loss)
        if np.abs(kept - last).max() <= STILL:
            break
    outliers = (np.abs(apart) > FAR * scale) & (job.own > 0.0)
    if table.order is not None:
        outliers[table.order] = outliers.copy()
    return Reweighted(group._replace(robust=Robust(scale, outliers)), choice)


class _Job:
    """One column, with weights `own` of its values."""

    def __init__(self, problem: Problem, table: Table, place: Rows, own: Vector) -> None:
        self.problem, self.table, self.place, self.own = problem, table, place, own
        self.counts = own > 0.0
        y = table.values[:, int(place[0])]
        self.y = np.where(self.counts, y, 0.0)
        sizes = np.abs(self.y[self.counts])
        self.floor = max(LEAST * float(np.median(sizes)), ROUNDING * float(sizes.max()))
        self.needed = _needed(problem, table)

    def settle(self, given: Vector) -> tuple[Vector, float, float, Choice | None]:
        """Find scale and lam by Tukey's loss; give how far values lie from the curve, and both."""
        counts, lam, choice = self.counts, np.nan, None
        apart = _from_running_median(self.y, counts) * np.sqrt(self.own)
        scale = self._scale(np.abs(apart[counts]))
        for _ in range(ROUNDS):
            kept, before = self.lower(apart, scale, "tukey"), (lam, scale)
            part = self.part(kept)
            lams, choice = part.choose(self.problem, given)
            lam = float(lams[0])
            group = part.group(self.problem, lam)
            apart, rest = self.apart(group), np.ones(self.y.size)
            rest[self.own * kept > 0.0] = rest_of(group).complement
            scale = self._scale(np.abs(apart[counts]) / np.sqrt(np.maximum(rest[counts], LEAST)))
            if np.allclose((lam, scale), before, rtol=STEADY, atol=0.0):
                break
        return apart, scale, lam, choice

    def part(self, kept: Vector) -> Part:
        """Give the column with what is kept of its weights."""
        return self.table.part(self.place, self.own * kept, self.y[:, np.newaxis])

    def apart(self, group: Group) -> Vector:
        """Give values less the curve at their knots, in units of the noise of weight 1."""
        alone = group._replace(columns=slice(None))
        fitted = fit_groups((alone,), ((), 0)).values[:, 0]
        rows = np.arange(self.y.size) if self.table.merge is None else self.table.merge.knot
        result: Vector = (self.y - fitted[rows]) * np.sqrt(self.own)
        return result

    def lower(self, apart: Vector, scale: float, loss: str) -> Vector:
        """Give what is kept of the weights of values so far from the curve."""
        distance = np.abs(apart) / scale if scale > 0.0 else np.zeros(apart.size)
        kept = LOSSES[loss](distance)
        # Of a value that must count, as much as leaves it a residual of one standard deviation.
        result: Vector = np.maximum(kept, self.needed / np.maximum(distance, 1.0) ** 2)
        return result

    def _scale(self, distances: Vector) -> float:
        """Give the standard deviation of the noise, not below rounding."""
        return max(NORMAL * float(np.median(distances)), self.floor)


def _needed(problem: Problem, table: Table) -> NDArray[np.bool_]:
    """Tell which rows must keep a weight: at given slopes, and where roughness changes."""
    knots = table.knots
    needed = np.zeros(knots.size, np.bool_)
    if isinstance(problem.bc, tuple | list):
        needed |= (knots == knots[0]) | (knots == knots[-1])
    if problem.roughness is not None:
        places = np.unique(knots)[1:-1]
        changes = np.diff(read_vector(problem.roughness, "roughness")) != 0.0
        needed |= np.isin(knots, places[changes]) if changes.size == places.size else True
    return needed


def _own_weights(table: Table, column: int) -> Vector:
    """Give one weight a row of the table, 0 where a value is missing."""
    own = table.weights
    if own is None:
        own = np.ones(table.knots.size)
    elif own.ndim == 2:
        own = own[:, column]
    return np.where(np.isnan(table.values[:, column]), 0.0, own)


def _huber(distance: Vector) -> Vector:
    """Give rho'(t) / t of Huber's loss, quadratic and then linear."""
    return HUBER / np.maximum(distance, HUBER)


def _tukey(distance: Vector) -> Vector:
    """Give rho'(t) / t of Tukey's loss, which is constant in the end."""
    inside: Vector = np.maximum(1.0 - (distance / TUKEY) ** 2, 0.0) ** 2
    return np.where(inside > FAINT, inside, 0.0)


def _from_running_median(y: Vector, counts: NDArray[np.bool_]) -> Vector:
    """Give values less the medians of their neighbours, an eighth of all on each side."""
    from scipy.ndimage import median_filter

    apart, values = np.zeros(y.size), y[counts]
    width = min(2 * (values.size // 8) + 1, 501)
    apart[counts] = values - median_filter(values, max(width, 7), mode="mirror")
    return apart


LOSSES = {"huber": _huber, "tukey": _tukey}
