"""The transpose of an operator: against its matrix, its plain loops, and the operator itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastspline import Smoother
from fastspline._kernels import adjoint_sweep, sweep
from fastspline._kernels.blocks import STRIPS_UP_TO
from fastspline._kernels.vector import LANES
from fastspline._solvers.reinsch import CROWD_SINGLE
from fastspline.arrays import STREAM_BYTES
from tests.fastspline.kernels.test_sweep import (
    COLUMNS,
    DTYPES,
    PLANS,
    SEGMENTED,
    SOLVERS,
    plan_and_points,
)

BOUNDARIES = {
    "natural": {},
    "slopes": {"bc": ("slope", 0.5, -2.0)},
    "periodic": {"bc": "periodic"},
    "roughness": {"roughness": "drawn"},
}


def random_plan(rng, n, lam, **options):
    knots = np.cumsum(rng.uniform(0.3, 1.7, n)) / n
    if "roughness" in options:
        options["roughness"] = 0.5 + rng.random(n - 1)
    return Smoother(knots, lam=lam / n**3, weights=0.5 + rng.random(n), **options)


def points_of(smoother, rng, m):
    """Some knots, points between them, repeated ones, and some beyond the ends."""
    knots = smoother.knots
    inside = rng.uniform(knots[0], knots[-1], m)
    beyond = [knots[0] - 0.3, knots[-1] + 0.2]
    return rng.permutation(np.concatenate([rng.choice(knots, m), inside, inside[:1], beyond]))


def by_plain_loops(operator, cotangent):
    """What the plain loops give for each column, in double."""
    bound = operator._evaluator
    pulled = bound.solver.pull_plainly(bound.tableau, cotangent.astype(np.float64))
    sums = np.zeros((operator.shape[1], cotangent.shape[1]))
    np.add.at(sums, bound.sources, pulled)
    return sums


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1.0, 1e5, np.inf])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 17, 60])
def test_equals_the_matrix_transposed(boundary, lam, n):
    rng = np.random.default_rng(n)
    smoother = random_plan(rng, n, lam, **BOUNDARIES[boundary])
    for nu in range(4):
        operator = smoother.operator(points_of(smoother, rng, 9), nu=nu)
        matrix = operator.dense()
        cotangent = rng.standard_normal((len(matrix), LANES + 3))
        bound = 1e-12 * max(1.0, np.abs(matrix).max()) * len(matrix)  # slopes are of size 1
        assert np.abs(operator.adjoint(cotangent) - matrix.T @ cotangent).max() <= bound, nu


@given(
    st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 30), st.integers(1, 3 * LANES),
    st.sampled_from([0.0, 1e-3, 1.0, 1e4, np.inf]), st.sampled_from(list(BOUNDARIES)),
    st.sampled_from(DTYPES), st.booleans(),
)  # fmt: skip
def test_products_agree(seed, n, m, columns, lam, boundary, dtype, gathers):
    """<S x, z> = <x, S' z>, of the linear part where slopes are given."""
    rng = np.random.default_rng(seed)
    smoother = random_plan(rng, n, lam, **BOUNDARIES[boundary])
    operator = smoother.operator(points_of(smoother, rng, m))
    if gathers:  # rows that several knots read, others that none does
        operator = operator.gather(rng.integers(0, n + 2, n), n + 2)
    values = rng.standard_normal((operator.shape[1], columns)).astype(dtype)
    cotangent = rng.standard_normal((operator.shape[0], columns)).astype(dtype)
    there = (operator(values) - operator(0 * values)) * cotangent.astype(np.float64)
    back = values.astype(np.float64) * operator.adjoint(cotangent)
    size = np.abs(values).max() * (np.abs(operator.dense()).sum(axis=1) @ np.abs(cotangent)).sum()
    rounding = {np.float64: 1e-13, np.float32: 8 * np.finfo(np.float32).eps}[dtype]
    constant = np.abs(operator(0 * values)).max() * np.abs(cotangent).sum()
    assert abs(there.sum() - back.sum()) <= rounding * (size + constant)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("nu", [0, 1, 2, 3])
@pytest.mark.parametrize(("solver", "lam", "in_single"), PLANS)
def test_equals_the_plain_loops(columns, dtype, nu, solver, lam, in_single):
    del in_single
    smoother, points = plan_and_points(lam=lam, solver=solver)
    operator = smoother.operator(points, nu=nu)
    cotangent = np.random.default_rng(1).standard_normal((17, columns)).astype(dtype)
    size = np.abs(operator.dense()).sum(axis=0).max() * np.abs(cotangent).max()
    difference = operator.adjoint(cotangent) - by_plain_loops(operator, cotangent)
    assert np.abs(difference).max() <= 64 * np.finfo(dtype).eps * size


@pytest.mark.parametrize("knots", [2, 3, 4, 5, 30, SEGMENTED + 1])
@pytest.mark.parametrize("points", [1, 2, 50, 3000])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("nu", [0, 2])
def test_equals_the_plain_loops_at_all_sizes(knots, points, solver, nu):
    smoother, at = plan_and_points(knots, points, lam=0.0, seed=knots, solver=solver)
    operator = smoother.operator(at, nu=nu)
    cotangent = np.random.default_rng(1).standard_normal((points, LANES + 2))
    expected = by_plain_loops(operator, cotangent)
    bound = 256 * np.finfo(float).eps * np.abs(expected).max()
    assert np.abs(operator.adjoint(cotangent) - expected).max() <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("repeats", [False, True])
def test_rows_that_no_knot_reads_get_nothing(dtype, solver, repeats):
    smoother, points = plan_and_points(solver=solver)
    index = np.arange(11)[::-1] + 2
    index[3] = index[4] if repeats else index[3]
    operator = smoother.operator(points)
    gathered = operator.gather(index, 15)
    for columns in (1, 40, STREAM_BYTES // 60 + 5):
        cotangent = np.random.default_rng(1).standard_normal((17, columns)).astype(dtype)
        expected = np.zeros((15, columns))
        np.add.at(expected, index, operator.adjoint(cotangent).astype(np.float64))
        out = np.full((15, columns), np.nan, dtype)
        assert gathered.adjoint(cotangent, out=out) is out
        bound = 4 * np.finfo(dtype).eps * np.abs(expected).max()
        assert np.abs(out - expected).max() <= bound
        assert not out[[0, 1, 13, 14]].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("odd", [0, 1, 7])
@pytest.mark.parametrize("offset", [0, 8])
@pytest.mark.parametrize("solver", SOLVERS)
def test_streamed_and_staged_results_equal_small_ones(dtype, odd, offset, solver):
    smoother, points = plan_and_points(solver=solver)
    operator = smoother.operator(points)
    itemsize = np.dtype(dtype).itemsize
    columns = STREAM_BYTES // (11 * itemsize) // 64 * 64 + 128 + odd
    cotangent = np.random.default_rng(1).standard_normal((17, columns)).astype(dtype)
    memory = np.full(11 * columns * itemsize + 256, 77, np.uint8)
    start = -memory.ctypes.data % 64 + 64 + offset
    view = memory[start : start + 11 * columns * itemsize]
    out = view.view(dtype).reshape(11, columns)
    assert operator.adjoint(cotangent, out=out, threads=2) is out
    for first in (0, columns // 2, columns - 40):
        some = slice(first, first + 40)
        np.testing.assert_array_equal(out[:, some], operator.adjoint(cotangent[:, some]))
    assert (memory[:start] == 77).all(), "written before out"
    assert (memory[start + view.size :] == 77).all(), "written behind out"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("points", [40, STRIPS_UP_TO + 80])
@pytest.mark.parametrize("odd", [0, 5])
def test_large_cotangents_equal_small_ones(dtype, points, odd):
    """They are asked for ahead: along the rows, or within them where many."""
    smoother, at = plan_and_points(9, points, lam=0.0)
    operator = smoother.operator(at)
    columns = (4 << 20) // (points * np.dtype(dtype).itemsize) + 100 + odd
    cotangent = np.random.default_rng(1).standard_normal((points, columns)).astype(dtype)
    whole = operator.adjoint(cotangent, threads=2)
    for first in (0, columns // 2, columns - 40):
        some = cotangent[:, first : first + 40].copy()
        np.testing.assert_array_equal(operator.adjoint(some), whole[:, first : first + 40])


@pytest.mark.parametrize("solver", [*SOLVERS, "periodic"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nu", [0, 1, 2, 3])
@pytest.mark.parametrize("column", [0, LANES, 5 * LANES + 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_names_what_is_not_finite(solver, dtype, nu, column, value):
    smoother, points = plan_and_points(solver="reinsch" if solver == "periodic" else solver)
    if solver == "periodic":
        smoother = Smoother(smoother.knots, lam=1e-4, bc="periodic")
    points = np.r_[points, smoother.knots, smoother.knots[-1]]
    operator = smoother.operator(points, nu=nu)
    for row in range(len(points)):
        cotangent = np.random.default_rng(1).standard_normal((len(points), 5 * LANES + 3))
        cotangent = cotangent.astype(dtype)
        cotangent[row, column] = value
        with pytest.raises(ValueError, match=rf"cotangent\[{row}, {column}\] = {value}"):
            operator.adjoint(cotangent)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, LANES + 1])
@pytest.mark.parametrize("gathers", [False, True])
def test_refuses_what_overflows(solver, dtype, columns, gathers):
    smoother, _ = plan_and_points(solver=solver)
    operator = smoother.operator(np.full(4, smoother.knots[0]))
    if gathers:
        operator = operator.gather(np.zeros(11, int), 1)
    cotangent = np.zeros((4, columns), dtype)
    cotangent[:, -1] = np.finfo(dtype).max / 2
    with pytest.raises(ValueError, match="cotangent overflows"):
        operator.adjoint(cotangent)
    cotangent /= 1e6
    assert np.isfinite(operator.adjoint(cotangent)).all()


@pytest.mark.parametrize("lam_of_gaps", [0.0, 1.0, 1e6])
@pytest.mark.parametrize("m", [77, 9 * CROWD_SINGLE, 20_000])
def test_float32_loses_nothing(lam_of_gaps, m):
    """Within 4 ulps of double, as the operator is, relative to max |cotangent| and the columns."""
    knots = np.linspace(-1, 1, 10)
    operator = Smoother(knots, lam=lam_of_gaps * (2 / 9) ** 3).operator(np.linspace(-1, 1, m))
    cotangent = np.random.default_rng(0).choice([-1.0, 1.0], (m, 300)).astype(np.float32)
    exact = operator.adjoint(cotangent.astype(np.float64))
    size = np.sqrt(np.square(operator.dense()).sum(axis=0).max())  # of sums of random signs
    error = np.abs(operator.adjoint(cotangent) - exact).max()
    assert error <= 4 * np.finfo(np.float32).eps * max(size, np.abs(exact).max())


@pytest.mark.parametrize(("nu", "far"), [(0, 30.0), (1, 0.0), (2, 0.0), (3, 0.0)])
def test_float32_derivatives_and_far_points_are_those_of_double(nu, far):
    """Rounded once: float32 recurrences would lose up to 16 ulps there."""
    knots = np.arange(40.0)
    smoother = Smoother(knots, lam=1.9)
    assert smoother._plan.solver.in_single
    points = np.concatenate([knots, knots[1:] - 0.5, [knots[-1] + far]])
    operator = smoother.operator(points, nu=nu)
    cotangent = np.random.default_rng(0).choice([-1.0, 1.0], (80, 500)).astype(np.float32)
    error = np.abs(operator.adjoint(cotangent) - operator.adjoint(cotangent.astype(np.float64)))
    sizes = np.abs(operator.dense()).sum(axis=0)[:, np.newaxis]
    assert (error <= np.finfo(np.float32).eps * sizes).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_layouts_compile_nothing_more(dtype, solver):
    smoother, points = plan_and_points(solver=solver)
    operator = smoother.operator(points)
    cotangent = np.random.default_rng(1).standard_normal((17, 40)).astype(dtype)
    read_only = cotangent.copy()
    read_only.flags.writeable = False
    wide = np.zeros((34, 80), dtype)
    wide[::2, ::2] = cotangent
    flipped = cotangent[::-1, ::-1].copy()[::-1, ::-1]
    variants = [cotangent, np.asfortranarray(cotangent), read_only, wide[::2, ::2], flipped]
    results = [operator.adjoint(variant) for variant in variants]
    operator.gather(np.arange(11), 11).adjoint(cotangent)
    assert all(np.array_equal(result, results[0]) for result in results)
    compiled = [
        kernel for name, kernel in vars(adjoint_sweep).items() if name.startswith("adjoint_")
    ]
    assert len(compiled) == 7
    assert all(len(kernel.signatures) <= 1 for kernel in compiled)
    assert any(len(kernel.signatures) == 1 for kernel in compiled)


def test_kernels_have_names_of_their_own():
    """By which numba's cache keeps apart what several processes compiled."""
    names = [
        kernel.py_func.__qualname__
        for module in (sweep, adjoint_sweep)
        for name, kernel in vars(module).items()
        if name.startswith(("sweep_", "adjoint_"))
    ]
    assert len(set(names)) == len(names) == 17
