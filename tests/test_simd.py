"""The SIMD sweeps against the plain loops that they are the twin of."""

import numpy as np
import pytest

from fastspline import Smoother, _simd
from fastspline._reinsch import evaluate_column, smooth_column
from fastspline._solvers import STREAM_BYTES

LANES = _simd.LANES
COLUMNS = [1, 2, LANES - 1, LANES, LANES + 1, 3 * LANES, 5 * LANES + 3]
DTYPES = [np.float32, np.float64]


def plan_and_points(knots=11, points=17, lam=1e-4, seed=0):
    rng = np.random.default_rng(seed)
    smoother = Smoother(np.sort(rng.random(knots)), lam=lam, weights=0.5 + rng.random(knots))
    return smoother, rng.uniform(-0.2, 1.2, points)


def by_plain_loops(operator, values):
    """What the plain loops give for each column, in double."""
    evaluator = operator._evaluator
    solver, t = evaluator.solver, evaluator.tableau
    out = np.empty((operator.shape[0], values.shape[1]))
    g, gamma, column = np.empty(operator.shape[1]), np.empty(operator.shape[1]), np.empty(t.m)
    for j in range(values.shape[1]):
        y = values[:, j].astype(np.float64)
        assert smooth_column(solver.forward, solver.backward, y, g, gamma)
        evaluate_column(t.spans, t.weights, t.rows, g, gamma, column)
        out[:, j] = column
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("nu", [0, 1, 2, 3])
@pytest.mark.parametrize(("lam", "in_single"), [(1e-9, True), (1e-4, False)])
def test_equals_the_plain_loops(columns, dtype, nu, lam, in_single):
    smoother, points = plan_and_points(lam=lam)
    operator = smoother.operator(points, nu=nu)
    assert smoother.solver == "reinsch"
    assert smoother._solver.in_single == in_single
    values = np.random.default_rng(1).standard_normal((11, columns)).astype(dtype)
    expected = by_plain_loops(operator, values)
    size = np.abs(operator.dense()).sum(axis=1).max()
    bound = 64 * np.finfo(dtype).eps * size
    assert np.abs(operator(values) - expected).max() <= bound


@pytest.mark.parametrize("knots", [2, 3, 4, 5, 30])
@pytest.mark.parametrize("points", [1, 2, 50])
def test_equals_the_plain_loops_at_all_sizes(knots, points):
    smoother, at = plan_and_points(knots, points, lam=0.0, seed=knots)
    operator = smoother.operator(at)
    values = np.random.default_rng(1).standard_normal((knots, LANES + 2))
    size = np.abs(operator.dense()).sum(axis=1).max()
    difference = operator(values) - by_plain_loops(operator, values)
    assert np.abs(difference).max() <= 64 * np.finfo(float).eps * size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("odd", [0, 1, 7])
@pytest.mark.parametrize("offset", [0, 4, 8])
def test_streamed_and_staged_outputs_equal_small_ones(dtype, odd, offset):
    """Outputs above STREAM_BYTES go past the caches, in whole lines or through staged panels."""
    smoother, points = plan_and_points()
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
def test_layouts_compile_nothing_more(dtype):
    smoother, points = plan_and_points()
    operator = smoother.operator(points)
    values = np.random.default_rng(1).standard_normal((11, 40)).astype(dtype)
    read_only = values.copy()
    read_only.flags.writeable = False
    wide = np.zeros((22, 80), dtype)
    wide[::2, ::2] = values
    variants = [values, np.asfortranarray(values), read_only, wide[::2, ::2], values[::-1][::-1]]
    results = [operator(variant) for variant in variants]
    operator.gather(np.arange(11), 11)(values)
    Smoother(smoother.knots, lam=0.0).operator([0.1])(values[:, 0])
    assert all(np.array_equal(result, results[0]) for result in results)
    sweeps = _simd.sweep_f4, _simd.sweep_f4_single, _simd.sweep_f8
    quick = _simd.apply_f4, _simd.apply_f4_single, _simd.apply_f8
    assert all(len(compiled.signatures) <= 1 for compiled in (*sweeps, *quick))
    assert any(len(compiled.signatures) == 1 for compiled in sweeps)


def test_one_operator_serves_many_column_counts_bit_for_bit():
    smoother, points = plan_and_points()
    operator = smoother.operator(points)
    values = np.random.default_rng(1).standard_normal((11, 70))
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
    assert smoother._solver.in_single
    operator = smoother.operator(np.linspace(-1, 1, 77))
    values = np.random.default_rng(0).choice([-1.0, 1.0], (100, 1000)).astype(np.float32)
    difference = operator(values) - operator(values.astype(np.float64))
    assert np.abs(difference).max() <= 4 * np.finfo(np.float32).eps
