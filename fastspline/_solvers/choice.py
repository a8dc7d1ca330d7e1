"""What the three recurrences behind a plan have in common, and which of them a plan takes."""

from __future__ import annotations

from typing import Literal, NoReturn, Protocol

import numpy as np

from fastspline._kernels.reinsch import factor_pentadiagonal
from fastspline._kernels.tables import (
    KAPPA_EXACT,
    LEAST_GAP,
    LEAST_ROUGHNESS,
    LEAST_WEIGHT,
    UNIT_RANGE,
    is_even,
    power_of_two,
    scale_plan,
)
from fastspline._solvers.columns import DType, Prepared
from fastspline._solvers.innovations import LAM_RANGE, TABLE_NUMBERS, InnovationsSolver
from fastspline._solvers.panel import NO_OUTER, UNEVEN, PanelSolver
from fastspline._solvers.periodic import PeriodicSolver
from fastspline._solvers.reinsch import ReinschSolver
from fastspline._solvers.state_space import StateSpaceSolver
from fastspline._solvers.tableau import Gaps, Rows, Vector
from fastspline.arrays import FloatArray, require_finite

LEAST_GAP_THIRD = 0.1  # relative to the mean gap
BOUND_EXACT = 180.0  # eps times it is 4e-14: innovations lose less than 1e-13


class Evaluator(Protocol):
    """A solver bound to evaluation points and to the rows of the values that it reads."""

    prepared: dict[DType, Prepared]  # for the quick entries, by dtype of values
    transposed: dict[DType, Prepared]  # and of cotangents

    def reading(self, sources: Rows) -> Evaluator:
        """Give the same map, reading other rows."""

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """Fit and evaluate columns, (rows, columns) both; give a bad column or -1."""

    def adjoint(self, cotangent: FloatArray, out: FloatArray, threads: int | None) -> int:
        """Apply the transpose of the linear part of `apply`; give a bad column or -1."""


class Solver(Protocol):
    """One factored plan. `sources` are the rows of the values at its knots."""

    name: Literal["reinsch", "innovations", "state-space"]
    gaps: Gaps

    def at(self, points: Vector, nu: int, sources: Rows) -> Evaluator:
        """Prepare the evaluation of derivative `nu` at `points`."""

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray
    ) -> tuple[Vector, Vector, Vector, int]:
        """Give values, slopes, second derivatives at `knots`, and a bad column or -1."""

    def exact(self) -> PanelSolver:
        """Give the same plan by the recursion that knows residuals and leverages."""


def make_solver(knots: Vector, weights: Vector, lam: float) -> Solver:
    """Factor a plan (empty `weights` stand for ones) with the fastest solver that is exact for it.

    Reinsch's error is at most eps kappa. Beyond it innovations serve but for weights that differ by
    decades, as a bound from their factors tells, and lam / weights out of all proportion.
    """
    n = knots.size
    table = np.zeros((TABLE_NUMBERS + 1) * n)
    h, pull = table[: n - 1], table[TABLE_NUMBERS * n :]
    bad, unit, top, scaled_lam, kappa, shortest, lightest = scale_plan(knots, weights, lam, h, pull)
    if bad >= 0:
        refuse_knots(knots, bad)
    in_range = UNIT_RANGE[0] <= unit <= UNIT_RANGE[1]
    if not (in_range and shortest >= LEAST_GAP and lightest >= LEAST_WEIGHT):
        refuse_scales(knots, unit, shortest, lightest)
    gaps = Gaps(knots, weights, h, unit, top, scaled_lam)
    if kappa <= KAPPA_EXACT:
        factor_pentadiagonal(h, pull, table[n:])
        return ReinschSolver(gaps, table, kappa)
    if lightest < UNEVEN:
        return PanelSolver(gaps)
    if LAM_RANGE[0] <= scaled_lam <= LAM_RANGE[1]:
        solver = InnovationsSolver(gaps, table, pull, kappa)
        if solver.bound <= BOUND_EXACT:
            return solver
    return StateSpaceSolver.of(gaps)


def bind_exactly(solver: Solver, points: Vector, nu: int, sources: Rows) -> Evaluator:
    """Do what `Solver.at` does, by the recurrence that is exact for this derivative.

    Third derivatives that are differences of second ones lose digits in short gaps.
    """
    if (
        nu == 3
        and isinstance(solver, ReinschSolver | InnovationsSolver)
        and not is_even(solver.gaps.h, LEAST_GAP_THIRD, np.inf)
    ):
        solver = StateSpaceSolver.of(solver.gaps)
    return solver.at(points, nu, sources)


def make_bounded_solver(
    knots: Vector,
    weights: Vector,
    lam: float,
    roughness: Vector,
    slopes: tuple[float, float] | None,
    outer: tuple[Vector, Vector] = NO_OUTER,
) -> PanelSolver:
    """Factor a plan with roughness weights, one a gap, or none (empty), and end slopes, or none.

    Gaps `outer` without values lie beyond the knots, see `PanelSolver`.
    """
    gaps = _scale(knots, np.diff(knots), weights, lam, roughness)
    return PanelSolver(gaps, slopes, outer=outer)


def make_periodic_solver(
    knots: Vector, weights: Vector, lam: float, roughness: Vector, period: tuple[float, float]
) -> PeriodicSolver:
    """Factor a plan whose values repeat from ``period[0]`` to ``period[1]``.

    `knots`, of positive weights, lie between them or on them, and `roughness` has one weight a gap,
    the last one for that across the end of the period, unless knots lie on both.
    """
    weights = weights if weights.size else np.ones(knots.size)
    share, offset = None, 0
    ends = knots[0] == period[0], knots[-1] == period[1]
    if all(ends):
        both = weights[0] + weights[-1]
        share = weights[0] / both, weights[-1] / both
        weights = np.concatenate([[both], weights[1:-1]])
        circle = knots[:-1]
    elif ends[1]:
        offset = knots.size - 1
        weights, circle = np.roll(weights, 1), np.concatenate([period[:1], knots[:-1]])
    else:
        circle = knots
    h = np.append(np.diff(circle), (period[1] - circle[-1]) + (circle[0] - period[0]))
    last = period[1] if circle[0] == period[0] else circle[-1] + h[-1]
    gaps = _scale(np.append(circle, last), h, weights, lam, roughness)
    return PeriodicSolver(gaps, offset, share, period)


def _scale(knots: Vector, h: Vector, weights: Vector, lam: float, roughness: Vector) -> Gaps:
    """Scale as `scale_plan` does, and roughness weights, whose unit goes into lam."""
    unit, top, rough_top = (
        power_of_two(number)
        for number in (
            h.sum() / h.size,
            weights.max(initial=0.0) or 1.0,
            roughness.max(initial=0.0) or 1.0,
        )
    )
    shortest, lightest = h.min() / unit, weights.min(initial=top) / top
    in_range = UNIT_RANGE[0] <= unit <= UNIT_RANGE[1]
    if not (in_range and shortest >= LEAST_GAP and lightest >= LEAST_WEIGHT):
        refuse_scales(knots, unit, shortest, lightest)
    if roughness.size and roughness.min() < LEAST_ROUGHNESS * rough_top:
        raise ValueError(
            f"roughness must not be below {LEAST_ROUGHNESS:g} times the largest, but one is "
            f"{roughness.min() / rough_top:g} times the largest"
        )
    scaled = lam * rough_top / unit / top / unit / unit
    return Gaps(knots, weights, h / unit, unit, top, scaled, roughness / rough_top, rough_top)


def refuse_knots(knots: Vector, bad: int, name: str = "knots") -> NoReturn:
    """Raise for the knot at index `bad`."""
    require_finite(knots, name)
    raise ValueError(
        f"{name} must be strictly ascending, but {name}[{bad}] = {knots[bad]} follows "
        f"{name}[{bad - 1}] = {knots[bad - 1]}; sort them with their values; for equal ones "
        'average the values and add the weights, as smooth_spline(..., duplicates="merge") does'
    )


def refuse_scales(knots: Vector, unit: float, shortest: float, lightest: float) -> None:
    """Raise for knots or weights whose scales leave the range of floating-point numbers."""
    if not UNIT_RANGE[0] <= unit <= UNIT_RANGE[1]:
        raise ValueError(
            f"knots from {knots[0]:g} to {knots[-1]:g} have a mean gap outside [1e-100, 1e100]; "
            "measure them in another unit"
        )
    if not shortest >= LEAST_GAP:
        i = int(np.diff(knots).argmin())
        raise ValueError(
            f"knots {knots[i]} and {knots[i + 1]} lie closer than {LEAST_GAP:g} of the mean "
            "gap; merge them and add their weights"
        )
    raise ValueError(
        f"weights must not be below {LEAST_WEIGHT:g} times the largest, but one is {lightest:g} "
        "times the largest; set it to 0 to drop the point"
    )
