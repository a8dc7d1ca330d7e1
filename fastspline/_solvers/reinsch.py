"""Plans by Reinsch's pentadiagonal recurrences, bound to points and driven over columns."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline._kernels import adjoint_sweep, reinsch, sweep
from fastspline._kernels.addresses import JET, N_TABLES
from fastspline._kernels.tables import is_even
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
    prepare,
)
from fastspline._solvers.panel import PanelSolver
from fastspline._solvers.tableau import Gaps, Rows, Tableau, Vector
from fastspline.arrays import FloatArray, empty_aligned

_DOUBLE = Kernel(sweep.sweep_f8, LANES)
_FAR = Kernel(sweep.sweep_f4_far, LANES)
_MIXED = Kernel(sweep.sweep_f4, LANES, points=F4)
_SINGLE = Kernel(sweep.sweep_f4_single, 2 * LANES, F4, F4)
_PULL_DOUBLE = Kernel(adjoint_sweep.adjoint_f8, LANES)
_PULL_MIXED = Kernel(adjoint_sweep.adjoint_f4, LANES)
_PULL_SINGLE = Kernel(adjoint_sweep.adjoint_f4_single, 2 * LANES, F4, F4)

# Products of a register of float32 that a knot takes the time of.
_WORK_SINGLE, _WORK = 10.0, 20.0
KAPPA_SINGLE = 2.0  # float32 recurrences: at most 1.4 times the error of double
LEAST_GAP_SINGLE = 1e-6  # relative to the mean gap: their coefficients must not overflow
UNEVEN_SINGLE = 10.0  # ratio of neighbouring gaps: the error of one must not spoil the other
CROWD_SINGLE = 32  # points in one gap whose cotangents are added in float32


def split_table(table: Vector, n: int) -> tuple[Vector, Vector]:
    """Give the forward and backward tables of `factor_pentadiagonal`, which follow n numbers."""
    return table[n : 5 * n].reshape(n, 4), table[5 * n : 10 * n].reshape(n, 5)


class ReinschSolver:
    """Reinsch's pentadiagonal recurrences; `table` is split by `split_table`."""

    __slots__ = ("_is_local", "gaps", "table")
    name: Literal["reinsch", "innovations", "state-space"] = "reinsch"

    def __init__(self, gaps: Gaps, table: Vector, kappa: float) -> None:
        self.gaps, self.table = gaps, table
        self._is_local = kappa <= KAPPA_SINGLE

    @property
    def in_single(self) -> bool:
        """Whether float32 columns may be swept in float32."""
        even: bool = self._is_local and is_even(self.gaps.h, LEAST_GAP_SINGLE, UNEVEN_SINGLE)
        return even

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> SweepEvaluator:
        """See `Solver.at`."""
        n = self.gaps.knots.size
        return bind(self, points, nu, sources, _DOUBLE, n, 5 * n, by_slope=False)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`: one sweep gives all three as 3n points."""
        n = knots.size
        out: Vector = empty_aligned(3 * n, values.shape[1], F8)  # type: ignore[assignment]
        doubles = values if values.dtype == np.float64 else values.astype(np.float64)
        bad = self.at(knots, JET, sources).apply(doubles, out, None)
        return out[:n], out[n : 2 * n], out[2 * n :], bad

    def prepare(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare`."""
        n, tables = tableau.n, np.empty(N_TABLES, np.int64)
        kernel = _DOUBLE if dtype == F8 else _MIXED
        if dtype == F4:
            if self._is_far(tableau):
                kernel = _FAR
            elif self.in_single and tableau.nu == 0:
                kernel = _SINGLE
            work = _WORK_SINGLE if kernel is _SINGLE else _WORK
            if tableau.nu == 0 and (own := prepare_banded(self, tableau, sources, work)):
                return own
        forward: FloatArray = self.table[n:]
        backward: FloatArray = self.table[5 * n :]
        if dtype == F4:
            forward, backward = forward.astype(kernel.state), backward.astype(kernel.state)
        return prepare(kernel, forward, backward, sources, tableau, tables)

    def _is_far(self, tableau: Tableau) -> bool:
        """Tell whether float32 would lose digits: derivatives, values beyond another end gap."""
        t = tableau
        far = t.nu == 0 and (np.abs(t.weights[:, 0] - 0.5) > 1.5).any()
        return t.nu in (1, 3) or bool(far)

    def apply_plainly(
        self, tableau: Tableau, sources: Rows, values: FloatArray, out: FloatArray
    ) -> int:
        """See `Sweepable.apply_plainly`."""
        t = tableau
        forward, backward = split_table(self.table, t.n)
        g, gamma, result = np.empty(t.n), np.empty(t.n), np.empty(t.m)
        for j in range(values.shape[1]):
            y = values[sources, j].astype(np.float64)
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                finite = reinsch.smooth_column(forward, backward, y, g, gamma)
                reinsch.evaluate_column(t.spans, t.weights, t.rows, g, gamma, result)
            if not finite or first_overflow(result[:, np.newaxis], out.dtype) >= 0:
                return j
            out[:, j] = result
        return -1

    def prepare_adjoint(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare_adjoint`."""
        t = tableau
        kernel = _PULL_DOUBLE if dtype == F8 else _PULL_MIXED
        if dtype == F4 and self.in_single and t.nu == 0 and not self._is_far(t):
            crowd = np.diff(t.spans[::2]).max(initial=0)
            kernel = _PULL_SINGLE if crowd <= CROWD_SINGLE else kernel
        forward: FloatArray = self.table[t.n :].astype(kernel.state, copy=False)
        backward: FloatArray = self.table[5 * t.n :].astype(kernel.state, copy=False)
        tables = np.empty(N_TABLES, np.int64)
        return prepare(kernel, forward, backward, sources, t, tables)

    def pull_plainly(self, tableau: Tableau, cotangent: Vector) -> Vector:
        """See `Sweepable.pull_plainly`."""
        t = tableau
        forward, backward = split_table(self.table, t.n)
        bar_g, bar_gamma = np.zeros((2, cotangent.shape[1], t.n))
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            columns = np.array(cotangent.T, order="C")
            for g, gamma, c in zip(bar_g, bar_gamma, columns, strict=True):
                reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, g, gamma)
                reinsch.adjoint_smooth_column(forward, backward, g, gamma)
        result: Vector = bar_g.T
        return result
