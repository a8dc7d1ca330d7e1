"""`Plan`: knots, lam, weights and ends, checked, and the recurrence that they take, factored.

A `Smoother` holds one, and so does each part of a fitted curve. The files of the package read its
fields, which have no underscore, as `Smoother` is what users may rely on: there `solver` is a name,
here it is the factored recurrence. Arrays are the plan's own and writeable, for which kernels are
compiled; nothing writes to them, and users are given views that refuse it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import Boundary, check_bc, check_lam, check_roughness, check_weights
from fastspline._kernels.tables import first_bad_knot
from fastspline._solvers.choice import (
    Solver,
    make_bounded_solver,
    make_periodic_solver,
    make_solver,
    refuse_knots,
)
from fastspline._solvers.panel import NO_OUTER
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector


class Plan:
    """A smoothing spline without its values; see `Smoother` for the arguments and their errors.

    `knots` have been read already, by `read_knots`.

    Attributes
    ----------
    knots : ndarray, shape (n,)
    lam : float
    weights : ndarray, shape (n,), or None
        None stands for ones.
    bc, roughness
        As given, checked.
    active : ndarray of int
        The knots of positive weight; a single one stands there twice.
    solver : Solver
        Knows the active knots alone.
    """

    __slots__ = ("active", "bc", "knots", "lam", "roughness", "solver", "weights")

    def __init__(
        self,
        knots: Vector,
        lam: float,
        weights: ArrayLike | None = None,
        bc: Boundary = "natural",
        roughness: ArrayLike | None = None,
    ) -> None:
        read = np.array(knots)  # our own: the caller may write to it
        if read.size == 0:
            raise ValueError("knots is empty; give at least one knot")
        if not (type(lam) is float and lam >= 0.0):
            lam = check_lam(lam)
        kept = rough = None
        active, positive, used = _first_rows(read.size), ALL_ONE, read
        if weights is not None:
            kept = positive = np.array(check_weights(weights, read.size))
            active = np.flatnonzero(kept)
            if active.size < read.size:
                positive, used = kept[active], read[active]
        solver: Solver
        if used is read and bc == "natural" and roughness is None and read.size > 1:
            solver = make_solver(read, positive, lam)
        else:
            bad = first_bad_knot(read)
            if bad >= 0:
                refuse_knots(read, bad)
            bc = check_bc(bc)
            rough = None if roughness is None else check_roughness(roughness, read.size - 1)
            if bc != "natural" or (rough is not None and used.size > 1):
                solver = _make_other_solver(read, active, positive, lam, bc, rough)
            elif used.size == 1:  # a constant is the line through the same value twice
                active = active[[0, 0]]
                solver = make_solver(_double(used), positive[:1].repeat(2), lam)
            else:
                solver = make_solver(used, positive, lam)
        self.knots: Vector = read
        self.lam = lam
        self.weights: Vector | None = kept
        self.bc: Boundary = bc
        self.roughness: Vector | None = rough
        self.active: Rows = active
        self.solver = solver

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: the plan is factored again in microseconds."""
        return Plan, (self.knots, self.lam, self.weights, self.bc, self.roughness)

    @property
    def is_constant(self) -> bool:
        """Whether a single knot of natural ends counts."""
        return self.active.size == 2 and bool(self.active[0] == self.active[1])

    @property
    def leverages(self) -> Vector:
        """diag(S) of the map from values to fitted values, (n,); 0 where the weight is 0; O(n)."""
        lever, _ = self.solver.exact().leverages()
        result = np.zeros(self.knots.size)
        result[self.active] = lever
        return result

    @property
    def df(self) -> float:
        """Degrees of freedom, the sum of the leverages."""
        return float(self.leverages.sum())

    def with_lam(self, lam: float) -> Plan:
        """Give the plan of another lam, with all else alike."""
        return Plan(self.knots, lam, self.weights, self.bc, self.roughness)


_ROWS = np.arange(4096)


def _first_rows(n: int) -> Rows:
    """Give 0, 1, ..., n - 1; never written to."""
    return _ROWS[:n] if n <= _ROWS.size else np.arange(n)


def _double(used: Vector) -> Vector:
    """Give two knots for one, towards 0, where nothing overflows."""
    step = max(1.0, abs(used[0]))
    return np.array([used[0] - step, used[0]] if used[0] > 0 else [used[0], used[0] + step])


def _make_other_solver(
    knots: Vector,
    active: Rows,
    weights: Vector,
    lam: float,
    bc: Boundary,
    roughness: Vector | None,
) -> Solver:
    """Factor a plan with other ends than natural ones, or with roughness weights."""
    n, used = knots.size, knots[active]
    if bc != "natural" and n < 2:
        raise ValueError(f"bc={bc!r} needs at least two knots, got 1")
    if bc == "periodic":
        inner = active[(active > 0) & (active < n - 1)]
        whole = active[0] > 0 and active[-1] < n - 1
        ends = np.array([0, n - 1])
        rough = _merge(roughness, np.concatenate([ends[:1], inner, ends[1:]]))
        if whole and rough.size:  # no data at the ends: the gap across them is one
            _refuse_roughness(rough[0], rough[-1], 0)
            rough = rough[1:]
        return make_periodic_solver(used, weights, lam, rough, (knots[0], knots[-1]))
    if bc != "natural" and not (active[0] == 0 and active[-1] == n - 1):
        raise ValueError(
            f"bc={bc!r} gives the slopes at the first and the last knot, where weights must be "
            "positive; drop the knots of weight 0 at the ends"
        )
    slopes = None if bc == "natural" else (bc[1], bc[2])
    merged, outer = _merge(roughness, active), _outer_gaps(knots, roughness, active)
    return make_bounded_solver(used, weights, lam, merged, slopes, outer)


def _outer_gaps(knots: Vector, roughness: Vector | None, active: Rows) -> tuple[Vector, Vector]:
    """Give gaps beyond the active knots, outwards, and their roughness; see `PanelSolver`."""
    if roughness is None:
        return NO_OUTER
    both = np.stack([np.diff(knots), roughness])
    return both[:, : active[0]][:, ::-1].copy(), both[:, active[-1] :].copy()


def _merge(roughness: Vector | None, active: Rows) -> Vector:
    """Give the roughness weights of the gaps between active knots."""
    if roughness is None:
        return ALL_ONE
    inside = roughness[active[0] : active[-1]]
    starts = active[:-1] - active[0]
    change = np.flatnonzero(np.diff(inside)) + 1
    wrong = np.setdiff1d(change, starts)
    if wrong.size:
        before, after = inside[wrong[0] - 1], inside[wrong[0]]
        _refuse_roughness(before, after, int(wrong[0] + active[0]))
    result: Vector = inside[starts]
    return result


def _refuse_roughness(before: float, after: float, knot: int) -> None:
    """Raise if roughness differs on both sides of a knot without weight."""
    if before != after:
        raise ValueError(
            "roughness must be the same on both sides of a knot of weight 0 or without a value, "
            f"but is {before} before and {after} after knots[{knot}]; give it a positive weight"
        )
