"""Large rows are copied bit for bit, and looked through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastspline.arrays import empty_aligned
from fastspline.rows import take_rows

DTYPES = [np.float32, np.float64, np.complex128, np.int64]


@given(
    dtype=st.sampled_from(DTYPES),
    columns=st.sampled_from([1, 3, 15, 16, 17, 1000, 8191, 8192, 8193, 20_001]),
    index=st.lists(st.integers(-1, 4), min_size=1, max_size=9),
    offset=st.integers(0, 3),
)
def test_rows_are_copied_and_others_left_alone(dtype, columns, index, offset):
    rng = np.random.default_rng(columns)
    rows = rng.integers(-9, 9, 5 * columns + offset).astype(dtype)[offset:].reshape(5, columns)
    out = np.full(len(index) * columns + offset + 1, 7, dtype)
    place = out[offset:-1].reshape(len(index), columns)
    assert take_rows(rows, np.array(index), place)
    for row, k in zip(place, index, strict=True):
        np.testing.assert_array_equal(row, 7 if k < 0 else rows[k])
    assert (out[:offset] == 7).all()
    assert out[-1] == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_large_rows_on_threads(dtype, rng):
    rows = rng.normal(size=(20, 150_528)).astype(dtype)
    index = rng.integers(0, 20, 60)
    out = empty_aligned(60, rows.shape[1], rows.dtype)
    assert take_rows(rows, index, out)
    np.testing.assert_array_equal(out, rows[index])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 70_000, 99_999])
def test_numbers_that_are_not_finite_are_seen_in_rows_that_nobody_takes_too(bad, column):
    rows = np.zeros((3, 100_000))
    rows[2, column] = bad
    assert not take_rows(rows, np.array([0, 1]), np.empty((2, 100_000)))
