"""Columns that jump at one place, where squares of residuals there would choose lam.

No smooth curve follows a jump: all scores of squares then weigh how badly each lam misses it, and
forget the other values. That is told by rises from value to value, of which a wild value makes two
of one size, and a jump one. What the noise is, neighbours tell, all but those at the jump.

References: C. L. Mallows, "Some comments on C_P", Technometrics 15 (1973); T. Gasser, L. Sroka and
C. Jennen-Steinmetz, "Residual variance and residual pattern in nonlinear regression", Biometrika 73
(1986), for the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastspline._fit import Group, magnitude, rest_of, some_of
from fastspline._kernels.scores import ROUNDING
from fastspline._search import Choice, minimise_score, search_bounds
from fastspline._solvers.tableau import Vector

LEAST = 25  # values, of which differences tell the noise
SHARE = 0.75  # of the squares of all rises, which one rise has by chance once in 1e5 times
BESIDE = 2  # rises at an end: a wild value there makes only one
LEAST_RISE = 1e-140  # of which squares are not rounded
MEDIAN = 0.4549364  # of the square of a normal number


def past_jumps(group: Group, choice: Choice) -> Choice:
    """Give the choice with another lam for columns that jump, unless these have no noise.

    It minimises ``RSS + 2 s**2 df``, s**2 being `difference_variance`.
    """
    active = group.plan.active
    if active.size < LEAST:
        return choice
    jumps = find_jumps(group.values if active.size == len(group.values) else group.values[active])
    if not jumps.any():
        return choice
    lam, bound = choice.lam.copy(), choice.bound.copy()
    for j in np.flatnonzero(jumps):
        found = _choose(some_of(group, slice(j, j + 1)))
        if found is not None:
            lam[j], bound[j] = found.lam[0], found.bound[0]
    return Choice(lam, bound)


def find_jumps(y: Vector) -> NDArray[np.bool_]:
    """Tell which columns have most of the squares of their rises in one."""
    with np.errstate(all="ignore"):  # squares in units of the largest; of a constant they are NaN
        rises = y[1:] - y[:-1]
        if y.shape[1] == 1:  # most columns by themselves are told in less time
            one = rises[:, 0]
            largest = max(float(one.max()), -float(one.min()))
            if LEAST_RISE < largest < 1.0 / LEAST_RISE and largest**2 <= SHARE * (one @ one):
                return np.zeros(1, bool)
        np.abs(rises, out=rises)
        rises /= rises[BESIDE:-BESIDE].max(axis=0)
        rises *= rises
        jumps: NDArray[np.bool_] = SHARE * rises.sum(axis=0) < 1.0
    return jumps


def _choose(group: Group) -> Choice | None:
    """Choose for one column, or not where neighbours differ by rounding."""
    active, power = group.plan.active, magnitude(group)
    weights = np.ones(active.size) if group.plan.weights is None else group.plan.weights[active]
    scaled = np.ldexp(group.values[active, 0], -power[0])
    noise = difference_variance(group.plan.knots[active], weights, scaled)
    if not noise > ROUNDING**2 * weights.max():
        return None

    def score(lam: float, part: slice) -> Vector:  # noqa: ARG001 (one column)
        rest = rest_of(group._replace(plan=group.plan.with_lam(lam)))
        return rest.squares + 2.0 * noise * (rest.n - rest.freedom)

    return minimise_score(score, *search_bounds(group.plan))


def difference_variance(knots: Vector, weights: Vector, y: Vector) -> float:
    """Give the median of squared distances from the line through both neighbours.

    In units of what noise of variance 1 / weight makes of it.
    """
    after = (knots[1:-1] - knots[:-2]) / (knots[2:] - knots[:-2])
    before = 1.0 - after
    apart = before * y[:-2] + after * y[2:] - y[1:-1]
    per = before**2 / weights[:-2] + after**2 / weights[2:] + 1.0 / weights[1:-1]
    return float(np.median(apart**2 / per)) / MEDIAN
