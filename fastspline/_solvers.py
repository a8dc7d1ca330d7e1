"""The two recurrences behind a plan, driven over columns and threads."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numba import config
from numpy.typing import NDArray

from fastspline import _reinsch, _simd, _state_space
from fastspline._plan import largest_difference, plan_reinsch, tabulate_points
from fastspline._threads import cut, run_blocks, usable_cpus
from fastspline.arrays import STREAM_BYTES, FloatArray, empty_aligned

Vector: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Quick: TypeAlias = Callable[[FloatArray, FloatArray, int, int], int]
Sweep: TypeAlias = Callable[..., int]


class Kernel(NamedTuple):
    """A compiled sweep, its entry for small arrays, its lanes, and the type of its recurrences."""

    sweep: Sweep
    quick: Quick
    lanes: int
    state: np.dtype[np.floating]


_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)
_DOUBLE = Kernel(_simd.sweep_f8, _simd.apply_f8, _simd.LANES, _F8)
_MIXED = Kernel(_simd.sweep_f4, _simd.apply_f4, _simd.LANES, _F8)
_SINGLE = Kernel(_simd.sweep_f4_single, _simd.apply_f4_single, 2 * _simd.LANES, _F4)


class Prepared(NamedTuple):
    """What a sweep starts from: addresses, and the arrays that lie there, which it keeps alive."""

    kernel: Kernel
    knots: int
    tables: int
    kept: tuple[FloatArray | Rows, ...]


KAPPA_EXACT = 450.0  # eps * kappa <= 1e-13: Reinsch's system is exact without a look
UNIT_RANGE = 1e-100, 1e100  # mean gaps whose cubes are normal numbers
LEAST_GAP = 1e-70  # relative to the mean gap: its fourth power is a normal number
LEAST_GAP_SINGLE = 1e-6  # also for float32 recurrences: their coefficients must not overflow
LEAST_WEIGHT = 1e-100  # relative to the largest weight
KAPPA_SINGLE = 2.0  # float32 recurrences for float32 values: at most 1.4 times the error of double
KAPPA_HOPELESS = 1e12  # beyond, a probe is not worth its time
EXACT = 5e-14  # largest probe error at which Reinsch's solver is taken

THREADS_FROM = 400_000  # values read and written from which a second thread pays
STREAM_SAFE = platform.machine().lower() in ("x86_64", "amd64")
STAGE_BYTES = 256 << 10  # what a staged panel may fill of the second-level cache
STAGE_ROW_BYTES = 512  # narrower panels store faster without streaming
AHEAD_ABOVE = 4 << 20  # prefetch inputs larger than this
AHEAD_BYTES = 384
BLOCKS_A_THREAD = 4  # to even out a busy machine
TRANSPOSED = 256  # columns copied at a time where rows are not contiguous
INTERPRETED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]  # numba sets it at import
PANEL = 32  # columns of a panel of the state-space sweeps


class Gaps:
    """Ascending knots and positive weights of a plan, in the scaled units in which it is solved."""

    __slots__ = ("h", "knots", "scaled_lam", "top", "unit", "weights")

    def __init__(
        self, knots: Vector, weights: Vector, h: Vector, scale: tuple[float, float, float]
    ) -> None:
        self.knots, self.weights, self.h = knots, weights, h
        self.unit, self.top, self.scaled_lam = scale


class Tableau:
    """Where evaluation points lie and what they multiply with; see `tabulate_points`."""

    __slots__ = ("m", "needed", "only_values", "rows", "spans", "weights")

    def __init__(self, gaps: Gaps, points: Vector, nus: Rows, *, by_slope: bool) -> None:
        n, m = gaps.knots.size, points.size * nus.size
        self.m = m
        self.spans, self.needed = np.empty(2 * n + 1, np.int64), np.empty(n, np.int64)
        self.rows, self.weights = np.empty(m, np.int64), np.empty((m, 3))
        self.only_values = nus.size == 1 and nus[0] == 0
        tabulate_points(
            gaps.knots,
            gaps.h,
            gaps.unit,
            by_slope,
            points,
            nus,
            self.spans,
            self.needed,
            self.rows,
            self.weights,
        )


class Evaluator(Protocol):
    """A solver bound to evaluation points and to the rows of the values that it reads."""

    prepared: dict[np.dtype[np.floating], Prepared]  # for the quick entries, by dtype of values

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


_VALUE_SLOPE_CURVATURE = np.arange(3)


class ReinschSolver:
    """Reinsch's pentadiagonal recurrences, with the tables of `factor_pentadiagonal`."""

    __slots__ = ("backward", "forward", "gaps", "in_single")
    name: Literal["reinsch", "state-space"] = "reinsch"

    def __init__(self, gaps: Gaps, forward: Vector, backward: Vector, *, in_single: bool) -> None:
        self.gaps, self.forward, self.backward = gaps, forward, backward
        self.in_single = in_single  # whether float32 columns may be swept in float32

    def at(self, points: Vector, nu: int, sources: Rows) -> ReinschEvaluator:
        """See `Solver.at`."""
        tableau = Tableau(self.gaps, points, np.array([nu]), by_slope=False)
        return ReinschEvaluator(self, tableau, sources)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`: one sweep gives all three as 3n points."""
        n = knots.size
        tableau = Tableau(self.gaps, knots, _VALUE_SLOPE_CURVATURE, by_slope=False)
        out: Vector = empty_aligned(3 * n, values.shape[1], _F8)  # type: ignore[assignment]
        doubles = values if values.dtype == np.float64 else values.astype(np.float64)
        bad = ReinschEvaluator(self, tableau, sources).apply(doubles, out, threads)
        return out[:n], out[n : 2 * n], out[2 * n :], bad


class ReinschEvaluator:
    """Drives the SIMD sweep over blocks of columns; the plain loops where numba is switched off."""

    __slots__ = ("prepared", "solver", "sources", "tableau")

    def __init__(self, solver: ReinschSolver, tableau: Tableau, sources: Rows) -> None:
        self.solver, self.tableau, self.sources = solver, tableau, sources
        self.prepared: dict[np.dtype[np.floating], Prepared] = {}
        if not INTERPRETED:
            self._prepare(_F8)

    def _prepare(self, dtype: np.dtype[np.floating]) -> Prepared:
        """List what the sweep for `dtype` starts from.

        Two threads may both do so; what is published first is never replaced, since a kernel may
        be at work on it.
        """
        solver, t, tables = self.solver, self.tableau, np.empty(7, np.int64)
        kernel = _DOUBLE if dtype == _F8 else _MIXED
        if dtype == _F4 and solver.in_single and t.only_values:
            kernel = _SINGLE
        forward: FloatArray = solver.forward
        backward: FloatArray = solver.backward
        weights: FloatArray = t.weights
        if dtype == _F4:
            with np.errstate(over="ignore"):  # an infinite weight is noticed in the sweep
                weights = weights.astype(dtype)
            forward, backward = forward.astype(kernel.state), backward.astype(kernel.state)
        address: int = _simd.list_addresses(
            forward, backward, self.sources, t.spans, t.needed, weights, t.rows, tables
        )
        kept = (forward, backward, self.sources, t.spans, t.needed, weights, t.rows, tables)
        made = Prepared(kernel, self.sources.size, address, kept)
        return self.prepared.setdefault(dtype, made)

    def reading(self, sources: Rows) -> ReinschEvaluator:
        """See `Evaluator.reading`."""
        return ReinschEvaluator(self.solver, self.tableau, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        if INTERPRETED:
            return self._apply_plain(values, out)
        prepared = self.prepared.get(values.dtype) or self._prepare(values.dtype)
        kernel, knots, tables, _ = prepared
        size, columns = values.itemsize, values.shape[1]
        row_bytes = size * kernel.lanes
        stream, panel = STREAM_SAFE and out.nbytes > STREAM_BYTES, 0
        if stream and (out.ctypes.data % 64 or out.strides[0] % 64 or row_bytes % 64):
            panel = min(STAGE_BYTES // self.tableau.m, 1024) // row_bytes * kernel.lanes
            stream = panel * size >= STAGE_ROW_BYTES and columns >= panel
            panel = panel if stream else 0
        ahead = AHEAD_BYTES if values.nbytes > AHEAD_ABOVE else 0
        points = self.tableau.m

        def work(first: int, stop: int) -> int:
            block = values[:, first:stop]
            if block.shape[1] > 1 and block.strides[1] != size:
                block = np.ascontiguousarray(block)
            # Addresses are taken here, so that this closure keeps the arrays alive.
            bad: int = kernel.sweep(
                block.ctypes.data, block.strides[0],
                out.ctypes.data + first * size, out.strides[0], stop - first,
                knots, points, tables, int(stream), panel, ahead,
            )  # fmt: skip
            return bad if bad < 0 else first + bad

        threads = _threads_for(values, out, threads)
        width = columns
        if threads > 1:
            cuts = threads * BLOCKS_A_THREAD
            width = -(-columns // (cuts * 64)) * 64  # whole cache lines
        if columns > 1 and values.strides[1] != size:
            width = min(width, TRANSPOSED)
        return run_blocks(work, cut(columns, width), threads)

    def _apply_plain(self, values: FloatArray, out: FloatArray) -> int:
        """`apply` by the plain loops."""
        forward, backward, t = self.solver.forward, self.solver.backward, self.tableau
        g, gamma = np.empty(self.sources.size), np.empty(self.sources.size)
        result = np.empty(t.m)
        for j in range(values.shape[1]):
            y = values[self.sources, j].astype(np.float64)
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                finite = _reinsch.smooth_column(forward, backward, y, g, gamma)
                _reinsch.evaluate_column(t.spans, t.weights, t.rows, g, gamma, result)
            if not finite or _first_overflow(result[:, np.newaxis], out.dtype) >= 0:
                return j
            out[:, j] = result
        return -1

    def adjoint(self, cotangent: FloatArray, out: FloatArray) -> None:
        """See `Evaluator.adjoint`."""
        forward, backward, t = self.solver.forward, self.solver.backward, self.tableau
        for j in range(cotangent.shape[1]):
            bar_g, bar_gamma = np.zeros((2, self.sources.size))
            c = cotangent[:, j].astype(np.float64)
            _reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, bar_g, bar_gamma)
            _reinsch.adjoint_smooth_column(forward, backward, bar_g, bar_gamma)
            np.add.at(out[:, j], self.sources, bar_g)


class StateSpaceSolver:
    """The subtraction-free recursion; `co` (n - 1, 15) is what `filter_information` wrote."""

    __slots__ = ("co", "gaps")
    name: Literal["reinsch", "state-space"] = "state-space"

    def __init__(self, gaps: Gaps, co: Vector) -> None:
        self.gaps, self.co = gaps, co

    def at(self, points: Vector, nu: int, sources: Rows) -> StateSpaceEvaluator:
        """See `Solver.at`."""
        return StateSpaceEvaluator(
            self, Tableau(self.gaps, points, np.array([nu]), by_slope=True), nu, sources
        )

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray, threads: int | None
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`."""
        n, columns = knots.size, values.shape[1]
        outs = tuple(np.empty((n, columns)) for _ in range(3))
        bad = -1
        for nu, out in enumerate(outs):
            if bad < 0:
                bad = self.at(knots, nu, sources).apply(values, out, threads)
        return outs[0], outs[1], outs[2], bad


class StateSpaceEvaluator:
    """Drives the sweeps over panels of columns in double."""

    __slots__ = ("nu", "prepared", "solver", "sources", "tableau")

    def __init__(self, solver: StateSpaceSolver, tableau: Tableau, nu: int, sources: Rows) -> None:
        self.solver, self.tableau, self.nu, self.sources = solver, tableau, nu, sources
        self.prepared: dict[np.dtype[np.floating], Prepared] = {}

    def reading(self, sources: Rows) -> StateSpaceEvaluator:
        """See `Evaluator.reading`."""
        return StateSpaceEvaluator(self.solver, self.tableau, self.nu, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        t, h, co = self.tableau, self.solver.gaps.h, self.solver.co
        unit = self.solver.gaps.unit

        def work(first: int, stop: int) -> int:
            y = np.ascontiguousarray(values[self.sources, first:stop], np.float64)
            residual, slope, gamma = np.empty((3, *y.shape))
            bad: int = _state_space.smooth_panel(h, co, y, residual, slope, gamma)
            if bad >= 0:
                return first + bad
            panel = np.empty((t.m, y.shape[1]))
            slope /= unit
            gamma /= unit * unit
            jet = (y - residual, slope, gamma, gamma)
            base, tangent = jet[self.nu], jet[min(self.nu + 1, 3)]
            _state_space.evaluate_panel(t.spans, t.weights, t.rows, base, tangent, panel)
            bad = _first_overflow(panel, out.dtype)
            if bad >= 0:
                return first + bad
            out[:, first:stop] = panel
            return -1

        columns = values.shape[1]
        threads = _threads_for(values, out, threads)
        width = min(PANEL, -(-columns // threads))
        return run_blocks(work, cut(columns, width), threads)

    def adjoint(self, cotangent: FloatArray, out: FloatArray) -> None:
        """See `Evaluator.adjoint`."""
        t, h, co = self.tableau, self.solver.gaps.h, self.solver.co
        unit = self.solver.gaps.unit
        for j in range(cotangent.shape[1]):
            bar_g, bar_slope, bar_gamma = np.zeros((3, self.sources.size))
            c = cotangent[:, j].astype(np.float64)
            jet = (bar_g, bar_slope, bar_gamma, bar_gamma)
            base, tangent = jet[self.nu], jet[min(self.nu + 1, 3)]
            _reinsch.adjoint_evaluate_column(t.spans, t.weights, t.rows, c, base, tangent)
            bar_slope /= unit
            bar_gamma /= unit * unit
            _state_space.adjoint_smooth_column(h, co, bar_g, bar_slope, bar_gamma)
            np.add.at(out[:, j], self.sources, bar_g)


def _first_overflow(panel: Vector, dtype: np.dtype[np.floating]) -> int:
    """Give the first column of `panel` that holds a number that `dtype` cannot, or -1."""
    fits = np.abs(panel).max(axis=0, initial=0.0) <= np.finfo(dtype).max
    return -1 if fits.all() else int(fits.argmin())


def _threads_for(values: FloatArray, out: FloatArray, threads: int | None) -> int:
    """Give how many threads to use: at most what the caller allows; one for small work."""
    if threads is None and values.size + out.size < THREADS_FROM:
        return 1
    usable = usable_cpus()
    return usable if threads is None else min(threads, usable)
