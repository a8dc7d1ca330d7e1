"""Plans by Reinsch's pentadiagonal recurrences, bound to points and driven over columns."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline import _reinsch, _simd
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
from fastspline._plan import bind_points, split_table
from fastspline._tableau import Gaps, Rows, Tableau, Vector
from fastspline._vector import LANES
from fastspline.arrays import FloatArray, empty_aligned, require_finite

_DOUBLE = Kernel(_simd.sweep_f8, _simd.apply_f8, LANES, F8)
_MIXED = Kernel(_simd.sweep_f4, _simd.apply_f4, LANES, F8)
_SINGLE = Kernel(_simd.sweep_f4_single, _simd.apply_f4_single, 2 * LANES, F4)


class ReinschSolver:
    """Reinsch's pentadiagonal recurrences, with the table of `plan_reinsch`."""

    __slots__ = ("gaps", "in_single", "table")
    name: Literal["reinsch", "state-space"] = "reinsch"

    def __init__(self, gaps: Gaps, table: Vector, *, in_single: bool) -> None:
        self.gaps, self.table = gaps, table
        self.in_single = in_single  # whether float32 columns may be swept in float32

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> ReinschEvaluator:
        """See `Solver.at`."""
        gaps, table = self.gaps, self.table
        n = gaps.knots.size
        t, by_slope = Tableau(n, points, nu), False
        address = bind_points(
            gaps.knots, table, 5 * n, gaps.unit, by_slope, points, nu, sources, t.places, t.weights
        )
        if address < 0:
            require_finite(points, "points")
        bound = Prepared(_DOUBLE, n, address, (table, sources, t.places, t.weights))
        return ReinschEvaluator(self, t, sources, bound)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`: one sweep gives all three as 3n points."""
        n = knots.size
        out: Vector = empty_aligned(3 * n, values.shape[1], F8)  # type: ignore[assignment]
        doubles = values if values.dtype == np.float64 else values.astype(np.float64)
        bad = self.at(knots, _simd.JET, sources).apply(doubles, out, threads)
        return out[:n], out[n : 2 * n], out[2 * n :], bad


class ReinschEvaluator:
    """Drives the SIMD sweep over blocks of columns; the plain loops where numba is switched off."""

    __slots__ = ("prepared", "solver", "sources", "tableau")

    def __init__(
        self, solver: ReinschSolver, tableau: Tableau, sources: Rows, bound: Prepared | None = None
    ) -> None:
        self.solver, self.tableau, self.sources = solver, tableau, sources
        self.prepared: dict[DType, Prepared] = {} if bound is None or INTERPRETED else {F8: bound}
        if bound is None and not INTERPRETED:
            self._prepare(F8)

    def _prepare(self, dtype: DType) -> Prepared:
        """List what the sweep for `dtype` starts from.

        Two threads may both do so; what is published first is never replaced, since a kernel may
        be at work on it.
        """
        solver, tables = self.solver, np.empty(_simd.N_TABLES, np.int64)
        kernel = _DOUBLE if dtype == F8 else _MIXED
        if dtype == F4 and solver.in_single and self.tableau.nu == 0:
            kernel = _SINGLE
        n = self.tableau.n
        forward: FloatArray = solver.table[n:]
        backward: FloatArray = solver.table[5 * n :]
        if dtype == F4:
            forward, backward = forward.astype(kernel.state), backward.astype(kernel.state)
        made = prepare(kernel, dtype, forward, backward, self.sources, self.tableau, tables)
        return self.prepared.setdefault(dtype, made)

    def reading(self, sources: Rows) -> ReinschEvaluator:
        """See `Evaluator.reading`."""
        return ReinschEvaluator(self.solver, self.tableau, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        if INTERPRETED:
            return self._apply_plain(values, out)
        prepared = self.prepared.get(values.dtype) or self._prepare(values.dtype)
        return sweep_columns(prepared, values, out, threads)

    def _apply_plain(self, values: FloatArray, out: FloatArray) -> int:
        """`apply` by the plain loops."""
        t = self.tableau
        forward, backward = split_table(self.solver.table, t.n)
        g, gamma = np.empty(self.sources.size), np.empty(self.sources.size)
        result = np.empty(t.m)
        for j in range(values.shape[1]):
            y = values[self.sources, j].astype(np.float64)
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                finite = _reinsch.smooth_column(forward, backward, y, g, gamma)
                _reinsch.evaluate_column(t.spans, t.weights, t.rows, g, gamma, result)
            if not finite or first_overflow(result[:, np.newaxis], out.dtype) >= 0:
                return j
            out[:, j] = result
        return -1

    def adjoint(self, cotangent: FloatArray, out: FloatArray) -> None:
        """See `Evaluator.adjoint`."""
        t = self.tableau
        forward, backward = split_table(self.solver.table, t.n)
        for j in range(cotangent.shape[1]):
            bar_g, bar_gamma = np.zeros((2, self.sources.size))
            c = cotangent[:, j].astype(np.float64)
            _reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, bar_g, bar_gamma)
            _reinsch.adjoint_smooth_column(forward, backward, bar_g, bar_gamma)
            np.add.at(out[:, j], self.sources, bar_g)
