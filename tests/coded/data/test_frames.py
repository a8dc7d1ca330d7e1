from itertools import combinations

import numpy as np
import pytest
from scipy.linalg import hadamard

from coded import frame_bounds, hadamard_frame, paley_frame

FRAMES = {
    "hadamard": hadamard_frame,
    "paley": paley_frame,
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 16, 55, 64])
def test_columns_are_orthonormal_and_rows_at_least_twice_as_many(make, n_rows):
    matrix = make(n_rows).dense()
    assert matrix.shape[1] == n_rows
    assert 2 * n_rows <= len(matrix) <= 4 * n_rows + 4
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(n_rows), atol=1e-13)


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_call_and_the_adjoint_are_those_of_the_matrix(make, dtype):
    frame, rng = make(21, rng=3), np.random.default_rng(0)
    matrix = frame.dense()
    values = rng.normal(size=(21, 3, 2)).astype(dtype)
    cotangent = rng.normal(size=(len(matrix), 2)).astype(dtype)
    mapped, back = frame(values), frame.adjoint(cotangent)
    assert mapped.dtype == back.dtype == dtype
    tolerance = 50 * np.finfo(dtype).eps
    expected = np.einsum("mn,nij->mij", matrix, values)
    np.testing.assert_allclose(mapped, expected, atol=tolerance)
    np.testing.assert_allclose(back, matrix.T @ cotangent, atol=tolerance)


def test_rows_of_the_hadamard_frame_are_those_of_scipy_in_another_order():
    """Each row of 13 columns of the matrix of order 32 is there once."""
    frame = hadamard_frame(13, rng=5)
    columns = hadamard(32)[:, frame.columns] / np.sqrt(32)
    np.testing.assert_allclose(frame.dense(), columns[frame.order], atol=1e-15)
    assert sorted(frame.order.tolist()) == list(range(32))
    assert not np.array_equal(frame.dense(), hadamard_frame(13).dense())


def test_rows_of_the_paley_frame_are_equiangular():
    """q = 13: 14 rows of length 1 / sqrt(2), at the least angle that 14 lines in 7 can have."""
    products = np.abs(paley_frame(7).dense() @ paley_frame(7).dense().T)
    np.testing.assert_allclose(np.diag(products), 0.5)
    others = products[~np.eye(14, dtype=bool)]
    np.testing.assert_allclose(others, 0.5 * np.sqrt((14 - 7) / (7 * 13)))


def test_the_prime_of_a_paley_frame_leaves_1_modulo_4():
    """The least such one: 31 and 43 leave 3, and have no symmetric conference matrix."""
    rows = {n_rows: len(paley_frame(n_rows).dense()) for n_rows in (3, 12, 16, 19, 22)}
    assert rows == {3: 5 + 1, 12: 29 + 1, 16: 37 + 1, 19: 37 + 1, 22: 53 + 1}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_bounds_are_those_of_the_rows_that_answered(make):
    frame, rng = make(24), np.random.default_rng(1)
    least, largest = frame_bounds(frame, 6, [0, 2, 3, 5])
    shards = np.array_split(frame.dense(), 6)
    for _ in range(200):
        vector = rng.normal(size=24)
        vector /= np.linalg.norm(vector)
        ratio = 6 / 4 * sum(np.sum((shards[i] @ vector) ** 2) for i in (0, 2, 3, 5))
        assert least - 1e-12 <= ratio <= largest + 1e-12
    assert 0.0 <= least + 1e-12 < 1.0 < largest <= 6 / 4 + 1e-12
    assert frame_bounds(frame, 6, range(6)) == pytest.approx((1.0, 1.0))


def test_six_of_eight_workers_have_something_of_everything_by_the_random_order():
    frame, sets = hadamard_frame(64), list(combinations(range(8), 6))
    assert min(frame_bounds(frame, 8, one)[0] for one in sets) > 0.05
    in_order = hadamard(128)[:, frame.columns] / np.sqrt(128)
    kept = [np.delete(in_order.reshape(8, 16, 64), lost, 0) for lost in combinations(range(8), 2)]
    least = [np.linalg.eigvalsh(np.einsum("wri,wrj->ij", one, one))[0] for one in kept]
    assert min(least) < 1e-12


def test_what_makes_no_frame_is_refused():
    for make in FRAMES.values():
        with pytest.raises(ValueError, match="n_rows must be >= 1, got 0"):
            make(0)
    with pytest.raises(ValueError, match=r"redundancy must lie in \[1, inf\), got 0.5"):
        hadamard_frame(8, redundancy=0.5)
    with pytest.raises(ValueError, match="at least one worker"):
        frame_bounds(hadamard_frame(8), 4, [])
    with pytest.raises(ValueError, match="values"):
        hadamard_frame(2)(np.array([1.0, np.inf]))


def test_a_frame_takes_as_many_rows_as_it_has_and_floats_alone():
    frame = hadamard_frame(4)
    for apply, count in ((frame, 4), (frame.adjoint, 8)):
        with pytest.raises(TypeError, match="must be a numpy array of floats, got int"):
            apply(np.arange(2 * count).reshape(count, 2))
        for rows in (np.ones((1, 2)), np.ones((count + 1, 2)), np.float64(1.0)):
            with pytest.raises(ValueError, match=f"must have {count} rows"):
                apply(rows)


@pytest.mark.parametrize(
    ("redundancy", "kind"),
    [
        *(("2", TypeError), (None, TypeError), (np.ones(2), TypeError), (True, TypeError)),
        *((1e300, ValueError), (0.5, ValueError), (np.nan, ValueError), (np.inf, ValueError)),
    ],
)
def test_redundancy_is_a_number_that_memory_bears(redundancy, kind):
    with pytest.raises(kind, match="redundancy"):
        hadamard_frame(4, redundancy=redundancy)
