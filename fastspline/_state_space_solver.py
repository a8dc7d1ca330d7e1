"""Plans by the subtraction-free recursion, bound to points and driven over columns."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline import _reinsch, _simd, _state_space
from fastspline._columns import (
    F4,
    F8,
    INTERPRETED,
    DType,
    Kernel,
    Prepared,
    first_overflow,
    prepare,
    sweep_columns,
)
from fastspline._panel_solver import PanelSolver
from fastspline._plan import bind_points
from fastspline._state_space import N_COEFFICIENTS
from fastspline._tableau import Gaps, Rows, Tableau, Vector
from fastspline._vector import LANES
from fastspline.arrays import FloatArray, empty_aligned, require_finite

_KERNELS = {
    F4: Kernel(_simd.sweep_state_space_f4, _simd.apply_state_space_f4, LANES, F8),
    F8: Kernel(_simd.sweep_state_space_f8, _simd.apply_state_space_f8, LANES, F8),
}
_NOWHERE = np.empty(0)


class StateSpaceSolver:
    """The subtraction-free recursion; `table` holds gaps and what `filter_information` wrote."""

    __slots__ = ("gaps", "table")
    name: Literal["reinsch", "state-space"] = "state-space"

    def __init__(self, gaps: Gaps, table: Vector) -> None:
        self.gaps, self.table = gaps, table

    @property
    def co(self) -> Vector:
        """The coefficients, (n - 1, 15)."""
        return self.table[self.gaps.h.size :].reshape(-1, N_COEFFICIENTS)

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> StateSpaceEvaluator:
        """See `Solver.at`."""
        gaps, table = self.gaps, self.table
        n = gaps.knots.size
        t, by_slope = Tableau(n, points, nu), True
        address = bind_points(
            gaps.knots, table, n - 1, gaps.unit, by_slope, points, nu, sources, t.places, t.weights
        )
        if address < 0:
            require_finite(points, "points")
        bound = Prepared(_KERNELS[F8], n, address, (table, sources, t.places, t.weights))
        return StateSpaceEvaluator(self, t, sources, bound)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`: one sweep gives all three, unless some knots have no data."""
        n = knots.size
        out: Vector = empty_aligned(3 * n, values.shape[1], F8)  # type: ignore[assignment]
        jet = out[:n], out[n : 2 * n], out[2 * n :]
        doubles = values if values.dtype == np.float64 else values.astype(np.float64)
        if n == self.gaps.knots.size:
            everywhere = self.at(_NOWHERE, _simd.JET, sources)
            everywhere.tableau.needed[:] = 1
            return *jet, everywhere.apply(doubles, out, threads)
        bad = -1
        for nu, part in enumerate(jet):
            if bad < 0:
                bad = self.at(knots, nu, sources).apply(doubles, part, threads)
        return *jet, bad


class StateSpaceEvaluator:
    """Drives the SIMD sweep over blocks of columns; the plain loops where numba is switched off."""

    __slots__ = ("nu", "prepared", "solver", "sources", "tableau")

    def __init__(
        self,
        solver: StateSpaceSolver,
        tableau: Tableau,
        sources: Rows,
        bound: Prepared | None = None,
    ) -> None:
        self.solver, self.tableau, self.nu, self.sources = solver, tableau, tableau.nu, sources
        self.prepared: dict[DType, Prepared] = {} if bound is None or INTERPRETED else {F8: bound}
        if bound is None and not INTERPRETED:
            self._prepare(F8)

    def _prepare(self, dtype: DType) -> Prepared:
        """List what the sweep for `dtype` starts from; as `ReinschEvaluator`."""
        gaps, table = self.solver.gaps, self.solver.table
        tables = np.empty(_simd.N_TABLES, np.int64)
        _simd.list_nu(self.nu, gaps.unit, tables)
        co = table[gaps.h.size :]
        made = prepare(_KERNELS[dtype], dtype, table, co, self.sources, self.tableau, tables)
        return self.prepared.setdefault(dtype, made)

    def reading(self, sources: Rows) -> StateSpaceEvaluator:
        """See `Evaluator.reading`."""
        return StateSpaceEvaluator(self.solver, self.tableau, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        if INTERPRETED:
            return self._apply_plain(values, out)
        if values.dtype == F4 and self.nu == 3:  # differences of moments lose float32's digits
            doubles = np.empty(out.shape)
            bad = self.apply(values.astype(F8), doubles, threads)
            bad = first_overflow(doubles, F4) if bad < 0 else bad
            if bad < 0:
                out[:] = doubles
            return bad
        prepared = self.prepared.get(values.dtype) or self._prepare(values.dtype)
        return sweep_columns(prepared, values, out, threads)

    def _apply_plain(self, values: FloatArray, out: FloatArray) -> int:
        """`apply` by the plain loops."""
        t, gaps, solver = self.tableau, self.solver.gaps, self.solver
        y = np.ascontiguousarray(values[self.sources], np.float64)
        residual, slope, gamma = np.empty((3, gaps.knots.size, y.shape[1]))
        result = np.empty(out.shape)
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            bad: int = _state_space.smooth_panel(gaps.h, solver.co, y, residual, slope, gamma)
            if bad >= 0:
                return bad
            g = y - residual
            if self.nu == _simd.JET:
                np.concatenate([g, slope / gaps.unit, gamma / gaps.unit**2], out=result)
            else:
                jet = (g, slope / gaps.unit, gamma, gamma)
                base, tangent = jet[self.nu], slope if self.nu == 0 else gamma
                _state_space.evaluate_panel(t.spans, t.weights, t.rows, base, tangent, result)
        bad = first_overflow(result, out.dtype)
        if bad < 0:
            out[:] = result
        return bad

    def adjoint(self, cotangent: FloatArray, out: FloatArray) -> None:
        """See `Evaluator.adjoint`."""
        t, h, co = self.tableau, self.solver.gaps.h, self.solver.co
        for j in range(cotangent.shape[1]):
            bar_g, bar_slope, bar_gamma = np.zeros((3, self.sources.size))
            c = cotangent[:, j].astype(np.float64)
            jet = (bar_g, bar_slope, bar_gamma, bar_gamma)
            base, tangent = jet[self.nu], bar_slope if self.nu == 0 else bar_gamma
            _reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, base, tangent)
            if self.nu == 1:
                bar_slope /= self.solver.gaps.unit
            _state_space.adjoint_smooth_column(h, co, bar_g, bar_slope, bar_gamma)
            np.add.at(out[:, j], self.sources, bar_g)
