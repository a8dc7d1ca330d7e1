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
from fastspline._tableau import Gaps, Rows, Tableau, Vector
from fastspline._vector import LANES
from fastspline.arrays import FloatArray, empty_aligned

_KERNELS = {
    F4: Kernel(_simd.sweep_state_space_f4, _simd.apply_state_space_f4, LANES, F8),
    F8: Kernel(_simd.sweep_state_space_f8, _simd.apply_state_space_f8, LANES, F8),
}
_NOWHERE = np.empty(0)


class StateSpaceSolver:
    """The subtraction-free recursion; `co` (n - 1, 15) is what `filter_information` wrote.

    A clamped plan gives `last_beta`, and its `sources` name two rows more than there are knots: the
    slopes at both ends, in scaled units.
    """

    __slots__ = ("co", "gaps", "last_beta")
    name: Literal["reinsch", "state-space"] = "state-space"

    def __init__(self, gaps: Gaps, co: Vector, last_beta: float | None = None) -> None:
        self.gaps, self.co, self.last_beta = gaps, co, last_beta

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> StateSpaceEvaluator:
        """See `Solver.at`."""
        tableau = Tableau(self.gaps, points, np.array([nu]), by_slope=True)
        return StateSpaceEvaluator(self, tableau, nu, sources)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`: one sweep gives all three, unless some knots have no data."""
        n = knots.size
        out: Vector = empty_aligned(3 * n, values.shape[1], F8)  # type: ignore[assignment]
        jet = out[:n], out[n : 2 * n], out[2 * n :]
        doubles = values if values.dtype == np.float64 else values.astype(np.float64)
        if n == self.gaps.knots.size:
            tableau = Tableau(self.gaps, _NOWHERE, np.array([0]), by_slope=True)
            tableau.needed[:] = 1
            everywhere = StateSpaceEvaluator(self, tableau, _simd.JET, sources)
            return *jet, everywhere.apply(doubles, out, threads)
        bad = -1
        for nu, part in enumerate(jet):
            if bad < 0:
                bad = self.at(knots, nu, sources).apply(doubles, part, threads)
        return *jet, bad


class StateSpaceEvaluator:
    """Drives the SIMD sweep over blocks of columns; the plain loops where numba is switched off."""

    __slots__ = ("nu", "prepared", "solver", "sources", "tableau")

    def __init__(self, solver: StateSpaceSolver, tableau: Tableau, nu: int, sources: Rows) -> None:
        self.solver, self.tableau, self.nu, self.sources = solver, tableau, nu, sources
        self.prepared: dict[DType, Prepared] = {}
        if not INTERPRETED:
            self._prepare(F8)

    def _prepare(self, dtype: DType) -> Prepared:
        """List what the sweep for `dtype` starts from; as `ReinschEvaluator`."""
        solver, unit = self.solver, self.solver.gaps.unit
        clamped = solver.last_beta is not None
        tables = np.zeros(_simd.N_TABLES, np.int64)
        tables[-4:-2] = self.nu, clamped
        of_base = 0.0 if self.nu in (2, 3) else 1.0 / unit
        tables[-2:] = np.array([solver.last_beta or 0.0, of_base]).view(np.int64)
        gaps = solver.gaps.h.reshape(-1, 1)
        kernel, co = _KERNELS[dtype], solver.co
        made = prepare(kernel, dtype, gaps, co, self.sources, self.tableau, tables)
        return self.prepared.setdefault(dtype, made)

    def reading(self, sources: Rows) -> StateSpaceEvaluator:
        """See `Evaluator.reading`."""
        return StateSpaceEvaluator(self.solver, self.tableau, self.nu, sources)

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
            bad: int = _state_space.smooth_panel(
                gaps.h, solver.co, y, residual, slope, gamma, solver.last_beta or 0.0
            )
            if bad >= 0:
                return bad
            g = y[: gaps.knots.size] - residual
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
