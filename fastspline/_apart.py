"""Columns of one fit that share all but lam: fitted abreast, their plans made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from fastspline._fit import Group, fit_group, fit_groups
from fastspline._jet import Jet
from fastspline._kernels.fit_lanes import fit_columns
from fastspline._kernels.vector import LANES
from fastspline._solvers.columns import threads_for
from fastspline._solvers.panel import UNEVEN
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector
from fastspline._threads import cut, run_blocks
from fastspline.jit import INTERPRETED

LAM_RANGE = 1e-30, 1e30  # in scaled units, of columns that are fitted abreast
MOST_KNOTS = 4096  # more leave the second-level cache, and cost more than a plan
BLOCK = 4 * LANES  # columns


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
        plan, (n, columns) = self.group.plan, self.group.values.shape
        gaps, jet = plan.solver.gaps, np.empty((3, n, columns))
        noise = gaps.top / gaps.weights if gaps.weights.size else np.ones(gaps.knots.size)
        fits = columns >= LANES and plan.active.size == n <= MOST_KNOTS and n > 2
        if INTERPRETED or not fits or noise.min() < UNEVEN * noise.max():
            return jet, np.arange(columns)
        scaled = self.lams / gaps.unit / gaps.top / gaps.unit / gaps.unit
        others = ~((scaled >= LAM_RANGE[0]) & (scaled <= LAM_RANGE[1]))
        scaled[others] = 1.0
        y = np.ascontiguousarray(self.group.values)

        def work(first: int, stop: int) -> int:
            fit_columns(gaps.h, gaps.unit, noise, scaled, y, first, stop, jet)
            return -1

        run_blocks(work, cut(columns, BLOCK), threads_for(y, jet, None))
        others |= ~np.isfinite(jet.sum(axis=(0, 1)))
        return jet, np.flatnonzero(others)


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
