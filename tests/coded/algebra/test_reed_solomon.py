import itertools

import numpy as np
import pytest

from coded.algebra.reed_solomon import berlekamp_welch, check_matrix, locate_wrong_rows

PRIME = 97


def values_at(coefficients, points, prime):
    """Values of polynomials, a column each, in Python's integers."""
    return np.array(
        [
            [
                sum(int(c) * int(x) ** j for j, c in enumerate(column)) % prime
                for column in coefficients.T
            ]
            for x in points
        ]
    )


def codewords(points, dimension, columns, prime=PRIME, seed=0):
    coefficients = np.random.default_rng(seed).integers(0, prime, (dimension, columns))
    return values_at(coefficients, points, prime)


def wrong_in(received, sent):
    return np.flatnonzero((received != sent).any(axis=1)).tolist()


def test_the_golden_word_is_corrected():
    points = np.arange(3, 10)
    sent = np.array([95, 44, 65, 61, 32, 75, 93])
    received = np.array([95, 94, 65, 61, 32, 3, 93])
    wrong = berlekamp_welch(points, received, 3, 2, PRIME)
    assert np.flatnonzero(wrong).tolist() == [1, 5] == wrong_in(received[:, None], sent[:, None])


def test_every_word_over_a_small_field_is_decoded_as_brute_force_decodes_it():
    prime, points, dimension, n_wrong = 5, np.arange(5), 2, 1
    lines = np.array(list(itertools.product(range(prime), repeat=2))).T
    words = values_at(lines, points, prime).T
    for symbols in itertools.product(range(prime), repeat=5):
        received = np.array(symbols)
        distances = (words != received).sum(axis=1)
        wrong = berlekamp_welch(points, received, dimension, n_wrong, prime)
        if distances.min() > n_wrong:
            assert wrong is None
        else:
            assert np.array_equal(wrong, words[distances.argmin()] != received)


@pytest.mark.parametrize(("dimension", "n_points"), [(1, 3), (1, 5), (2, 6), (3, 7), (4, 9)])
@pytest.mark.parametrize("prime", [11, 97, 2**31 - 1])
def test_every_set_of_wrong_rows_is_found_in_many_columns(dimension, n_points, prime):
    points = np.arange(2, 2 + n_points)
    sent = codewords(points, dimension, 6, prime)
    check = check_matrix(points, dimension, prime)
    rng = np.random.default_rng(1)
    for count in range((n_points - dimension) // 2 + 1):
        for rows in itertools.combinations(range(n_points), count):
            for share in (1.0, 0.3):  # wrong in all columns, or in some, each in others
                received = sent.copy()
                errors = rng.integers(1, prime, (count, 6)) * (rng.random((count, 6)) < share)
                received[list(rows)] = (received[list(rows)] + errors) % prime
                found = locate_wrong_rows(points, received, check, prime)
                assert found.tolist() == wrong_in(received, sent)


def test_rows_that_are_wrong_in_one_column_each_are_found():
    points = np.arange(20)
    sent = codewords(points, 8, 50)
    received = sent.copy()
    rows = [0, 3, 4, 11, 17, 19]
    for i, row in enumerate(rows):
        received[row, 7 * i] = (received[row, 7 * i] + 1) % PRIME
    check = check_matrix(points, 8, PRIME)
    assert locate_wrong_rows(points, received, check, PRIME).tolist() == rows
    received[9, 49] = (received[9, 49] + 1) % PRIME
    assert locate_wrong_rows(points, received, check, PRIME) is None


@pytest.mark.parametrize("surplus", [1, 2, 3, 4])
def test_more_wrong_rows_than_can_be_corrected_are_told(surplus):
    prime, dimension = 2**31 - 1, 3
    points = np.arange(dimension + surplus)
    sent = codewords(points, dimension, 4, prime)
    check = check_matrix(points, dimension, prime)
    rng = np.random.default_rng(surplus)
    for count in range(surplus // 2 + 1, surplus + 1):
        for rows in itertools.combinations(range(len(points)), count):
            received = sent.copy()
            received[list(rows)] = rng.integers(0, prime, (count, 4))
            assert locate_wrong_rows(points, received, check, prime) is None


def test_rows_are_found_over_a_small_field_where_brute_force_finds_some():
    # Over so few numbers errors often cancel in a combination of columns.
    prime, points, reach = 5, np.arange(5), 2
    check = check_matrix(points, 1, prime)
    rng = np.random.default_rng(0)
    sets = [set(c) for n in range(reach + 1) for c in itertools.combinations(range(5), n)]
    n_found = 0
    for _ in range(2000):
        received = rng.integers(0, prime, (1, 3)) + np.zeros((5, 1), int)
        wrong = rng.permutation(5)[: rng.integers(0, 5)]
        received[wrong] += rng.integers(0, prime, (len(wrong), 3)) * rng.integers(0, 2, 3)
        received %= prime
        possible = [
            rows
            for rows in sets
            if (np.ptp(np.delete(received, list(rows), axis=0), axis=0) == 0).all()
        ]
        found = locate_wrong_rows(points, received, check, prime)
        if found is None:
            assert possible == []
        else:
            n_found += 1
            assert set(found.tolist()) == min(possible, key=len)
    assert 500 < n_found < 1900


def test_without_surplus_nothing_is_found():
    points = np.arange(3)
    check = check_matrix(points, 3, PRIME)
    assert check.shape == (0, 3)
    assert locate_wrong_rows(points, np.ones((3, 4), np.int64), check, PRIME).size == 0


def test_no_columns_hold_no_wrong_rows():
    points = np.arange(5)
    check = check_matrix(points, 3, PRIME)
    assert locate_wrong_rows(points, np.ones((5, 0), np.int64), check, PRIME).size == 0
