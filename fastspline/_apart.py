"""Columns of one fit that share all but lam: fitted abreast, their plans made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np

from fastspline._fit import Group, fit_group, fit_groups
from fastspline._jet import Jet
from fastspline._kernels import posterior
from fastspline._kernels.fit_lanes import fit_columns
from fastspline._kernels.state_space import scale_noise
from fastspline._kernels.vector import LANES
from fastspline._solvers.columns import threads_for
from fastspline._solvers.panel import NO_OUTER, UNEVEN
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector
from fastspline._threads import cut, default_threads, run_blocks
from fastspline.jit import INTERPRETED

LAM_RANGE = 1e-30, 1e30  # in scaled units, of columns that are fitted abreast
MOST_KNOTS = 4096  # more leave the second-level cache, and cost more than a plan
BLOCK = 4 * LANES  # columns
MANY = 2 * BLOCK  # lam, of which threads tell in less time


class Told(NamedTuple):
    """What the values of a fit leave open, see `Noise`: deviations and degrees of freedom."""

    curves: Vector  # (points, columns)
    noise: Vector  # (columns,) of a value of weight 1
    freedom: Vector  # (columns,)


class Apart(Sequence[Group]):
    """A group for each of some lam, of plans with natural ends without roughness weights.

    Parameters
    ----------
    group : Group
        All columns, with indices, and knots and weights, whatever the lam of its plan.
    lams : ndarray (columns,)
    """

    def __init__(self, group: Group, lams: Vector) -> None:
        self.group, self.lams = group, lams
        distinct, which = np.unique(lams, return_inverse=True)
        self._which, self._order = which, np.argsort(which, kind="stable")
        self._starts = np.searchsorted(which[self._order], np.arange(distinct.size + 1))
        self._made: list[Group | None] = [None] * distinct.size

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without the plans."""
        return Apart, (self.group, self.lams)

    def __len__(self) -> int:
        """Give the number of different lam."""
        return len(self._made)

    @overload
    def __getitem__(self, k: int) -> Group: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Group]: ...
    def __getitem__(self, k: int | slice) -> Group | Sequence[Group]:
        """Give the group of lam number `k`, in ascending order."""
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        made = self._made[k]
        if made is None:
            k = range(len(self))[k]
            rows = self._order[self._starts[k] : self._starts[k + 1]]
            plan = self.group.plan.with_lam(float(self.lams[rows[0]]))
            columns, values = np.asarray(self.group.columns)[rows], self.group.values[:, rows]
            made = self.group._replace(plan=plan, columns=columns, values=values)
            self._made[k] = made
        return made

    def of(self, columns: Rows) -> list[Group]:
        """Give the groups of some columns."""
        return [self[k] for k in np.unique(self._which[columns]).tolist()]

    def fit(self) -> tuple[Vector, Rows]:
        """Give values, slopes and second derivatives, (3, n, columns), and columns without.

        These are left to others: of a lam that is out of range, or where something overflows; or
        all, where weights differ by decades or some knots have none.
        """
        jet, _, left = self._sweep(self.group.values)
        return jet, left

    def _scaled_lams(self) -> Vector:
        """Give lam of each column in scaled units."""
        gaps = self.group.plan.solver.gaps
        scaled: Vector = self.lams / gaps.unit / gaps.top / gaps.unit / gaps.unit
        return scaled

    def _sweep(self, values: Vector) -> tuple[Vector, Vector, Rows]:
        """Do what `fit` does, with residuals, for values in some unit."""
        plan, (n, columns) = self.group.plan, values.shape
        gaps, jet, residuals = plan.solver.gaps, np.empty((3, n, columns)), np.empty((n, columns))
        noise = gaps.top / gaps.weights if gaps.weights.size else np.ones(gaps.knots.size)
        fits = columns >= LANES and plan.active.size == n <= MOST_KNOTS and n > 2
        if INTERPRETED or not fits or noise.min() < UNEVEN * noise.max():
            return jet, residuals, np.arange(columns)
        scaled = self._scaled_lams()
        others = ~((scaled >= LAM_RANGE[0]) & (scaled <= LAM_RANGE[1]))
        scaled[others] = 1.0
        y = np.ascontiguousarray(values)

        def work(first: int, stop: int) -> int:
            fit_columns(gaps.h, gaps.unit, noise, scaled, y, first, stop, jet, residuals)
            return -1

        run_blocks(work, cut(columns, BLOCK), threads_for(y, jet, None))
        others |= ~np.isfinite(jet.sum(axis=(0, 1)))
        return jet, residuals, np.flatnonzero(others)

    def tell(self, points: Vector, nu: int) -> Told | None:
        """Give what the values leave open, without a plan for each lam, unless `fit` leaves some.

        The same kernels tell it as tell it of a plan, and in the same units.
        """
        values, plan = self.group.values, self.group.plan
        power = np.frexp(np.abs(values).max(axis=0, initial=0.0))[1]
        _, residuals, left = self._sweep(np.ldexp(values, -power))
        if left.size:
            return None
        from fastspline._kernels.residuals import residual_variances  # of bands alone

        gaps, lams = plan.solver.gaps, self._scaled_lams()[self._order[self._starts[:-1]]]
        n, shared = gaps.knots.size, (gaps.h, gaps.roughness, False)
        (rest, squared), unit = np.empty((2, lams.size)), np.empty((points.size, lams.size))
        cells, (before, after) = np.empty(points.size, np.int64), np.empty((2, points.size))
        posterior.place_points(gaps.knots, gaps.unit, points, cells, before, after)
        heaviest = int(gaps.weights.argmax()) if gaps.weights.size else 0
        weight = gaps.weights[heaviest] if gaps.weights.size else 1.0

        def work(first: int, stop: int) -> int:
            noise, left = np.empty((2, n))
            out = np.empty((4, points.size))
            for k in range(first, stop):
                q = scale_noise(gaps.weights, gaps.top, lams[k], noise)
                rest[k] = residual_variances(*shared, q, noise, left)
                squared[k] = left.sum()
                posterior.covariances(*shared, q, noise, NO_OUTER, cells, before, after, out)
                unit[:, k] = out[2 * nu] / (noise[heaviest] * weight * gaps.unit ** (2 * nu))
            return -1

        threads = threads_for(values, unit, None if lams.size < MANY else default_threads())
        run_blocks(work, cut(lams.size, BLOCK), threads)
        weights = np.ones(n) if plan.weights is None else plan.weights
        squares = np.einsum("i,ij,ij->j", weights, residuals, residuals)
        rest, squared = rest[self._which], squared[self._which]
        freedom = rest / squared * rest  # as in `noise_by_squares`
        noise = np.ldexp(np.sqrt(squares / squared), power)
        wider = np.sqrt(np.maximum((n - 2) / freedom, 1.0))
        if not freedom.min() > 0.0:
            return None
        return Told(np.sqrt(unit)[:, self._which] * (wider * noise), noise, freedom)


def fit_curves(groups: Sequence[Group], place: tuple[tuple[int, ...], int]) -> Jet:
    """Fit the columns of all groups, in the order of their places."""
    if type(groups) is not Apart:
        return fit_groups(groups, place)
    jet, left = groups.fit()
    nodes = groups.group.plan.knots
    for group in groups.of(left):
        for whole, part in zip(jet, fit_group(group, nodes, place), strict=True):
            whole[:, group.columns] = part
    values, slopes, curvatures = jet
    return Jet(nodes, values, slopes, curvatures, "natural", ALL_ONE)
