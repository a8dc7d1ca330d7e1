"""The SIMD sweeps against the plain loops that they are the twin of, and against exact oracles."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastspline import Smoother
from fastspline._kernels import entries, sweep
from fastspline._kernels.blocks import STRIPS_UP_TO
from fastspline._kernels.vector import LANES
from fastspline._solvers.innovations import TABLE_NUMBERS, InnovationsSolver
from fastspline._solvers.state_space import StateSpaceSolver
from fastspline.arrays import STREAM_BYTES
from tests.oracles.splines import ExactSmoother, rounded

COLUMNS = [1, 2, LANES - 1, LANES, LANES + 1, 3 * LANES, 5 * LANES + 3]
DTYPES = [np.float32, np.float64]
SOLVERS = ["reinsch", "innovations", "state-space"]
PLANS = [
    ("reinsch", 1e-9, True),
    ("reinsch", 1e-4, False),
    ("innovations", 1e-4, None),
    ("innovations", 1.0, None),
    ("state-space", 1e-4, None),
]
SEGMENTED = 2 * sweep.SCRATCH_BYTES // (8 * LANES)  # knots of several segments


def plan_and_points(knots=11, points=17, lam=1e-4, seed=0, solver="reinsch"):
    rng = np.random.default_rng(seed)
    places = np.cumsum(rng.uniform(0.2, 1.8, knots)) / knots
    smoother = Smoother(places, lam=lam, weights=0.5 + rng.random(knots))
    return by(solver, smoother), rng.uniform(-0.2, 1.2, points)


def by(solver, smoother):
    """The plan, made to use `solver` where it would take another."""
    gaps = smoother._plan.solver.gaps
    if solver == "innovations":
        n = gaps.knots.size
        table = np.zeros(TABLE_NUMBERS * n)
        table[: n - 1] = gaps.h
        weights = gaps.weights / gaps.top if gaps.weights.size else np.ones(n)
        pull = gaps.scaled_lam / weights
        smoother._plan.solver = InnovationsSolver(gaps, table, pull, np.inf)
    if solver == "state-space":
        smoother._plan.solver = StateSpaceSolver.of(gaps)
    assert smoother.solver == solver
    return smoother


def by_plain_loops(operator, values):
    """What the plain loops give for each column, in double."""
    out, bound = np.empty((operator.shape[0], values.shape[1])), operator._evaluator
    doubles = values.astype(np.float64)
    assert bound.solver.apply_plainly(bound.tableau, bound.sources, doubles, out) == -1
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("nu", [0, 1, 2, 3])
@pytest.mark.parametrize(("solver", "lam", "in_single"), PLANS)
def test_equals_the_plain_loops(columns, dtype, nu, solver, lam, in_single):
    smoother, points = plan_and_points(lam=lam, solver=solver)
    operator = smoother.operator(points, nu=nu)
    if solver == "reinsch":
        assert smoother._plan.solver.in_single == in_single
    values = np.random.default_rng(1).standard_normal((11, columns)).astype(dtype)
    expected = by_plain_loops(operator, values)
    size = np.abs(operator.dense()).sum(axis=1).max()
    bound = 64 * np.finfo(dtype).eps * size
    assert np.abs(operator(values) - expected).max() <= bound


@pytest.mark.parametrize("knots", [2, 3, 4, 5, 30, SEGMENTED + 1])
@pytest.mark.parametrize("points", [1, 2, 50])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("columns", [2, LANES + 2])
def test_equals_the_plain_loops_at_all_sizes(knots, points, solver, columns):
    smoother, at = plan_and_points(knots, points, lam=0.0, seed=knots, solver=solver)
    operator = smoother.operator(at)
    values = np.random.default_rng(1).standard_normal((knots, columns))
    expected = by_plain_loops(operator, values)
    bound = 256 * np.finfo(float).eps * max(1.0, np.abs(expected).max())
    assert np.abs(operator(values) - expected).max() <= bound


@pytest.mark.parametrize("knots", [2, 3, 4, 5, 12])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 10.0])
@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize("solver", ["innovations", "state-space"])
def test_is_exact(knots, lam, unit, solver):
    """Against the thin-plate form at 100 digits; rounding is relative to the operator's rows."""
    rng = np.random.default_rng(knots)
    at, weights = np.sort(rng.random(knots)) * unit, 0.5 + rng.random(knots)
    lam *= unit**3
    smoother = by(solver, Smoother(at, lam=lam, weights=weights))
    oracle = ExactSmoother(at, lam=lam, weights=weights)
    points = np.r_[at, rng.uniform(-0.2, 1.2, 9) * unit]
    values = rng.standard_normal((knots, LANES + 1))
    shortest = np.diff(at).min()
    curvatures = np.abs(rounded(oracle.matrix(at, 2))).sum(axis=1).max()
    for nu in range(4):
        size = np.abs(rounded(oracle.matrix(points, nu))).sum(axis=1).max()
        if nu == 3:  # a difference of second derivatives, over a gap
            size = max(size, curvatures / shortest)
        difference = smoother.operator(points, nu=nu)(values) - oracle.evaluate(values, points, nu)
        assert np.abs(difference).max() <= 1e3 * np.finfo(float).eps * size * np.abs(values).max()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("columns", [1, LANES + 1])
@pytest.mark.parametrize("n", [2, 7, SEGMENTED])
def test_fit_gives_what_operators_give_at_the_knots(solver, columns, n):
    smoother, _ = plan_and_points(n, lam=0.0, solver=solver)
    values = np.random.default_rng(1).standard_normal((n, columns))
    *jet, bad = smoother._plan.solver.fit(smoother._plan.knots, np.arange(n), values)
    assert bad == -1
    for nu, part in enumerate(jet):
        assert np.array_equal(part, smoother.operator(smoother.knots, nu=nu)(values))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [0, 5, 10])
@pytest.mark.parametrize("column", [0, LANES, 5 * LANES + 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_names_what_is_not_finite(solver, dtype, row, column, value):
    smoother, points = plan_and_points(solver=solver)
    values = np.random.default_rng(1).standard_normal((11, 5 * LANES + 3)).astype(dtype)
    values[row, column] = value
    with pytest.raises(ValueError, match=rf"values\[{row}, {column}\] = {value}"):
        smoother.operator(points)(values)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, LANES + 1])
def test_refuses_what_overflows(solver, dtype, columns):
    smoother, _ = plan_and_points(solver=solver)
    values = np.zeros((11, columns), dtype)
    values[-1, -1] = np.finfo(dtype).max / 2
    operator = smoother.operator([0.1, 1e4, 0.3])  # one result overflows, others follow it
    with pytest.raises(ValueError, match="overflow"):
        operator(values)
    values[-1, -1] = np.finfo(dtype).max / 1e6
    assert np.isfinite(operator(values)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("odd", [0, 1, 7])
@pytest.mark.parametrize("offset", [0, 4, 8, 16, 60])
@pytest.mark.parametrize("solver", SOLVERS)
def test_streamed_and_staged_outputs_equal_small_ones(dtype, odd, offset, solver):
    """Outputs above STREAM_BYTES go past the caches, in whole lines or through staged panels.

    Where all rows begin alike within a line, the columns before the first whole one come first.
    """
    smoother, points = plan_and_points(solver=solver)
    operator = smoother.operator(points)
    itemsize = np.dtype(dtype).itemsize
    columns = STREAM_BYTES // (len(points) * itemsize) // 64 * 64 + 128 + odd
    values = np.random.default_rng(1).standard_normal((11, columns)).astype(dtype)
    memory = np.full(len(points) * columns * itemsize + 256, 77, np.uint8)
    start = -memory.ctypes.data % 64 + 64 + offset // itemsize * itemsize
    view = memory[start : start + len(points) * columns * itemsize]
    out = view.view(dtype).reshape(len(points), columns)
    assert operator(values, out=out, threads=2) is out
    some = np.r_[0:40, columns - 40 : columns]
    assert np.array_equal(out[:, some], operator(values[:, some]))
    assert (memory[:start] == 77).all(), "written before out"
    assert (memory[start + view.size :] == 77).all(), "written behind out"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("column", [0, 2, 3, 40, -1])
def test_names_what_is_not_finite_where_it_streams(dtype, column):
    smoother, points = plan_and_points()
    columns = STREAM_BYTES // (len(points) * np.dtype(dtype).itemsize) // 64 * 64 + 128
    values = np.zeros((11, columns), dtype)
    values[5, column] = np.nan
    memory = np.empty(len(points) * columns + 32, dtype)
    start = (-memory.ctypes.data % 64 + 64) // memory.itemsize - 3  # three columns before a line
    out = memory[start : start + len(points) * columns].reshape(len(points), columns)
    with pytest.raises(ValueError, match=rf"values\[5, {column % columns}\] = nan"):
        smoother.operator(points)(values, out=out)


@pytest.mark.parametrize("offset", [0, 16, 24])
@pytest.mark.parametrize("odd", [0, 1])
def test_rows_of_large_results_begin_as_those_that_are_read(offset, odd):
    smoother, points = plan_and_points()
    columns = STREAM_BYTES // (11 * 8) // 64 * 64 + 64 + odd
    memory = np.zeros(11 * columns + 16)
    start = (-memory.ctypes.data % 64 + offset) // 8
    values = memory[start : start + 11 * columns].reshape(11, columns)
    result = smoother.operator(points)(values)
    assert result.ctypes.data % 64 == (0 if odd else offset)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_layouts_compile_nothing_more(dtype, solver):
    smoother, points = plan_and_points(solver=solver)
    operator = smoother.operator(points)
    values = np.random.default_rng(1).standard_normal((11, 40)).astype(dtype)
    read_only = values.copy()
    read_only.flags.writeable = False
    wide = np.zeros((22, 80), dtype)
    wide[::2, ::2] = values
    variants = [values, np.asfortranarray(values), read_only, wide[::2, ::2], values[::-1][::-1]]
    results = [operator(variant) for variant in variants]
    operator.gather(np.arange(11), 11)(values)
    by(solver, Smoother(smoother.knots, lam=0.0)).operator([0.1])(values[:, 0])
    assert all(np.array_equal(result, results[0]) for result in results)
    sweeps = {
        "reinsch": [sweep.sweep_f4, sweep.sweep_f4_single, sweep.sweep_f8],
        "innovations": [sweep.sweep_innovations_f4, sweep.sweep_innovations_f8],
        "state-space": [sweep.sweep_state_space_f4, sweep.sweep_state_space_f8],
    }[solver]
    assert all(len(compiled.signatures) <= 1 for compiled in sweeps)
    assert any(len(compiled.signatures) == 1 for compiled in sweeps)
    assert len(entries.run.signatures) <= 2


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_operator_serves_many_column_counts_bit_for_bit(solver, dtype):
    smoother, points = plan_and_points(solver=solver)
    operator = smoother.operator(points)
    values = np.random.default_rng(1).standard_normal((11, 70)).astype(dtype)
    whole = operator(values)
    for columns in range(1, 70):
        assert np.array_equal(operator(values[:, :columns].copy()), whole[:, :columns])


@pytest.mark.parametrize("lam_of_gaps", [0.0, 0.01, 1.0, 1.9])
@pytest.mark.parametrize("kind", ["equidistant", "chebyshev"])
def test_float32_recurrences_lose_nothing(lam_of_gaps, kind):
    """Within 4 ulps of double, relative to max |values|, where the operator's rows are tame."""
    knots = (
        np.linspace(-1, 1, 100) if kind == "equidistant" else -np.cos(np.linspace(0, np.pi, 100))
    )
    smoother = Smoother(knots, lam=lam_of_gaps * np.diff(knots).min() ** 3)
    assert smoother._plan.solver.in_single
    operator = smoother.operator(np.linspace(-1, 1, 77))
    values = np.random.default_rng(0).choice([-1.0, 1.0], (100, 1000)).astype(np.float32)
    difference = operator(values) - operator(values.astype(np.float64))
    assert np.abs(difference).max() <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("lam_of_gaps", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("kind", ["equidistant", "chebyshev"])
@pytest.mark.parametrize("solver", ["innovations", "state-space"])
def test_float32_evaluation_loses_nothing(lam_of_gaps, kind, solver):
    """Within 4 ulps of double, relative to max |values|."""
    knots = (
        np.linspace(-1, 1, 100) if kind == "equidistant" else -np.cos(np.linspace(0, np.pi, 100))
    )
    lam = lam_of_gaps * np.diff(knots).min() ** 3
    operator = by(solver, Smoother(knots, lam=lam)).operator(np.linspace(-1, 1, 77))
    values = np.random.default_rng(0).choice([-1.0, 1.0], (100, 1000)).astype(np.float32)
    difference = operator(values) - operator(values.astype(np.float64))
    assert np.abs(difference).max() <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("kind", ["chebyshev", "random", "ratios"])
@pytest.mark.parametrize("nu", [0, 2])
def test_reinsch_in_double_loses_nothing_of_float32(kind, nu):
    """Values, curvatures and their adjoints, relative to the largest result."""
    rng, values = np.random.default_rng(1), np.random.default_rng(0).choice([-1.0, 1.0], (60, 200))
    gaps = {
        "chebyshev": np.diff(-np.cos(np.linspace(0, np.pi, 60))),
        "random": rng.exponential(size=59) + 1e-2,
        "ratios": 10.0 ** rng.uniform(-2, 0, 59),
    }[kind]
    knots = np.concatenate([[0.0], gaps.cumsum()])
    points = np.sort(rng.uniform(0.0, knots[-1], 50))
    for kappa in (1e3, 1e6, 5e8):
        smoother = Smoother(knots, lam=kappa * gaps.min() ** 3)
        assert smoother.solver == "innovations"
        operator = smoother.operator(points, nu=nu)
        for apply, rows in ((operator, values), (operator.adjoint, values[:50])):
            single, double = apply(rows.astype(np.float32)), apply(rows)
            size = np.abs(double).max() if nu else max(1.0, np.abs(double).max())
            assert np.abs(single - double).max() <= 4 * np.finfo(np.float32).eps * size
        assert operator._evaluator.prepared[np.dtype(np.float32)].kernel.sweep is sweep.sweep_f4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("knots", [40, STRIPS_UP_TO + 80])
@pytest.mark.parametrize("odd", [0, 5])
def test_large_inputs_equal_small_ones(dtype, knots, odd):
    """Inputs are asked for ahead: along the rows, or within them where many."""
    smoother, points = plan_and_points(knots, 3, lam=0.0)
    order = np.random.default_rng(2).permutation(knots)
    operator = smoother.operator(points).gather(order, knots)
    columns = (4 << 20) // (knots * np.dtype(dtype).itemsize) // 64 * 64 + 64 + odd
    values = np.random.default_rng(1).standard_normal((knots, columns)).astype(dtype)
    whole = operator(values, threads=2)
    for first in (0, columns // 2, columns - 40):
        some = values[:, first : first + 40].copy()
        assert np.array_equal(operator(some), whole[:, first : first + 40])


PEAK = """
import resource, sys
import numpy as np
from fastspline import Smoother
from fastspline._kernels import sweep

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

n, m, columns, dtype = {case}
x, s = np.linspace(0.0, 1.0, n), np.linspace(0.0, 1.0, m)
few = Smoother(x[:9], lam=0.0, weights=np.ones(9)).operator(s[:9])
few(np.ones((9, 3), dtype))  # compiled, or read from the cache
values = np.ones((n, columns), dtype)
before = peak()
result = Smoother(x, lam=0.0, weights=np.ones(n)).operator(s)(values, threads=2)
print(peak() - before - result.nbytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="ru_maxrss is POSIX's")
@pytest.mark.parametrize(
    ("case", "numbers_a_knot"),
    [((200_000, 200_000, 50, "float64"), 30), ((20, 100, 1_000_000, "float32"), 0)],
)
def test_memory_is_input_and_output_and_a_plan(case, numbers_a_knot):
    """Beyond values and result only what a plan holds, and scratch of a few caches' size."""
    code = PEAK.format(case=case)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= numbers_a_knot * 8 * case[0] + (24 << 20)


COMPILE_ONE = """
from fastspline._kernels import entries, sweep
entries.find_entry(sweep.{name})
"""

USE_ALL = """
import numpy as np
from fastspline import Smoother
x, y = np.linspace(0.0, 1.0, 9), np.cos(np.arange(27.0)).reshape(9, 3)
for lam, solver in ((1e-4, "reinsch"), (1e15, "innovations"), (1e99, "state-space")):
    operator = Smoother(x, lam=lam).operator(x)
    assert Smoother(x, lam=lam).solver == solver
    plain, bound = np.empty((9, 3)), operator._evaluator
    bound.solver.apply_plainly(bound.tableau, bound.sources, y, plain)
    for _ in range(2):
        assert np.abs(operator(y) - plain).max() < 1e-13, solver
"""


@pytest.mark.outer
def test_a_cache_filled_by_several_processes_keeps_the_kernels_apart(tmp_path):
    """Each process counts from 1 what it compiles, so kernels need more than numbers."""
    names = [name for name in vars(sweep) if name.startswith("sweep_")]
    assert len({getattr(sweep, name).py_func.__qualname__ for name in names}) == len(names) == 10
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for code in (
        COMPILE_ONE.format(name="sweep_f8"),
        COMPILE_ONE.format(name="sweep_state_space_f8"),
        USE_ALL,
    ):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
