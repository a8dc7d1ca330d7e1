import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded.maps.arrays import MatrixMap, PartlyReadMap
from coded.maps.blocks import BlockMap
from coded.maps.copies import FilledMap, RowMap
from coded.maps.witness import find_witnesses
from fastspline import Smoother


def filled(rng, constant=None):
    """Rows 2 and 0 of four, and two weighted sums."""
    return FilledMap(np.array([2, -1, 0, -1, 2]), rng.normal(size=(2, 4)), constant)


def sparse(rng, n_rows=30, n_read=12):
    """Copies among runs of sums, each of a few rows."""
    source = np.where(rng.random(n_rows) < 0.3, rng.integers(0, n_read, n_rows), -1)
    weights = rng.normal(size=(np.count_nonzero(source < 0), n_read))
    return BlockMap(source, np.where(rng.random(weights.shape) < 0.2, weights, 0.0))


MAPS = {
    "matrix": lambda rng: MatrixMap(rng.normal(size=(5, 4))),
    "complex": lambda rng: MatrixMap(rng.normal(size=(5, 4)) + 1j * rng.normal(size=(5, 4))),
    "rows": lambda rng: RowMap(rng.integers(0, 4, 6), 4),
    "filled": filled,
    "blocks": lambda rng: sparse(rng, n_read=4),
    "filled-nothing": lambda _: FilledMap(np.array([1, 1, 3]), np.empty((0, 4))),
    "affine": lambda rng: filled(rng, rng.normal(size=(2, 6))).linear_part,
    "spline": lambda _: Smoother(np.arange(4.0), lam=0.1).operator([0.5, 1.0, 1.0, 4.0]),
    "partly-read": lambda _: PartlyReadMap(
        Smoother(np.arange(3.0), lam=0.0).operator([0.5, 1.0]).gather([0, 1, 3], 4), np.array([2])
    ),
}
every_map = pytest.mark.parametrize("name", MAPS)


@every_map
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trailing", [(), (6,), (2, 3)], ids=str)
def test_the_adjoint_is_the_conjugate_transpose(name, dtype, trailing, rng):
    linear_map = MAPS[name](rng)
    matrix = linear_map.dense()
    cotangent = rng.normal(size=(len(matrix), *trailing)).astype(dtype)
    if np.iscomplexobj(matrix):
        cotangent = cotangent.astype(np.complex128 if dtype == np.float64 else np.complex64)
    kept = cotangent.copy()
    result = linear_map.adjoint(cotangent)
    expected = np.tensordot(matrix.conj().T, kept, axes=1)
    assert (result.dtype, result.shape) == (cotangent.dtype, (4, *trailing))
    np.testing.assert_allclose(result, expected, atol=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_array_equal(cotangent, kept)


@pytest.mark.parametrize(
    "copies",
    [RowMap(np.zeros(4, int), 1), FilledMap(np.zeros(4, int), np.empty((0, 1)))],
    ids=["rows", "filled"],
)
def test_what_copies_of_a_float32_row_get_is_added_up_in_float64(copies):
    cotangent = np.array([2.0**26, 1.0, -(2.0**26), 1.0], np.float32)  # float32 drops each 1
    assert copies.adjoint(cotangent).tolist() == [2.0]


@given(seed=st.integers(0, 999), name=st.sampled_from(sorted(MAPS.keys() - {"complex"})))
def test_inner_products_agree(seed, name):
    rng = np.random.default_rng(seed)
    linear_map = MAPS[name](rng)
    values = rng.normal(size=(4, 2))
    cotangent = rng.normal(size=(len(linear_map.dense()), 2))
    np.testing.assert_allclose(
        np.vdot(linear_map(values), cotangent),
        np.vdot(values, linear_map.adjoint(cotangent)),
        atol=1e-12,
    )


@every_map
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_cotangents_that_are_not_finite_are_refused(name, bad, rng):
    linear_map = MAPS[name](rng)
    cotangent = np.zeros((len(linear_map.dense()), 2))
    cotangent[1, 1] = bad
    with pytest.raises(
        ValueError, match=rf"cotangent must be finite, but cotangent\[1, 1\] = {bad}"
    ):
        linear_map.adjoint(cotangent)


@pytest.mark.parametrize(
    "linear_map",
    [
        MatrixMap(np.ones((2, 1))),
        RowMap(np.array([0, 0]), 1),
        FilledMap(np.array([0, 0]), np.empty((0, 1))),
        FilledMap(np.array([0, -1]), np.ones((1, 1))),
    ],
    ids=["matrix", "rows", "copies", "copy-and-sum"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cotangents_whose_sums_overflow_are_refused(linear_map, dtype):
    with pytest.raises(ValueError, match="cotangent overflow"):
        linear_map.adjoint(np.full((2, 1), np.finfo(dtype).max, dtype))


def test_an_affine_map_has_a_linear_part(rng):
    affine = filled(rng, rng.normal(size=(2, 3)))
    values = rng.normal(size=(4, 3))
    zero = affine(np.zeros((4, 3)))
    np.testing.assert_allclose(affine.linear_part(values), affine(values) - zero, atol=1e-14)
    assert affine.linear_part.constant is None


@pytest.mark.parametrize("n_columns", [5, 5000])
@pytest.mark.parametrize(
    "make",
    [
        MatrixMap,
        lambda weights: FilledMap(np.array([1, -1]), weights),
        lambda weights: BlockMap(np.array([1, -1]), weights),
    ],
    ids=["matrix", "filled", "blocks"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_near_the_largest_number_are_given_and_larger_ones_refused(dtype, make, n_columns):
    """Not a warning either, which here is an error."""
    largest = np.finfo(dtype).max
    values = np.full((2, n_columns), largest, dtype)
    mean = make(np.array([[0.75, 0.25]]))
    np.testing.assert_allclose(mean(values)[-1], largest, rtol=1e-6)
    with np.errstate(all="raise"), pytest.raises(ValueError, match="values overflow in"):
        make(np.array([[2.0, 1.0]]))(values)
    alternating = np.array([[1.5, -1.0]])
    np.testing.assert_allclose(make(alternating)(values / 2)[-1], values[0] / 4, rtol=1e-6)


@given(seed=st.integers(0, 9999), dtype=st.sampled_from([np.float32, np.float64, np.complex128]))
def test_blocks_give_what_the_matrix_gives(seed, dtype):
    rng = np.random.default_rng(seed)
    blocks = sparse(rng, *rng.integers(1, 40, 2))
    values = rng.normal(size=(blocks.weights.shape[1], 3)).astype(dtype)
    np.testing.assert_allclose(
        blocks(values), blocks.dense() @ values, atol=1e-5 if dtype == np.float32 else 1e-13
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_blocks_refuse_what_is_not_finite_where_no_sum_reads_it(bad):
    blocks = BlockMap(np.array([-1, 0]), np.array([[1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="values must be finite"):
        blocks(np.array([[1.0], [2.0], [bad]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.9])
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40)),
    seed=st.integers(0),
    p=st.sampled_from([1.0, 0.5]),
)
def test_a_few_rows_of_the_product_show_what_is_wrong_anywhere(shape, seed, p, dtype, bad):
    rng = np.random.default_rng(seed)
    m, n, n_columns = shape
    weights = rng.normal(size=(m, n)) + 2.0 * (rng.random((m, n)) < 0.5)
    matrix = MatrixMap(weights * rng.choice([1.0, 1e-12], size=(m, n), p=[p, 1.0 - p]))
    values = rng.normal(size=(n, n_columns)).astype(dtype)
    expected = matrix.matrix @ values.astype(np.float64)
    for _ in range(2):  # witnesses are looked for at the second use
        np.testing.assert_allclose(matrix(values), expected, rtol=1e-4, atol=1e-4)
    place = rng.integers(n), rng.integers(n_columns)
    values[place] = bad * np.finfo(dtype).max
    overflows = abs(matrix.matrix[:, place[0]]).max() > 1.2
    if np.isfinite(values[place]) and not overflows:
        return
    with pytest.raises(ValueError, match=r"values must be finite|values overflow"):
        matrix(values)


SINE = float(np.sin(1.0))


@pytest.mark.parametrize(
    ("matrix", "witnesses"),
    [
        ([[1.0, SINE]], ()),  # a single row is multiplied as a vector
        ([[1.0, 0.0], [SINE, 1.0]], (1,)),
        ([[1.0, -1.0], [1.0, 1e-12]], ()),
        ([[3.0, 4.0], [1.0, 2.0], [0.6, 0.8]], ()),  # plain numbers may cancel
        ([[1.0, 0.75 + 1e-9], [1.0, SINE]], (1,)),
        ([[1e-3, 1e-3 * SINE], [1.0, SINE]], (1,)),  # far smaller than others
        ([[1e50, 1e50 * SINE], [1.0, SINE]], ()),  # no float32
        ([[0.0], [0.5]], (1,)),
        ([[1.0, SINE, 1e-12], [1e-12, SINE, 1.0]], (0, 1)),  # what one hardly sees another does
        ([[1.0, 0.0, 0.0], [0.0, SINE, 1.0]], (1, 0)),
        ([[0.0, 1.0, SINE], [0.0, SINE, 1.0]], ()),  # a column that none sees
        (np.eye(4), ()),  # too many rows
    ],
)
def test_witnesses_have_no_weight_that_another_may_cancel(matrix, witnesses):
    assert find_witnesses(np.array(matrix)) == witnesses


@pytest.mark.parametrize(
    ("matrix", "values"),
    [
        ([[1.0, -1.0], [1.0, 1.0]], [2e38, 2e38]),
        ([[1.0, 2.0], [4.0, 1.0]], [2e38, -1e38]),
        ([[1.0, SINE], [1e25, 3e25 * SINE]], [1e15, 1e15]),
        ([[0.6, 0.8], [-0.8, 0.6]], [3.0732655e38, -2.3049492e38]),
    ],
)
def test_numbers_that_cancel_in_one_row_overflow_in_another(matrix, values):
    weights, column = MatrixMap(np.array(matrix)), np.array(values, np.float32)[:, None]
    for _ in range(3):
        with pytest.raises(ValueError, match="overflow"):
            weights(np.repeat(column, 3, axis=1))
    with pytest.raises(ValueError, match="overflow"):
        MatrixMap(np.array([[1.0, SINE], [1e50, 3e50]]))(np.ones((2, 1), np.float32))
