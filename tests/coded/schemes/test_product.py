"""`ProductScheme`: peeling, its grids; what every code keeps is in test_contract.py."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import MDSScheme, NotEnoughRespondersError, ProductScheme
from coded.algebra.mds_generator import mds_generator
from tests.oracles.codes import least_squares_in_fractions

EPS = np.finfo(np.float64).eps


def square(side, inputs):
    return ProductScheme(inputs**2, side**2, input_grid=(inputs, inputs), worker_grid=(side, side))


def peels(responders, input_grid, worker_grid):
    """Cross out completed rows and columns one by one, with sets."""
    (k1, k2), (n1, n2) = input_grid, worker_grid
    lost = {(i, j) for i in range(n1) for j in range(n2)} - {divmod(n, n2) for n in responders}
    lines = [
        *({(i, j) for j in range(n2)} for i in range(n1)),
        *({(i, j) for i in range(n1)} for j in range(n2)),
    ]
    mendable = [n2 - k2] * n1 + [n1 - k1] * n2
    again = True
    while again:
        again = False
        for line, most in zip(lines, mendable, strict=True):
            if 0 < len(line & lost) <= most:
                lost -= line
                again = True
    return not lost


def rank(scheme, responders):
    return np.linalg.matrix_rank(scheme.encoding_matrix[list(responders)], tol=1e-9)


@pytest.mark.parametrize(("side", "inputs", "threshold"), [(3, 2, 6), (4, 2, 8), (4, 3, 13)])
def test_so_many_answers_always_suffice_and_one_less_not(side, inputs, threshold):
    scheme = square(side, inputs)
    grids = (inputs, inputs), (side, side)
    assert scheme.min_responders == threshold == 2 * (inputs - 1) * side - (inputs - 1) ** 2 + 1
    failed = 0
    for i, responders in enumerate(itertools.combinations(range(side**2), threshold)):
        assert peels(responders, *grids)
        assert i % 7 or scheme.can_decode(responders)
    for responders in itertools.combinations(range(side**2), threshold - 1):
        if not peels(responders, *grids):
            failed += 1
            assert not scheme.can_decode(responders)
            # Least squares needs as many: such sets do not determine the outputs at all.
            assert rank(scheme, responders) < scheme.n_inputs
    assert failed > 0


@pytest.mark.parametrize(
    ("input_grid", "worker_grid"),
    [((2, 2), (3, 3)), ((1, 2), (2, 3)), ((2, 1), (3, 3)), ((2, 3), (3, 4)), ((2, 2), (2, 4))],
)
def test_every_set_is_decoded_exactly_if_it_peels_and_refused_else(input_grid, worker_grid):
    n_inputs, n_workers = np.prod(input_grid), np.prod(worker_grid)
    scheme = ProductScheme(n_inputs, n_workers, input_grid=input_grid, worker_grid=worker_grid)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n_inputs, 2))
    answers = scheme.encode(inputs) @ rng.normal(size=(2, 3)) + rng.normal(size=3)
    outputs = answers[scheme._held() >= 0]  # of the inputs' own workers
    smallest = n_workers
    for mask in range(2**n_workers):
        responders = [n for n in range(n_workers) if mask >> n & 1]
        decodable = scheme.can_decode(responders)
        assert decodable == peels(responders, input_grid, worker_grid)
        if not decodable:
            smallest = min(smallest, n_workers - len(responders))
            continue
        assert rank(scheme, responders) == n_inputs
        decoded = scheme.decode(answers[responders], responders)
        tolerance = 100 * EPS * scheme.amplification(responders) * np.abs(answers).max()
        np.testing.assert_allclose(decoded, outputs, rtol=0, atol=tolerance)
    assert scheme.min_responders == n_workers - smallest + 1


def test_peeling_equals_least_squares_in_fractions():
    scheme = ProductScheme(4, 9)
    answers = scheme.encode(np.random.default_rng(1).normal(size=(4, 2)))
    for responders in itertools.combinations(range(9), 6):
        rows = list(responders)
        expected = least_squares_in_fractions(scheme.encoding_matrix[rows], answers[rows])
        np.testing.assert_allclose(scheme.decode(answers[rows], rows), expected, rtol=0, atol=1e-12)


def test_the_encoder_codes_rows_and_columns():
    scheme = ProductScheme(6, 20, input_grid=(2, 3), worker_grid=(4, 5))
    inputs = np.random.default_rng(2).normal(size=(2, 3, 7))
    rows, columns = mds_generator(2, 4), mds_generator(3, 5)
    expected = np.einsum("ia,jb,abc->ijc", rows, columns, inputs)
    np.testing.assert_allclose(
        scheme.encode(inputs.reshape(6, 7)).reshape(4, 5, 7), expected, rtol=0, atol=1e-14
    )


@given(
    sides=st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(0, 3)] * 2),
    seed=st.integers(0, 10**6),
    share=st.floats(0.5, 1.0),
)
def test_affine_functions_are_exact_whatever_the_grids(sides, seed, share):
    k1, k2, more1, more2 = sides
    grids = {"input_grid": (k1, k2), "worker_grid": (k1 + more1, k2 + more2)}
    n_workers = (k1 + more1) * (k2 + more2)
    scheme = ProductScheme(k1 * k2, n_workers, **grids)
    rng = np.random.default_rng(seed)
    responders = np.flatnonzero(rng.random(n_workers) < share)
    assert scheme.can_decode(responders) == peels(responders, *grids.values())
    if len(responders) >= scheme.min_responders:
        assert scheme.can_decode(responders)
    if scheme.can_decode(responders):
        assert scheme.exact_mask(responders).all()
        inputs = rng.normal(size=(k1 * k2, 3))
        answers = -2.0 * scheme.encode(inputs) + 5.0
        outputs = scheme.decode(answers[responders], responders)
        tolerance = 100 * EPS * scheme.amplification(responders) * np.abs(answers).max()
        np.testing.assert_allclose(outputs, -2.0 * inputs + 5.0, rtol=0, atol=tolerance)


def test_k_answers_may_suffice():
    # Row i lacks all but 10 - i places, and gets i from the columns completed before; so on.
    side, inputs = 20, 10
    known = np.zeros((side, side), bool)
    for i in range(inputs):
        known[i, side - inputs + i :] = True
        known[side - inputs + 1 + i :, i] = True
    responders = np.flatnonzero(known)
    assert len(responders) == inputs**2
    scheme = square(side, inputs)
    values = np.random.default_rng(3).normal(size=inputs**2)
    outputs = scheme.decode(scheme.encode(values)[responders], responders)
    np.testing.assert_allclose(outputs, values, rtol=0, atol=1e-12)


def test_sets_that_amplify_too_much_are_refused_with_the_number():
    # The whole rows and columns of workers whose points on the circle are neighbours.
    half = [3, 4, 5, 6, 7, 13, 14, 15, 16, 17]
    scheme = square(20, 10)
    responders = np.sort(np.add.outer(20 * np.array(half), half).ravel())
    factor = MDSScheme(10, 20).amplification(half) ** 2
    assert scheme.amplification(responders) == pytest.approx(factor, rel=1e-6)
    assert factor > 1e8
    assert not scheme.can_decode(responders)
    with pytest.raises(NotEnoughRespondersError, match=r"at most 1e\+08, and these do by 7\.2e\+0"):
        scheme.decode(np.zeros(100), responders)
    more = np.unique(np.concatenate([responders, 20 * np.array(half)]))
    assert scheme.can_decode(more)


def test_answers_to_unmixed_inputs_come_back_bit_for_bit():
    scheme = ProductScheme(4, 9)
    inputs = np.random.default_rng(4).normal(size=(4, 5)).astype(np.float32)
    coded_inputs = scheme.encode(inputs)
    assert coded_inputs[[0, 1, 3, 4]].tobytes() == inputs.tobytes()
    outputs = scheme.decode(coded_inputs[1:], range(1, 9))
    assert outputs[1:].tobytes() == inputs[1:].tobytes()


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "input_grid", "worker_grid", "threshold"),
    [
        (4, 9, (2, 2), (3, 3), 6),
        (9, 16, (3, 3), (4, 4), 13),
        (4, 16, (2, 2), (4, 4), 8),
        (60, 100, (4, 15), (5, 20), 89),  # 10 x 10 holds 6 x 10 without a spare column
        (20, 60, (4, 5), (6, 10), 43),
        (5, 10, (1, 5), (2, 5), 9),
        (4, 4, (2, 2), (2, 2), 4),
        (1, 6, (1, 1), (2, 3), 1),
    ],
)
def test_grids_are_chosen_square_with_spares(
    n_inputs, n_workers, input_grid, worker_grid, threshold
):
    scheme = ProductScheme(n_inputs, n_workers)
    assert (scheme.input_grid, scheme.worker_grid) == (input_grid, worker_grid)
    assert scheme.min_responders == threshold
    assert scheme.n_stragglers == n_workers - threshold


def test_one_grid_may_be_given():
    assert ProductScheme(4, 16, worker_grid=(2, 8)).input_grid == (1, 4)
    assert ProductScheme(6, 16, input_grid=(3, 2)).worker_grid == (4, 4)
    # With one row of workers it is the MDS code.
    scheme = ProductScheme(3, 5, worker_grid=(1, 5))
    assert scheme.min_responders == 3
    expected = MDSScheme(3, 5).encoding_matrix
    np.testing.assert_array_equal(scheme.encoding_matrix, expected)


@pytest.mark.parametrize(
    ("counts", "grids", "error", "message"),
    [
        (
            (4, 7),
            {},
            ValueError,
            r"n_workers = 7 has no grid for n_inputs = 4: none of \[\(1, 7\), .* = 6 or 8, other",
        ),
        ((9, 4), {}, ValueError, "n_workers = 4 has no grid for n_inputs = 9: .* = 9 or 12, other"),
        ((5, 9), {}, ValueError, r"\[\(1, 9\), \(3, 3\), \(9, 1\)\] with sides >= 2 holds one of"),
        (
            (4, 9),
            {"input_grid": (1, 4)},
            ValueError,
            r"holds one of \[\(1, 4\)\], rows along rows; take n_workers = 8 or 10,",
        ),
        (
            (4, 9),
            {"worker_grid": (3, 4)},
            ValueError,
            r"worker_grid must have 9 places, got 3 x 4 = 12; .* \[\(1, 9\), \(3, 3\), \(9, 1\)\]",
        ),
        ((4, 9), {"input_grid": (2, 3)}, ValueError, "input_grid must have 4 places, got 2 x 3"),
        ((4, 9), {"input_grid": 2}, TypeError, "input_grid must be a pair of integers, got 2; p"),
        ((4, 9), {"input_grid": (2, 2, 1)}, TypeError, "input_grid must be a pair of integers"),
        (
            (4, 9),
            {"worker_grid": (3, 3.0)},
            TypeError,
            r"worker_grid\[1\] must be an integer, got 3\.0",
        ),
        ((4, 9), {"worker_grid": (0, 9)}, ValueError, r"worker_grid\[0\] must be >= 1, got 0"),
        ((0, 9), {}, ValueError, "n_inputs must be >= 1, got 0"),
    ],
)
def test_bad_counts_and_grids_are_refused(counts, grids, error, message):
    with pytest.raises(error, match=message):
        ProductScheme(*counts, **grids)


def test_who_is_missing_is_told():
    with pytest.raises(
        NotEnoughRespondersError,
        match=r"5 of 9 workers .* 2 in a row giving the row and 2 in a column .* \(any 6 do\)",
    ):
        ProductScheme(4, 9).decode(np.zeros(5), [0, 3, 6, 7, 8])
