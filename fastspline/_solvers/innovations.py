"""Plans by innovations and costate, bound to points and driven over columns."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline._kernels import adjoint_sweep, innovations, reinsch, sweep
from fastspline._kernels.addresses import BEYOND, JET, N_TABLES, list_nu
from fastspline._kernels.innovations import N_COEFFICIENTS
from fastspline._kernels.tables import lie_far
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
from fastspline._solvers.panel import PanelSolver
from fastspline._solvers.reinsch import ReinschSolver
from fastspline._solvers.state_space import StateSpaceSolver
from fastspline._solvers.tableau import Gaps, Rows, Tableau, Vector
from fastspline.arrays import FloatArray

_KERNELS = {
    F4: Kernel(sweep.sweep_innovations_f4, LANES, points=F4),
    F8: Kernel(sweep.sweep_innovations_f8, LANES),
}
_FAR = Kernel(sweep.sweep_innovations_f4_far, LANES)
_PULLS = {
    F4: Kernel(adjoint_sweep.adjoint_innovations_f4, LANES),
    F8: Kernel(adjoint_sweep.adjoint_innovations_f8, LANES),
}
# Products of a register of float32 that a knot takes the time of.
_WORK = 24.0

TABLE_NUMBERS = 1 + N_COEFFICIENTS  # a knot
LAM_RANGE = 1e-60, 1e60  # in scaled units: u is residuals over lam / weights
KAPPA_SINGLES = 1e10  # Reinsch's error: of values 1e-9 of the largest, of curvatures 7e-9
LAM_SINGLES = 1e5  # in scaled units, likewise: kappa between mean gaps, and few are smaller


class InnovationsSolver:
    """Innovations and costate; `table` holds gaps, and coefficients from number n on.

    `bound` is that of the error, in eps, see `factor_innovations`. Float32 columns take Reinsch's
    recurrences in double where these lose less than float32 shows (`KAPPA_SINGLES`).
    """

    __slots__ = ("_for_singles", "bound", "gaps", "table")
    name: Literal["reinsch", "innovations", "state-space"] = "innovations"

    def __init__(self, gaps: Gaps, table: Vector, pull: Vector, kappa: float) -> None:
        """Factor; `table` (at least `TABLE_NUMBERS` n,) begins with the gaps, then come zeros.

        `pull` and `kappa` are those of `scale_plan`.
        """
        self.gaps, self.table = gaps, table
        self.bound: float = innovations.factor_innovations(gaps.h, pull, self.co)
        self._for_singles = kappa <= KAPPA_SINGLES and gaps.scaled_lam <= LAM_SINGLES

    @property
    def co(self) -> Vector:
        """The coefficients, (n, 11)."""
        n = self.gaps.knots.size
        return self.table[n : n * (1 + N_COEFFICIENTS)].reshape(n, N_COEFFICIENTS)

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return PanelSolver(self.gaps)

    def at(self, points: Vector, nu: int, sources: Rows) -> SweepEvaluator:
        """See `Solver.at`."""
        n = self.gaps.knots.size
        if nu == 0 and lie_far(self.gaps.knots, points):
            nu = BEYOND
        by_slope = nu in (1, BEYOND)
        return bind(self, points, nu, sources, _KERNELS[F8], n, n, by_slope=by_slope)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`."""
        return fit_jets(self, knots, sources, values)

    def prepare(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare`: the third derivative is a difference of second ones."""
        if dtype == F4 and self._for_singles and tableau.nu in (0, 2):
            return self._by_reinsch().prepare(tableau, sources, dtype)
        if dtype == F4 and tableau.nu in (0, BEYOND):
            own = prepare_banded(self, tableau, sources, _WORK)
            if own is not None:
                return own
        kernel = _FAR if dtype == F4 and tableau.nu == 3 else _KERNELS[dtype]
        return self._prepare(kernel, tableau, sources)

    def _prepare(self, kernel: Kernel, tableau: Tableau, sources: Rows) -> Prepared:
        tables = np.empty(N_TABLES, np.int64)
        list_nu(tableau.nu, self.gaps.unit, tables)
        co: FloatArray = self.table[tableau.n :]
        return prepare(kernel, co, co, sources, tableau, tables)

    def _by_state_space(self) -> StateSpaceSolver:
        """Factor the recursion whose sweeps read the same tableau, if it is of slopes."""
        return StateSpaceSolver.of(self.gaps)

    def _by_reinsch(self) -> ReinschSolver:
        """Factor Reinsch's system, whose sweeps read the same tableau."""
        gaps, n = self.gaps, self.gaps.knots.size
        weights = gaps.weights / gaps.top if gaps.weights.size else np.ones(n)
        table = np.zeros(10 * n)
        table[: n - 1] = gaps.h
        reinsch.factor_pentadiagonal(gaps.h, gaps.scaled_lam / weights, table[n:])
        return ReinschSolver(gaps, table, np.inf)

    def apply_plainly(
        self, tableau: Tableau, sources: Rows, values: FloatArray, out: FloatArray
    ) -> int:
        """See `Sweepable.apply_plainly`."""
        t, unit = tableau, self.gaps.unit
        g, gamma, slope, result = np.empty(t.n), np.empty(t.n), np.empty(t.n), np.empty(t.m)
        for j in range(values.shape[1]):
            y = values[sources, j].astype(np.float64)
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                last = innovations.smooth_column(self.co, y, g, gamma)
                innovations.add_slopes(self.co, last, gamma, slope)
                if t.nu == JET:
                    result = np.concatenate([g, slope / unit, gamma / unit**2])
                else:
                    base = slope / unit if t.nu == 1 else g
                    tangent = slope if t.nu == BEYOND else gamma
                    reinsch.evaluate_column(t.spans, t.weights, t.rows, base, tangent, result)
            if not np.isfinite(last) or first_overflow(result[:, np.newaxis], out.dtype) >= 0:
                return j
            out[:, j] = result
        return -1

    def prepare_adjoint(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """See `Sweepable.prepare_adjoint`: that of slopes would lose a digit over 1e5 knots."""
        if tableau.nu == 1:
            return self._by_state_space().prepare_adjoint(tableau, sources, dtype)
        if dtype == F4 and self._for_singles and tableau.nu in (0, 2):
            return self._by_reinsch().prepare_adjoint(tableau, sources, dtype)
        return self._prepare(_PULLS[dtype], tableau, sources)

    def pull_plainly(self, tableau: Tableau, cotangent: Vector) -> Vector:
        """See `Sweepable.pull_plainly`."""
        if tableau.nu == 1:
            return self._by_state_space().pull_plainly(tableau, cotangent)
        t, result = tableau, np.empty((tableau.n, cotangent.shape[1]))
        for j in range(cotangent.shape[1]):
            g, slope, gamma = np.zeros((3, t.n))
            tangent = slope if t.nu == BEYOND else gamma
            c = np.ascontiguousarray(cotangent[:, j])
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, g, tangent)
                last = innovations.adjoint_add_slopes(self.co, slope, gamma)
                innovations.adjoint_smooth_column(self.co, last, g, gamma)
            result[:, j] = g
        return result
