"""Operators of few points multiply columns of float32 by a matrix, exact to what float32 holds."""

import numpy as np
import pytest

from fastspline import Smoother
from fastspline._kernels import banded
from fastspline._kernels.banded import POINTS, WIDE
from fastspline.arrays import STREAM_BYTES

F4 = np.dtype(np.float32)
CHEBYSHEV = -np.cos(np.linspace(0.0, np.pi, 100))


def is_banded(operator):
    values = np.ones((operator.shape[1], 1), F4)
    operator(values)
    return operator._evaluator.prepared[F4].kernel.sweep is banded.multiply_banded


def decoder(points=20, lam=1e-6, knots=CHEBYSHEV):
    operator = Smoother(knots, lam=lam).operator(np.linspace(-1.0, 1.0, points))
    assert is_banded(operator)
    return operator


@pytest.mark.parametrize("points", [1, 2, POINTS - 1, POINTS, POINTS + 1, 2 * POINTS])
@pytest.mark.parametrize("lam", [1e-6, 1e-2, 1e4])
@pytest.mark.parametrize("columns", [1, WIDE - 1, WIDE, WIDE + 1, 3 * WIDE + 5])
def test_equals_the_sweep_in_double(points, lam, columns):
    """Within half an ulp a summand of sums whose weights are at most 8 in all."""
    operator = decoder(points, lam)
    values = np.random.default_rng(0).standard_normal((100, columns)).astype(F4)
    expected = operator(values.astype(float))
    sizes = np.abs(operator.dense()) @ np.abs(values)
    assert (np.abs(operator(values) - expected) <= 10 * np.finfo(F4).eps * sizes.max()).all()


@pytest.mark.parametrize("n", [2, 3, 5, 11, 40])
def test_equals_the_sweep_in_double_at_all_sizes(n):
    knots = np.random.default_rng(n).uniform(size=n).cumsum()
    operator = Smoother(knots, lam=0.1).operator(np.linspace(knots[0], knots[-1], 3))
    assert is_banded(operator)
    values = np.random.default_rng(0).standard_normal((n, 50)).astype(F4)
    assert np.abs(operator(values) - operator(values.astype(float))).max() < 1e-6


@pytest.mark.parametrize("columns", [1, 7, WIDE, 2 * WIDE + 1])
def test_one_operator_serves_many_column_counts_bit_for_bit(columns):
    operator = decoder()
    values = np.random.default_rng(1).standard_normal((100, 3 * WIDE)).astype(F4)
    whole = operator(values)
    assert np.array_equal(operator(values[:, :columns].copy()), whole[:, :columns])
    assert np.array_equal(operator(np.asfortranarray(values)), whole)


@pytest.mark.parametrize("row", [0, 50, 99])
@pytest.mark.parametrize("column", [0, WIDE, 2 * WIDE + 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_names_what_is_not_finite_in_bands_and_beside_them(row, column, value):
    operator = Smoother(CHEBYSHEV, lam=1e-6).operator([-0.5, -0.4])  # far from the last knots
    assert is_banded(operator)
    values = np.zeros((100, 2 * WIDE + 2), F4)
    values[row, column] = value
    with pytest.raises(ValueError, match=rf"values\[{row}, {column}\] = {value}"):
        operator(values)


def test_refuses_sums_that_overflow():
    operator = decoder()
    matrix = operator.dense()
    worst = np.abs(matrix).sum(axis=1).argmax()
    values = 0.99 * np.finfo(F4).max * np.sign(matrix[worst])
    with pytest.raises(ValueError, match="overflow"):
        operator(values.astype(F4)[:, np.newaxis])


@pytest.mark.parametrize("offset", [0, 4, 16])
@pytest.mark.parametrize("odd", [0, 1])
def test_streamed_outputs_equal_small_ones(offset, odd):
    operator = decoder()
    columns = STREAM_BYTES // (20 * 4) // 64 * 64 + 128 + odd
    values = np.random.default_rng(1).standard_normal((100, columns)).astype(F4)
    memory = np.full(20 * columns + 64, 77.0, F4)
    start = (-memory.ctypes.data % 64 + 64 + offset) // 4
    out = memory[start : start + 20 * columns].reshape(20, columns)
    assert operator(values, out=out, threads=2) is out
    for first in (0, columns // 2, columns - 40):
        some = values[:, first : first + 40].copy()
        assert np.array_equal(operator(some), out[:, first : first + 40])
    assert (memory[:start] == 77.0).all()
    assert (memory[start + out.size :] == 77.0).all()


def test_rows_in_any_order():
    operator = decoder()
    order = np.random.default_rng(2).permutation(100)
    gathered = operator.gather(order, 100)
    assert is_banded(gathered)
    values = np.random.default_rng(1).standard_normal((100, 40)).astype(F4)
    assert np.array_equal(gathered(values), operator(values[order]))


@pytest.mark.parametrize(
    ("knots", "points", "lam", "nu"),
    [
        (CHEBYSHEV, np.linspace(-1.0, 1.0, 200), 1e-6, 0),  # many points
        (np.linspace(-1.0, 1.0, 100), np.linspace(-1.0, 1.0, 20), 0.0, 0),  # swept in float32
        (CHEBYSHEV, np.linspace(-1.0, 1.0, 20), 1e-6, 1),
        (CHEBYSHEV, np.array([-50.0, 0.0]), 1e-6, 0),  # far outside, where float32 loses digits
    ],
)
def test_where_the_sweep_is_faster_or_more_exact_it_stays(knots, points, lam, nu):
    assert not is_banded(Smoother(knots, lam=lam).operator(points, nu=nu))


@pytest.mark.parametrize("nu", [0, 1, 2, 3])
@pytest.mark.parametrize("points", [5, 300])
def test_single_columns_are_evaluated_in_double_where_they_would_lose_digits(nu, points):
    knots = np.random.default_rng(0).uniform(-1.0, 1.0, 100).cumsum() * 0.01 + np.arange(100.0)
    operator = Smoother(knots, lam=0.0).operator(np.linspace(-20.0, 120.0, points), nu=nu)
    values = np.random.default_rng(0).standard_normal((100, 3 * WIDE + 1)).astype(F4)
    expected = operator(values.astype(float))
    scale = np.abs(expected).max()
    assert np.abs(operator(values) - expected).max() <= np.finfo(F4).eps * scale
