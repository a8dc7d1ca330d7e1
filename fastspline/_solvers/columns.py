"""Drives a compiled sweep over blocks of columns and threads, whichever recurrence it runs."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache, cached_property
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from fastspline._kernels.addresses import JET, list_addresses
from fastspline._kernels.entries import REFUSED, find_entry, find_run, list_numbers
from fastspline._kernels.state_space import add_rows
from fastspline._kernels.tables import bind_points
from fastspline._solvers.tableau import ALL_ONE, NO_ROWS, Gaps, Rows, Tableau, Vector
from fastspline._threads import cut, default_threads, run_blocks, usable_cpus
from fastspline.arrays import STREAM_BYTES, FloatArray, empty_aligned, require_finite
from fastspline.jit import INTERPRETED

Run: TypeAlias = Callable[[int, int, int], int]
Sweep: TypeAlias = Callable[..., int]
Pull: TypeAlias = Callable[[Vector], Vector]
DType: TypeAlias = "np.dtype[np.floating]"

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)

ALONE_BYTES = 5_000_000  # read and written, below which a second thread does not pay
AT_ONCE_BYTES = 4_000_000  # likewise, below which no result is stored past the caches
STREAM_SAFE = platform.machine().lower() in ("x86_64", "amd64")
STAGE_BYTES = 256 << 10  # what a staged panel may fill of the second-level cache
STAGE_ROW_BYTES = 512  # narrower panels store faster without streaming
BLOCKS_A_THREAD = 4  # to even out a busy machine
BLOCK_BYTES = 2_000_000  # read and written: less is done before another thread has woken up
FEW = 8  # blocks of columns below which a masked one costs more than stores past the cache save
PANEL_NUMBERS = 16_384  # numbers in one array of a panel, to stay in the second-level cache
LEAST_PANEL = 8
TRANSPOSED = 256  # columns copied at a time where rows are not contiguous
NOWHERE = np.empty(0)


class Kernel:
    """A compiled sweep, its lanes, the types that it computes in.

    Parameters
    ----------
    sweep : compiled function
    lanes : int
    state, points : dtype
        Of its recurrences, and of what is evaluated between knots.
    """

    def __init__(self, sweep: Sweep, lanes: int, state: DType = F8, points: DType = F8) -> None:
        self.sweep, self.lanes, self.state, self.points = sweep, lanes, state, points

    @cached_property
    def entry(self) -> int:
        """Where its code lies."""
        at: int = find_entry(self.sweep)  # type: ignore[no-untyped-call]
        return at


@cache
def runner() -> Run:
    """Give what runs a sweep on small arrays: it takes the `id` of `list_for` and of arrays."""
    found: Run = find_run()  # type: ignore[no-untyped-call]
    return found


class Prepared(NamedTuple):
    """What a sweep starts from: addresses, and the arrays that lie there, which it keeps alive.

    It does not write the rows `idle` of its result.
    """

    kernel: Kernel
    knots: int
    tables: int
    kept: tuple[FloatArray | Rows, ...]
    idle: Rows = NO_ROWS


def list_for(prepared: Prepared, rows: int, reads: int, size: int) -> tuple[bytes, int]:
    """List what `run` starts from: `rows` written and `reads` read, of numbers of `size` bytes.

    Gives from how many columns on it refuses, too.
    """
    kernel, knots, tables, *_ = prepared
    most = AT_ONCE_BYTES // ((rows + reads) * size)
    return list_numbers(kernel.entry, knots, tables, rows, reads, size, most), most


def prepare(
    kernel: Kernel,
    forward: FloatArray,
    backward: FloatArray,
    sources: Rows,
    tableau: Tableau,
    tables: Rows,
) -> Prepared:
    """List what `kernel` starts from; see `addresses`."""
    t = tableau
    weights: FloatArray = t.weights
    if kernel.points == F4:
        with np.errstate(over="ignore"):  # an infinite weight is noticed in the sweep
            weights = weights.astype(F4)
    spans, needed, rows = t.spans, t.needed, t.rows
    address: int = list_addresses(forward, backward, sources, spans, needed, weights, rows, tables)
    kept = (forward, backward, sources, t.places, weights, tables)
    return Prepared(kernel, t.n, address, kept)


class Sweepable(Protocol):
    """A factored plan whose recurrences a compiled sweep runs."""

    gaps: Gaps
    table: Vector

    def at(self, points: Vector, nu: int, sources: Rows) -> SweepEvaluator:
        """See `Solver.at`."""

    def prepare(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """List what the sweep for columns of `dtype` starts from."""

    def apply_plainly(
        self, tableau: Tableau, sources: Rows, values: FloatArray, out: FloatArray
    ) -> int:
        """Do what the sweep does by the plain loops."""

    def prepare_adjoint(self, tableau: Tableau, sources: Rows, dtype: DType) -> Prepared:
        """List what the sweep of the transpose starts from, for cotangents of `dtype`."""

    def pull_plainly(self, tableau: Tableau, cotangent: Vector) -> Vector:
        """Give the cotangents of values at the knots by the plain loops, from those of results."""


class SweepEvaluator:
    """Drives the SIMD sweep over blocks of columns; the plain loops where numba is switched off."""

    __slots__ = ("prepared", "solver", "sources", "tableau", "transposed")

    def __init__(
        self, solver: Sweepable, tableau: Tableau, sources: Rows, bound: Prepared | None = None
    ) -> None:
        self.solver, self.tableau, self.sources = solver, tableau, sources
        self.transposed: dict[DType, Prepared] = {}
        self.prepared: dict[DType, Prepared] = {}
        if not INTERPRETED:
            self.prepared[F8] = solver.prepare(tableau, sources, F8) if bound is None else bound

    def _prepare(self, dtype: DType) -> Prepared:
        """List what the sweep for `dtype` starts from.

        Two threads may both do so; what is published first is never replaced, since a kernel may
        be at work on it.
        """
        made = self.solver.prepare(self.tableau, self.sources, dtype)
        return self.prepared.setdefault(dtype, made)

    def reading(self, sources: Rows) -> SweepEvaluator:
        """See `Evaluator.reading`."""
        return SweepEvaluator(self.solver, self.tableau, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        if INTERPRETED:
            return self.solver.apply_plainly(self.tableau, self.sources, values, out)
        prepared = self.prepared.get(values.dtype) or self._prepare(values.dtype)
        return sweep_columns(prepared, values, out, threads)

    def adjoint(self, cotangent: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.adjoint`."""
        prepared = self.transposed.get(cotangent.dtype)
        if prepared is None and not INTERPRETED:
            prepared = self._prepare_adjoint(cotangent.dtype, len(out))
        if prepared is not None:
            bad = sweep_columns(prepared, cotangent, out, threads)
            out[prepared.idle] = 0.0
            return bad
        return add_panels(self._pull, self.sources, cotangent, out, threads)

    def _prepare_adjoint(self, dtype: DType, n_rows: int) -> Prepared | None:
        """List what the transposed sweep starts from, unless knots read a row in common."""
        counts = np.bincount(self.sources, minlength=n_rows)
        if counts.max(initial=0) > 1:
            return None
        made = self.solver.prepare_adjoint(self.tableau, self.sources, dtype)
        made = made._replace(idle=np.flatnonzero(counts == 0))
        return self.transposed.setdefault(dtype, made)

    def _pull(self, cotangent: Vector) -> Vector:
        """Give the cotangents of values at the knots, each of its own."""
        if INTERPRETED:
            return self.solver.pull_plainly(self.tableau, cotangent)
        own = self.solver.prepare_adjoint(self.tableau, np.arange(self.tableau.n), F8)
        pulled = np.empty((self.tableau.n, cotangent.shape[1]))
        if sweep_columns(own, cotangent, pulled, 1) >= 0:
            pulled[:] = np.nan  # the sums tell
        return pulled


def bind(
    solver: Sweepable,
    points: Vector,
    nu: int,
    sources: Rows,
    kernel: Kernel,
    forward_at: int,
    backward_at: int,
    *,
    by_slope: bool,
) -> SweepEvaluator:
    """Bind a plan to points, for columns in double; see `bind_points`."""
    gaps, table = solver.gaps, solver.table
    n = gaps.knots.size
    t = Tableau(n, points, nu)
    address = bind_points(
        gaps.knots, table, forward_at, backward_at, gaps.unit, ALL_ONE, by_slope, points, nu,
        sources, t.places, t.weights,
    )  # fmt: skip
    if address < 0:
        require_finite(points, "points")
    bound = Prepared(kernel, n, address, (table, sources, t.places, t.weights))
    return SweepEvaluator(solver, t, sources, bound)


def fit_jets(
    solver: Sweepable, knots: Vector, sources: Rows, values: FloatArray
) -> tuple[Vector, Vector, Vector, int]:
    """See `Solver.fit`: one sweep for `JET` gives all three, unless some knots have no data."""
    n = knots.size
    out: Vector = empty_aligned(3 * n, values.shape[1], F8)  # type: ignore[assignment]
    jet = out[:n], out[n : 2 * n], out[2 * n :]
    doubles = values if values.dtype == F8 else values.astype(F8)
    if n == solver.gaps.knots.size:
        everywhere = solver.at(NOWHERE, JET, sources)
        everywhere.tableau.needed[:] = 1
        return *jet, everywhere.apply(doubles, out, None)
    bad = -1
    for nu, part in enumerate(jet):
        if bad < 0:
            bad = solver.at(knots, nu, sources).apply(doubles, part, None)
    return *jet, bad


def sweep_columns(
    prepared: Prepared, values: FloatArray, out: FloatArray, threads: int | None
) -> int:
    """Sweep columns, (rows, columns) both; give a bad column or -1."""
    kernel, knots, tables, *_ = prepared
    if values.shape[1] == 0:
        return -1
    if threads in {None, 1}:
        listed, _ = list_for(prepared, len(out), len(values), values.itemsize)
        done = runner()(id(listed), id(values), id(out))
        if done != REFUSED:
            return done
    size, columns, rows = values.itemsize, values.shape[1], out.shape[0]
    row_bytes = size * kernel.lanes
    stream, panel, head = STREAM_SAFE and out.nbytes > STREAM_BYTES, 0, 0
    if stream and columns >= FEW * kernel.lanes and out.strides[0] % 64 == row_bytes % 64 == 0:
        head = -out.ctypes.data % 64 // size  # columns before the first whole line of every row
    elif stream:
        panel = min(STAGE_BYTES // rows, 1024) // row_bytes * kernel.lanes
        stream = panel * size >= STAGE_ROW_BYTES and columns >= panel
        panel = panel if stream else 0

    is_plain = values.flags.aligned and (columns == 1 or values.strides[1] == size)
    place, target = values.ctypes.data if is_plain else 0, out.ctypes.data

    def work(first: int, stop: int) -> int:
        if first > 0 or head == 0:
            return sweep(head + first, head + stop, int(stream))
        bad = sweep(0, head, 0)
        return bad if bad >= 0 else sweep(head, head + stop, int(stream))

    def sweep(first: int, stop: int, stream: int) -> int:
        block, at = values, place + first * size
        if not is_plain:
            block = np.array(values[:, first:stop], order="C")
            at = block.ctypes.data
        bad: int = kernel.sweep(
            at, block.strides[0], target + first * size, out.strides[0], stop - first,
            knots, rows, tables, stream, panel,
        )  # fmt: skip
        return bad if bad < 0 else first + bad

    threads = threads_for(values, out, threads)
    width = columns - head
    if threads > 1:
        blocks = (values.nbytes + out.nbytes) // BLOCK_BYTES
        blocks = min(max(blocks, threads), threads * BLOCKS_A_THREAD)
        width = -(-width // (blocks * 64)) * 64  # whole cache lines
    if not is_plain:
        width = min(width, TRANSPOSED)
    return run_blocks(work, cut(columns - head, width), threads)


def threads_for(values: FloatArray, out: FloatArray, threads: int | None) -> int:
    """Give how many threads to use: at most what the caller allows; one for small work."""
    if threads is None and values.nbytes + out.nbytes < ALONE_BYTES:
        return 1
    return default_threads() if threads is None else min(threads, usable_cpus())


def panel_width(n: int) -> int:
    """Give how many columns of n numbers a panel holds."""
    return max(PANEL_NUMBERS // n, LEAST_PANEL)


def add_panels(
    pull: Pull, sources: Rows, cotangent: FloatArray, out: FloatArray, threads: int | None
) -> int:
    """Add row i of what `pull` gives of panels of columns, in double, to row ``sources[i]`` of 0.

    Gives a column whose sums are not finite in the dtype of `out`, or -1.
    """

    def work(first: int, stop: int) -> int:
        pulled = pull(np.ascontiguousarray(cotangent[:, first:stop], F8))
        sums = np.zeros((len(out), stop - first))
        with np.errstate(all="ignore"):  # told below
            add_rows(sources, np.ascontiguousarray(pulled), sums)
        bad = first_overflow(sums, out.dtype)
        if bad < 0:
            out[:, first:stop] = sums
        return bad if bad < 0 else first + bad

    width = panel_width(max(sources.size, len(cotangent)))
    threads = threads_for(cotangent, out, threads)
    return run_blocks(work, cut(cotangent.shape[1], width), threads)


def first_overflow(panel: Vector, dtype: DType) -> int:
    """Give the first column of `panel` that holds a number that `dtype` cannot, or -1."""
    fits = np.abs(panel).max(axis=0, initial=0.0) <= np.finfo(dtype).max
    return -1 if fits.all() else int(fits.argmin())
