"""What the two recurrences behind a plan have in common, and which of them a plan takes."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from fastspline import _state_space
from fastspline._columns import DType, Prepared
from fastspline._plan import largest_difference, plan_reinsch
from fastspline._reinsch_solver import ReinschSolver
from fastspline._state_space_solver import StateSpaceSolver
from fastspline._tableau import Gaps, Rows, Vector
from fastspline.arrays import FloatArray

KAPPA_EXACT = 450.0  # eps * kappa <= 1e-13: Reinsch's system is exact without a look
UNIT_RANGE = 1e-100, 1e100  # mean gaps whose cubes are normal numbers
LEAST_GAP = 1e-70  # relative to the mean gap: its fourth power is a normal number
LEAST_GAP_SINGLE = 1e-6  # also for float32 recurrences: their coefficients must not overflow
LEAST_WEIGHT = 1e-100  # relative to the largest weight
KAPPA_SINGLE = 2.0  # float32 recurrences for float32 values: at most 1.4 times the error of double
KAPPA_HOPELESS = 1e12  # beyond, a probe is not worth its time
EXACT = 5e-14  # largest probe error at which Reinsch's solver is taken


class Evaluator(Protocol):
    """A solver bound to evaluation points and to the rows of the values that it reads."""

    prepared: dict[DType, Prepared]  # for the quick entries, by dtype of values

    def reading(self, sources: Rows) -> Evaluator:
        """Give the same map, reading other rows."""

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """Fit and evaluate columns, (rows, columns) both; give a bad column or -1."""

    def adjoint(self, cotangent: FloatArray, out: FloatArray) -> None:
        """Add the transpose of `apply` to `out`."""


class Solver(Protocol):
    """One factored plan. `sources` are the rows of the values at its knots."""

    name: Literal["reinsch", "state-space"]
    gaps: Gaps

    def at(self, points: Vector, nu: int, sources: Rows) -> Evaluator:
        """Prepare the evaluation of derivative `nu` at `points`."""

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """Give values, slopes, second derivatives at `knots`, and a bad column or -1."""


def make_solver(knots: Vector, weights: Vector, lam: float) -> Solver:
    """Factor a plan (empty `weights` stand for ones) with the solver that is exact for it.

    Reinsch's error is at most eps kappa, but far less where few gaps are as small as the bound
    assumes (Chebyshev points). So between kappa = 450 and 1e12 both solvers fit two probe columns,
    and Reinsch's is taken if they agree.
    """
    n = knots.size
    h, pull, forward, backward = np.empty(n - 1), np.empty(n), np.zeros((n, 4)), np.zeros((n, 5))
    unit, top, scaled_lam, kappa, shortest, lightest = plan_reinsch(
        knots, weights, lam, h, pull, forward, backward
    )
    in_range = UNIT_RANGE[0] <= unit <= UNIT_RANGE[1]
    if not (in_range and shortest >= LEAST_GAP and lightest >= LEAST_WEIGHT):
        _refuse_scales(knots, unit, shortest, lightest)
    gaps = Gaps(knots, weights, h, (unit, top, scaled_lam))
    if kappa <= KAPPA_EXACT:
        in_single = kappa <= KAPPA_SINGLE and shortest >= LEAST_GAP_SINGLE
        return ReinschSolver(gaps, forward, backward, in_single=in_single)
    r, co = np.empty(n), np.empty((n - 1, _state_space.N_COEFFICIENTS))
    _state_space.plan_state_space(h, weights, top, scaled_lam, r, co)
    if kappa <= KAPPA_HOPELESS and largest_difference(forward, backward, h, co) <= EXACT:
        return ReinschSolver(gaps, forward, backward, in_single=False)
    return StateSpaceSolver(gaps, co)


def _refuse_scales(knots: Vector, unit: float, shortest: float, lightest: float) -> None:
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
