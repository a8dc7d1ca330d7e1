"""Plans by the subtraction-free recursion, bound to points and driven over columns."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline._kernels import adjoint_sweep, state_space, sweep
from fastspline._kernels.addresses import JET, N_TABLES, list_nu
from fastspline._kernels.state_space import N_COEFFICIENTS
from fastspline._kernels.vector import LANES
from fastspline._solvers.banded import prepare_banded
from fastspline._solvers.columns import (
    F4,
    F8,
    DType,
    Kernel,
    Prepared,
    SweepEvaluator,
    bind,
    first_overflow,
    fit_jets,
    prepare,
)
from fastspline._solvers.panel import PanelSolver, choose_jet, pull_to_knots
from fastspline._solvers.tableau import ALL_ONE, Gaps, Rows, Tableau, Vector
from fastspline.arrays import FloatArray

_KERNELS = {
    F4: Kernel(sweep.sweep_state_space_f4, LANES, points=F4),
    F8: Kernel(sweep.sweep_state_space_f8, LANES),
}
_FAR = Kernel(sweep.sweep_state_space_f4_far, LANES)
_PULLS = {
    F4: Kernel(adjoint_sweep.adjoint_state_space_f4, LANES),
    F8: Kernel(adjoint_sweep.adjoint_state_space_f8, LANES),
}
# Products of a register that a knot takes the time of.
_WORK = 32.0


class StateSpaceSolver:
    """The subtraction-free recursion; `table` holds gaps and what `filter_information` wrote."""

    __slots__ = ("gaps", "table")
    name: Literal["reinsch", "innovations", "state-space"] = "state-space"

    def __init__(self, gaps: Gaps, table: Vector) -> None:
        self.gaps, self.table = gaps, table

    @classmethod
    def of(cls, gaps: Gaps) -> StateSpaceSolver:
        """Factor the plan of scaled knots."""
        table = np.empty(gaps.h.size * (1 + N_COEFFICIENTS))
        table[: gaps.h.size] = gaps.h
        solver, noise = cls(gaps, table), np.empty(gaps.knots.size)
        q = state_space.scale_noise(gaps.weights, gaps.top, gaps.scaled_lam, noise)
        state_space.factor_state_space(gaps.h, ALL_ONE, False, q, noise, solver.co)  # noqa: FBT003
        return solver

    @property
    def co(self) -> Vector:
        """The coefficients, (n - 1, 13)."""
        return self.table[self.gaps.h.size :].reshape(-1, N_COEFFICIENTS)

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> SweepEvaluator:
        """See `Solver.at`."""
        return bind(self, points, nu, sources, _KERNELS[F8], 0, self.gaps.h.size, by_slope=True)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`."""
        return fit_jets(self, knots, sources, values)

    def prepare(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare`: the third derivative is a difference of moments."""
        if dtype == F4 and tableau.nu == 0:
            own = prepare_banded(self, tableau, sources, _WORK)
            if own is not None:
                return own
        kernel = _FAR if dtype == F4 and tableau.nu == 3 else _KERNELS[dtype]
        return self._prepare(kernel, tableau, sources)

    def _prepare(self, kernel: Kernel, tableau: Tableau, sources: Rows) -> Prepared:
        tables = np.empty(N_TABLES, np.int64)
        list_nu(tableau.nu, self.gaps.unit, tables)
        co = self.table[self.gaps.h.size :]
        return prepare(kernel, self.table, co, sources, tableau, tables)

    def apply_plainly(
        self, tableau: Tableau, sources: Rows, values: FloatArray, out: FloatArray
    ) -> int:
        """See `Sweepable.apply_plainly`."""
        t, gaps = tableau, self.gaps
        y = np.ascontiguousarray(values[sources], np.float64)
        residual, slope, gamma = np.empty((3, t.n, y.shape[1]))
        shear = np.zeros((t.n if t.nu == 3 else 1, y.shape[1]))
        result = np.empty(out.shape)
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            bad: int = state_space.smooth_panel(gaps.h, self.co, y, residual, slope, gamma, shear)
            if bad >= 0:
                return bad
            g = y - residual
            if t.nu == JET:
                np.concatenate([g, slope / gaps.unit, gamma / gaps.unit**2], out=result)
            else:
                base, tangent = choose_jet(t.nu, g, slope, gamma, shear)
                if t.nu == 1:
                    base = slope / gaps.unit
                state_space.evaluate_panel(t.spans, t.weights, t.rows, base, tangent, result)
        bad = first_overflow(result, out.dtype)
        if bad < 0:
            out[:] = result
        return bad

    def prepare_adjoint(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare_adjoint`."""
        return self._prepare(_PULLS[dtype], tableau, sources)

    def pull_plainly(self, tableau: Tableau, cotangent: Vector) -> Vector:
        """See `Sweepable.pull_plainly`."""
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            bars = pull_to_knots(tableau, self.gaps.unit, cotangent)
            state_space.adjoint_smooth_panel(self.gaps.h, self.co, *bars)
        result: Vector = bars[0]
        return result
